//! The images of an archive of either format, and their names.

use super::docker::{self, DockerImage};
use super::format::ArchiveFormat;
use super::oci;
use super::small_file::missing_required;
use super::tarball::TarIndex;
use crate::annotation;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
pub(super) use crate::reference::full_name;

/// Maximum number of names and unnamed images in an archive: each costs as much as an image.
pub(super) const MAX_IMAGES: usize = 10_000;

/// One image and all its names.
#[derive(Debug)]
pub(super) struct ArchiveImage {
    pub(super) names: Vec<String>,
    pub(super) content: ImageContent,
}

/// Where the content of an image is.
#[derive(Debug)]
pub(super) enum ImageContent {
    /// A document stored under its digest.
    Document(Descriptor),
    /// Files that are converted to a manifest.
    DockerFiles(DockerImage),
}

impl ArchiveImage {
    fn of_layout(entry: Descriptor) -> Self {
        Self { names: annotation::names(&entry), content: ImageContent::Document(entry) }
    }

    fn of_docker(docker_image: DockerImage) -> Self {
        let names = docker_image.tags().iter().map(|tag| full_name(tag)).collect();
        Self { names, content: ImageContent::DockerFiles(docker_image) }
    }

    /// Its own names, without the tag that follows the full name of a layout's entry.
    pub(super) fn own_names(&self) -> &[String] {
        match self.content {
            ImageContent::Document(_) => self.names.get(..1).unwrap_or_default(),
            ImageContent::DockerFiles(_) => &self.names,
        }
    }

    pub(super) fn descriptor(&self) -> Option<&Descriptor> {
        match &self.content {
            ImageContent::Document(descriptor) => Some(descriptor),
            ImageContent::DockerFiles(_) => None,
        }
    }
}

/// The images in the requested format. With `None`, those of the layout unless it is empty or missing.
pub(super) fn images(tar: &TarIndex, format: Option<ArchiveFormat>) -> Result<Vec<ArchiveImage>> {
    let of_layout = |entries: Vec<_>| entries.into_iter().map(ArchiveImage::of_layout).collect();
    let of_docker =
        |docker_images: Vec<_>| docker_images.into_iter().map(ArchiveImage::of_docker).collect();
    let layout: Option<Vec<_>> = oci::images(tar)?.map(of_layout);
    let images = match (format, layout) {
        (Some(ArchiveFormat::Oci), Some(images)) => images,
        (Some(ArchiveFormat::Oci), None) => {
            return Err(missing_required("oci-layout").with_detail(ErrorDetail::NotOciArchive));
        }
        (_, Some(images)) if !images.is_empty() => images,
        (_, layout) => match (docker::images(tar)?.map(of_docker), layout) {
            (Some(images), _) | (None, Some(images)) => images,
            (None, None) => {
                return Err(
                    missing_required("manifest.json").with_detail(ErrorDetail::NotDockerArchive)
                );
            }
        },
    };
    if images.iter().map(|image| image.own_names().len().max(1)).sum::<usize>() > MAX_IMAGES {
        let reason = format!("lists more than {MAX_IMAGES} images");
        return Err(Error::new(ErrorKind::Store, "archive").with_reason(reason));
    }
    Ok(images)
}
