//! An archive that is open for reading: the tar behind it, and the images in that.

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

/// An archive that is open for reading.
#[derive(Clone, Debug)]
pub struct Archive(pub(super) Arc<ArchiveInner>);

#[derive(Debug)]
pub(super) struct ArchiveInner {
    pub(super) tar: Arc<TarIndex>,
    pub(super) images: Vec<ArchiveImage>,
    pub(super) endpoint: Endpoint,
    /// The path, for people.
    pub(super) shown: String,
}

impl Archive {
    /// Opens an archive, standard input for the path `-`; `None` takes either form.
    ///
    /// Waits for the disk, and for the other end of a pipe.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`] where there is no such file, [`crate::error::ErrorKind::Store`] for what is no archive of that form.
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

    /// What its images are called, in their order: each has any number of names, and for several platforms several have
    /// one.
    pub fn names(&self) -> impl Iterator<Item = &[String]> {
        self.0.images.iter().map(ArchiveImage::own_names)
    }

    /// The name of the image that this word means, or of the only one; empty where it has none.
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
    /// Where this is, for people.
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
