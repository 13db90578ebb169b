//! `tag`: adds a name to an image, in the store or in its repository.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::Tag;
use crate::cli::image::ids;
use crate::cli::image::image_arg::{ImageArg, store_reference};
use crate::cli::output::{self, note};
use crate::cli::run::put_document::put_document;
use crate::cli::settings::{ForeignLayers, Settings, not_in_store};
use crate::content::Source;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::{IdMatch, Layout};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::reference::Reference;

pub(in crate::cli) async fn run(args: Tag, settings: &Settings) -> Result<ExitCode> {
    let Tagged { source, name, digest } = match Location::parse(&args.name, DefaultLocation::Store)?
    {
        Location::Registry(new) => at_registry(&args.source, new, settings).await?,
        _ => in_store(&args, settings).await?,
    };
    if settings.json {
        output::json(&json!([{ "source": source, "reference": name, "digest": digest }]))?;
    } else if !settings.quiet {
        note(&format!("tagged {source} as {name}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The image with its new name.
struct Tagged {
    source: String,
    name: String,
    digest: Digest,
}

async fn in_store(args: &Tag, settings: &Settings) -> Result<Tagged> {
    if let Location::Registry(source) = Location::parse(&args.source, DefaultLocation::Store)? {
        return Err(Error::new(ErrorKind::InvalidInput, format!("image `{source}`"))
            .with_reason("is in a registry")
            .with_hint("write `docker://` before the new name too to tag it there"));
    }
    let (image, new) = (ImageArg::parse(&args.source)?, store_reference(&args.name)?);
    let source = match image {
        ImageArg::Name(name) => name,
        ImageArg::Id(id, name) => match ids::find(&id, name.as_ref(), settings)? {
            (store, IdMatch { name: ImageName::Digest(child), .. }) => {
                return platform_of_another(&store, child, &new).await;
            }
            (_, image) => image.name.to_string(),
        },
    };
    let store = settings.store_with(&source)?;
    let entry = store.entry(&source)?.ok_or_else(|| not_in_store(&source))?;
    if let Some(digest) = new.digest()
        && !entry.has_digest(digest)
    {
        return Err(other_digest(&new, &source, &entry.digest()));
    }
    let new = new.store_name();
    store.tag(&source, &new)?;
    Ok(Tagged { source, name: new, digest: entry.digest() })
}

/// Names a manifest that the store has only as a part of an index.
async fn platform_of_another(store: &Layout, child: Digest, new: &Reference) -> Result<Tagged> {
    if new.digest().is_some_and(|digest| *digest != child) {
        return Err(other_digest(new, child.as_str(), &child));
    }
    let document = Source::resolve(store, &ImageName::Digest(child.clone())).await?;
    let name = new.store_name();
    put_document(store, &document, ImageName::Layout(name.clone())).await?;
    Ok(Tagged { source: child.to_string(), name, digest: child })
}

fn other_digest(new: &Reference, source: &str, digest: &Digest) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("name `{new}`"))
        .with_reason(format!("digest mismatch: {source} has {digest}"))
}

/// Adds a tag to the manifest, within its repository.
async fn at_registry(source: &str, new: Reference, settings: &Settings) -> Result<Tagged> {
    let refuse = |reason: &str| {
        Error::new(ErrorKind::InvalidInput, format!("tag `{source}` as `{new}`"))
            .with_reason(reason)
    };
    let Location::Registry(source) = Location::parse(source, DefaultLocation::Registry)? else {
        return Err(
            refuse("cannot tag across repositories").with_detail(ErrorDetail::CrossRepositoryTag)
        );
    };
    let home = |reference: &Reference| {
        (reference.registry().to_owned(), reference.repository().to_owned())
    };
    if home(&source) != home(&new) {
        return Err(
            refuse("cannot tag across repositories").with_detail(ErrorDetail::CrossRepositoryTag)
        );
    }
    let (Some(tag), None) = (new.tag(), new.digest()) else {
        return Err(refuse("expected a tag as the new name, got a digest"));
    };
    let repository = settings
        .client(&source.to_string(), ForeignLayers::Ignore)?
        .repository_for_push(&source)?;
    let document = repository.resolve(&source.name()).await?;
    put_document(&repository, &document, ImageName::Tag(tag.to_owned())).await?;
    let digest = document.digest().clone();
    Ok(Tagged { source: source.to_string(), name: format!("{new}@{digest}"), digest })
}
