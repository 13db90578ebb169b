//! `tag`: a further name for an image, in the store or at its registry.

use std::process::ExitCode;

use super::store::name;
use crate::cli::args::Tag;
use crate::cli::output::note;
use crate::cli::settings::Settings;
use crate::content::{Label, Name, Source as _, Target as _};
use crate::error::{Error, ErrorKind, Result};
use crate::place::{Place, PlainMeans};
use crate::reference::Reference;

pub(in crate::cli) async fn run(args: Tag, settings: &Settings) -> Result<ExitCode> {
    let (source, new) = match Place::parse(&args.name, PlainMeans::Store)? {
        Place::Registry(new) => at_registry(&args.source, new, settings).await?,
        _ => in_store(&args, settings)?,
    };
    if !settings.quiet {
        note(&format!("{source} is also {new} now"));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_store(args: &Tag, settings: &Settings) -> Result<(String, String)> {
    if let Place::Registry(source) = Place::parse(&args.source, PlainMeans::Store)? {
        return Err(Error::new(ErrorKind::Reference, format!("image '{source}'")).because(
            "is at a registry; to name it there, write docker:// before the new name too",
        ));
    }
    let (source, new) = (name(&args.source)?, name(&args.name)?);
    settings.store_with(&source)?.tag(&source, &new)?;
    Ok((source, new))
}

/// Gives the manifest another tag, in the repository that has its layers.
async fn at_registry(
    source: &str,
    new: Reference,
    settings: &Settings,
) -> Result<(String, String)> {
    let refuse = |why: &str| {
        Error::new(ErrorKind::Reference, format!("tag '{source}' as '{new}'")).because(why)
    };
    let Place::Registry(source) = Place::parse(source, PlainMeans::Registry)? else {
        return Err(refuse("the image is elsewhere, and its layers would have to move"));
    };
    let home = |reference: &Reference| {
        (reference.registry().to_owned(), reference.repository().to_owned())
    };
    if home(&source) != home(&new) {
        return Err(refuse("is another repository, and its layers would have to move"));
    }
    let (Some(tag), None) = (new.tag(), new.digest()) else {
        return Err(refuse("the image decides its digest; the new name is a tag"));
    };
    let repository = settings.client(&source.to_string(), false)?.writable(&source)?;
    let document = repository.resolve(&source.name()).await?;
    let label = Label { name: Name::Tag(tag.to_owned()), origins: Vec::new(), index: None };
    repository.put(&document, Some(&label)).await?;
    Ok((source.to_string(), format!("{new}@{}", document.digest())))
}
