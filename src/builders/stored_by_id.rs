//! An image of the store by id, as the command line prints ids.

use std::sync::Arc;

use super::opened::OpenedLocation;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::layout::{IdMatch, Layout};
use crate::name::ImageName;
use crate::reference::Reference;

/// Finds the only image with this id. An image of the same name takes precedence.
///
/// # Errors
/// [`ErrorKind::NotFound`] if no image has the id, [`ErrorKind::InvalidInput`] if there are several.
pub(crate) fn find_by_id(
    store: &Layout,
    id: &ImageId,
    name: Option<&Reference>,
) -> Result<IdMatch> {
    if let Some(name) = name.map(Reference::to_string)
        && let Some(entry) = store.entry(&name)?
    {
        let digest = entry.descriptor.digest;
        let named = ImageName::Layout(name.clone());
        return Ok(IdMatch { digest, name: named, names: vec![name], indexes: Vec::new() });
    }
    let mut found = store.by_id(id)?;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(not_in_store(&id.to_string())),
        (Some(image), true) => Ok(image),
        (Some(image), false) => {
            found.push(image);
            let choices: Vec<String> = found.iter().map(choice).collect();
            Err(ambiguous_id(id, &choices))
        }
    }
}

impl OpenedLocation {
    /// The image of the user's store with this id, or else with this name.
    ///
    /// # Errors
    /// As [`find_by_id`].
    pub(crate) fn in_store_by_id(
        store: Arc<Layout>,
        id: &ImageId,
        name: Option<&Reference>,
    ) -> Result<Self> {
        let image = find_by_id(&store, id, name)?;
        let full_name = image.names.first().cloned().unwrap_or_default();
        let reference =
            if full_name.is_empty() { image.digest.to_string() } else { full_name.clone() };
        Ok(Self::in_layout(store, image.name, reference, full_name))
    }
}

/// Returns the error for a name that is not in the store.
pub(crate) fn not_in_store(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, name)
        .with_reason("not in the store")
        .with_detail(ErrorDetail::NotInStore)
}

/// Returns the error for an id of several images.
pub(crate) fn ambiguous_id(id: &ImageId, choices: &[String]) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("id `{id}`"))
        .with_reason(format!("ambiguous, matches several images: {}", choices.join(", ")))
}

fn choice(image: &IdMatch) -> String {
    let digest = image.digest.short();
    match (image.names.first(), image.indexes.first()) {
        (Some(name), _) => format!("{name} ({digest})"),
        (None, Some(whole)) => format!("{digest} of {whole}"),
        (None, None) => digest.to_owned(),
    }
}
