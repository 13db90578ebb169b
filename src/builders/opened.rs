//! A location, opened for reading.

use std::sync::Arc;

use crate::archive::Archive;
use crate::content::{Lookup as _, Source};
use crate::digest::Digest;
#[cfg(feature = "cli")]
use crate::document::Document;
use crate::engine_store::EngineStore;
use crate::error::{Error, ErrorKind, Result};
use crate::image_id::ImageId;
use crate::layout::Layout;
use crate::name::{ImageName, several_images};
use crate::reference::Reference;
use crate::registry::Client;

/// A location opened for reading.
#[derive(Clone)]
pub(crate) struct OpenedLocation {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) name: ImageName,
    pub(crate) reference: String,
    /// Default name of the image in a layout; empty if it has none.
    pub(crate) full_name: String,
    /// The source, if it is a layout.
    pub(crate) layout: Option<Arc<Layout>>,
}

impl OpenedLocation {
    /// Returns what the name stands for: the index that `root` was selected from when it came here, else `root`.
    #[cfg(feature = "cli")]
    pub(crate) async fn named_document(&self, root: &Document) -> Document {
        let selected_from = self.source.provenance(root).await.parent_index;
        selected_from.unwrap_or_else(|| root.clone())
    }

    /// An image of a registry.
    pub(crate) fn in_registry(reference: &Reference, client: &Client) -> Result<Self> {
        Ok(Self {
            source: Arc::new(client.repository(reference)?),
            name: reference.name(),
            reference: reference.to_string(),
            full_name: reference.store_name(),
            layout: None,
        })
    }

    /// An image of a layout whose names are known.
    pub(crate) fn in_layout(
        layout: Arc<Layout>,
        name: ImageName,
        reference: String,
        full_name: String,
    ) -> Self {
        let source = Arc::clone(&layout) as Arc<dyn Source>;
        Self { source, name, reference, full_name, layout: Some(layout) }
    }

    /// An image of the user's store.
    pub(crate) fn in_store(store: Arc<Layout>, reference: &Reference) -> Self {
        let name = reference.to_string();
        Self::in_layout(store, ImageName::Layout(name.clone()), name, reference.store_name())
    }

    /// The image with this name in a layout; `reference` is for messages.
    pub(crate) fn find_in_layout(
        layout: Arc<Layout>,
        name: &ImageName,
        reference: String,
    ) -> Result<Self> {
        let (found, full_name) = names_in_layout(&layout, name)?;
        Ok(Self::in_layout(layout, found, reference, full_name))
    }

    /// The image with this name in an archive; `reference` is for messages.
    pub(crate) fn find_in_archive(
        archive: Archive,
        name: &ImageName,
        reference: String,
    ) -> Result<Self> {
        let full_name = match name {
            ImageName::Layout(text) | ImageName::Tag(text) => archive.full_name(Some(text))?,
            ImageName::Digest(_) => String::new(),
            ImageName::Only => archive.full_name(None)?,
        };
        let found = match name {
            ImageName::Digest(_) => name.clone(),
            _ if full_name.is_empty() => name.clone(),
            _ => ImageName::Layout(full_name.clone()),
        };
        Ok(Self { source: Arc::new(archive), name: found, reference, full_name, layout: None })
    }
}

impl OpenedLocation {
    /// The image that this name means in an engine's store; `reference` is for people.
    pub(crate) async fn find_in_engine(
        store: Arc<dyn EngineStore>,
        name: &ImageName,
        reference: String,
    ) -> Result<Self> {
        let full_name = match name {
            ImageName::Digest(_) => String::new(),
            _ => store.full_name(name).await?,
        };
        let found = match name {
            ImageName::Only if !full_name.is_empty() => ImageName::Layout(full_name.clone()),
            _ => name.clone(),
        };
        Ok(Self { source: store, name: found, reference, full_name, layout: None })
    }
}

/// The name to resolve in the layout, and the image's own name, which is empty for an entry without one.
fn names_in_layout(layout: &Layout, name: &ImageName) -> Result<(ImageName, String)> {
    let requested = match name {
        ImageName::Digest(digest) => return Ok((by_digest(layout, digest)?, String::new())),
        ImageName::Only => {
            return Ok(match layout.only_entry()?.names.into_iter().next() {
                Some(own) => (ImageName::Layout(own.clone()), own),
                None => (ImageName::Only, String::new()),
            });
        }
        ImageName::Layout(text) | ImageName::Tag(text) => text,
    };
    // `oci:PATH:alpine` also finds an image that a pull stored under its full name.
    let written_out = requested.parse::<Reference>().ok().map(|reference| reference.to_string());
    for requested in [Some(requested), written_out.as_ref()].into_iter().flatten() {
        if let Some(entry) = layout.entry(requested)?
            && let Some(own) = entry.matching_name(requested)
        {
            return Ok((ImageName::Layout(requested.clone()), own.to_owned()));
        }
    }
    Err(Error::new(ErrorKind::NotFound, requested)
        .at(format!("oci:{}", layout.root().display()))
        .with_reason("not in the layout"))
}

/// The name to resolve for a digest, which may be that of a config: docker uses it as the image's id.
fn by_digest(layout: &Layout, digest: &Digest) -> Result<ImageName> {
    let own = || ImageName::Digest(digest.clone());
    if layout.entries()?.iter().any(|entry| entry.has_digest(digest)) {
        return Ok(own());
    }
    let Some(id) = ImageId::parse(digest.as_str()) else { return Ok(own()) };
    let found = layout.by_id(&id)?;
    match found.as_slice() {
        [] => Ok(own()),
        several if several.iter().any(|image| image.digest == *digest) => Ok(own()),
        [one] => Ok(ImageName::Digest(one.digest.clone())),
        several => {
            let choices =
                several.iter().map(|image| format!("@{}", image.digest)).collect::<Vec<_>>();
            Err(several_images(&layout.endpoint().location, &choices))
        }
    }
}
