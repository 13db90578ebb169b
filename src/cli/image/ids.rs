//! Looks up images in the store by id, as printed by `images`, `history` and `inspect`.

use std::sync::Arc;

use crate::cli::settings::{Settings, not_in_store};
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::layout::{Identified, Layout};
use crate::name::ImageName;
use crate::reference::Reference;

/// Finds the only image with this id, and the store that contains it. An image of the same name takes precedence.
///
/// # Errors
/// [`ErrorKind::NotFound`] if no image has the id; registries have no ids. [`ErrorKind::InvalidInput`] if there are several.
pub(in crate::cli) fn find(
    id: &ImageId,
    name: Option<&Reference>,
    settings: &Settings,
) -> Result<(Arc<Layout>, Identified)> {
    let store = settings.store_with(&id.to_string())?;
    if let Some(name) = name.map(Reference::to_string)
        && let Some(entry) = store.entry(&name)?
    {
        let digest = entry.descriptor.digest;
        let named = ImageName::Layout(name.clone());
        let image = Identified { digest, name: named, names: vec![name], within: Vec::new() };
        return Ok((store, image));
    }
    let mut found = store.by_id(id)?;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(not_in_store(&id.to_string())),
        (Some(image), true) => Ok((store, image)),
        (Some(image), false) => {
            found.push(image);
            let choices: Vec<String> = found.iter().map(choice).collect();
            Err(ambiguous(id, &choices))
        }
    }
}

/// Returns the only name of the image with this id, for commands that change names.
///
/// # Errors
/// As [`find`]; [`ErrorKind::InvalidInput`] also if the image has several names, or is only part of an index.
pub(in crate::cli) fn only_name(
    id: &ImageId,
    name: Option<&Reference>,
    settings: &Settings,
) -> Result<String> {
    let (_, image) = find(id, name, settings)?;
    match (image.name, image.names.as_slice()) {
        (_, [_, _, ..]) => Err(ambiguous(id, &image.names)),
        (ImageName::Layout(name), _) => Ok(name),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("id `{id}`"))
            .with_reason(format!("refers to one platform of {}", image.within.join(", ")))),
    }
}

fn ambiguous(id: &ImageId, choices: &[String]) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("id `{id}`"))
        .with_reason(format!("ambiguous, matches several images: {}", choices.join(", ")))
}

fn choice(image: &Identified) -> String {
    let digest = image.digest.short();
    match (image.names.first(), image.within.first()) {
        (Some(name), _) => format!("{name} ({digest})"),
        (None, Some(whole)) => format!("{digest} of {whole}"),
        (None, None) => digest.to_owned(),
    }
}
