//! An archive open for reading: its tar and the images in it.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::format::ArchiveFormat;
use super::image::{ArchiveImage, ImageContent, images};
use super::open::open;
use super::tarball::TarIndex;
use crate::content::{Endpoint, EndpointKind};
use crate::document::Document;
use crate::error::Result;

/// An archive open for reading.
#[derive(Clone, Debug)]
pub struct Archive(pub(super) Arc<ArchiveInner>);

#[derive(Debug)]
pub(super) struct ArchiveInner {
    pub(super) tar: Arc<TarIndex>,
    pub(super) images: Vec<ArchiveImage>,
    pub(super) endpoint: Endpoint,
    /// The path, for messages.
    pub(super) shown: String,
}

impl Archive {
    /// Opens an archive, or standard input for the path `-`. `None` accepts either format.
    ///
    /// Waits for the disk, and for the other end of a pipe.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`] if the file does not exist, [`crate::error::ErrorKind::Store`] if it is
    /// not an archive of that format.
    pub fn open(path: &Path, form: Option<ArchiveFormat>) -> Result<Self> {
        let shown = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        let location = form.map_or_else(|| shown.clone(), |form| format!("{form}:{shown}"));
        let endpoint = Endpoint { location, kind: EndpointKind::Archive, ..Endpoint::default() };
        let tar = Arc::new(open(path, &shown)?);
        let images = images(&tar, form).map_err(|error| error.at(&shown))?;
        let mut inner = ArchiveInner { tar, images, endpoint, shown };
        inner.name_once();
        Ok(Self(Arc::new(inner)))
    }

    /// The names of each image, in order. An image has any number of names; images for several platforms may share one.
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.0.images.iter().map(ArchiveImage::own_names)
    }

    /// The full name of the image with this name, or of the only image; empty if it has none.
    pub fn full_name(&self, name: Option<&str>) -> Result<String> {
        let image = match name {
            Some(name) => {
                *self.0.images_named(name)?.first().ok_or_else(|| self.0.not_found(name))?
            }
            None => self.0.only_image()?,
        };
        Ok(image.names.first().cloned().unwrap_or_default())
    }
}

impl ArchiveInner {
    /// The location, for messages.
    pub(super) fn location(&self) -> &str {
        &self.endpoint.location
    }

    pub(super) fn document_of(
        &self,
        image: &ArchiveImage,
        stop: &CancellationToken,
    ) -> Result<Document> {
        match &image.content {
            ImageContent::Document(descriptor) => self.read_document(descriptor, stop),
            ImageContent::DockerFiles(recipe) => {
                Ok(recipe.build(&self.tar, stop)?.document.clone())
            }
        }
    }
}
