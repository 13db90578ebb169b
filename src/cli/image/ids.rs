//! Looks up images in the store by id, as printed by `images`, `history` and `inspect`.

use std::sync::Arc;

use crate::builders::{ambiguous_id, find_by_id};
use crate::cli::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::layout::{IdMatch, Layout};
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
) -> Result<(Arc<Layout>, IdMatch)> {
    let store = settings.store_with(&id.to_string())?;
    let image = find_by_id(&store, id, name)?;
    Ok((store, image))
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
        (_, [_, _, ..]) => Err(ambiguous_id(id, &image.names)),
        (ImageName::Layout(name), _) => Ok(name),
        _ => Err(Error::new(ErrorKind::InvalidInput, format!("id `{id}`"))
            .with_reason(format!("refers to one platform of {}", image.indexes.join(", ")))),
    }
}
