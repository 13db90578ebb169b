//! An archive open for reading: its tar and the images in it.

use std::path::Path;
use std::sync::Arc;

use super::format::ArchiveFormat;
use super::image::{ArchiveImage, ImageContent, images};
use super::open::open;
#[cfg(feature = "docker-daemon")]
use super::open::spool;
use super::tarball::TarIndex;
use crate::content::{Endpoint, EndpointKind};
use crate::control::Control;
use crate::document::Document;
use crate::error::Result;
use crate::progress::Phase;

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
    /// Cancels scans, and receives their progress.
    pub(super) control: Control,
}

impl Archive {
    /// Opens an archive, or standard input for the path `-`. `None` accepts either format.
    ///
    /// Waits for the disk, and for the other end of a pipe.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotFound`] if the file does not exist, [`crate::error::ErrorKind::Store`] if it is
    /// not an archive of that format.
    pub fn open(path: &Path, format: Option<ArchiveFormat>) -> Result<Self> {
        Self::open_with_control(path, format, &Control::default())
    }

    /// Like [`Archive::open`], but `control` can watch and cancel this and all later scans of the archive: one that is
    /// compressed is read to its end, and compressed layers of a docker-archive when their image is looked up.
    ///
    /// # Errors
    /// As [`Archive::open`], and [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) if it was cancelled.
    pub fn open_with_control(
        path: &Path,
        format: Option<ArchiveFormat>,
        control: &Control,
    ) -> Result<Self> {
        let scanned = Self::scan(path, format, control);
        scanned.map_err(|error| control.interrupted_or(Phase::Scan.what(), error))
    }

    /// Reads what `docker save` writes from a stream, which is spooled.
    ///
    /// # Errors
    /// As [`Archive::open`].
    #[cfg(feature = "docker-daemon")]
    pub(crate) fn spool(
        stream: impl std::io::Read,
        location: &str,
        control: &Control,
    ) -> Result<Self> {
        let endpoint = Endpoint::new(location).kind(EndpointKind::Engine).has_plain_layers();
        let tar = spool(stream, location)?;
        Self::with_tar(tar, Some(ArchiveFormat::Docker), endpoint, location.to_owned(), control)
    }

    fn scan(path: &Path, format: Option<ArchiveFormat>, control: &Control) -> Result<Self> {
        let shown = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        let location = format.map_or_else(|| shown.clone(), |format| format!("{format}:{shown}"));
        let has_plain_layers = format == Some(ArchiveFormat::Docker);
        let kind = EndpointKind::Archive;
        let endpoint = Endpoint { location, kind, has_plain_layers, ..Endpoint::default() };
        let tar = open(path, &shown, control)?;
        Self::with_tar(tar, format, endpoint, shown, control)
    }

    fn with_tar(
        tar: TarIndex,
        format: Option<ArchiveFormat>,
        endpoint: Endpoint,
        shown: String,
        control: &Control,
    ) -> Result<Self> {
        let tar = Arc::new(tar);
        let images = images(&tar, format).map_err(|error| error.at(&shown))?;
        let mut inner = ArchiveInner { tar, images, endpoint, shown, control: control.clone() };
        // The images of a whole archive replace each other, as in `docker load`. In an `oci-archive:`, one is selected by name,
        // as in a layout.
        if format != Some(ArchiveFormat::Oci) {
            inner.deduplicate_names(control);
        }
        control.check(Phase::Scan.what())?;
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
            None => self.0.only_image(&self.0.control)?,
        };
        Ok(image.names.first().cloned().unwrap_or_default())
    }
}

impl ArchiveInner {
    /// The location, for messages.
    pub(super) fn location(&self) -> &str {
        &self.endpoint.location
    }

    pub(super) fn document_of(&self, image: &ArchiveImage, control: &Control) -> Result<Document> {
        match &image.content {
            ImageContent::Document(descriptor) => self.read_document(descriptor, control),
            ImageContent::DockerFiles(docker_image) => {
                Ok(docker_image.build(&self.tar, control)?.document.clone())
            }
        }
    }
}
