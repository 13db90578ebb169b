//! Images in a tar: an image layout (`oci-archive:`), or what `docker save` writes (`docker-archive:`).
//!
//! ```text
//! reading   open      a plain tar that can be read in any order; pipes and compressed ones are spooled
//!           spool     the file for what can be read once only
//!           tarball   which bytes of it are which entry
//!           oci       oci-layout, index.json, blobs/
//!           docker    manifest.json, and the OCI manifest that is made of it
//! writing   shelf     blobs on their way, each at a place of its own in one file
//!           draft     a file without a name, which gets it when everything in it is verified
//!           oci_target, docker_target
//! ```
//!
//! An archive is read in place, never extracted. One that is written appears under its name whole, or not at all.

mod atomic_file;
mod blob_area;
mod blob_span;
mod called;
mod docker;
mod docker_manifest;
mod docker_target;
mod header;
mod inventory;
mod layers;
mod named;
mod names;
mod oci;
mod oci_target;
mod open;
mod options;
mod parts;
mod single_run;
mod sink;
mod source;
mod spool;
mod tarball;
mod writer;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

#[cfg(feature = "cli")]
pub(crate) use self::atomic_file::{AtomicFile, io_error};
use self::docker::DockerImage;
pub use self::options::{ArchiveOutput, WriteOptions};
use self::tarball::{EntryError, TarIndex};
pub use self::writer::write;
use crate::content::{Endpoint, EndpointKind};
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::reference::Reference;

/// The largest JSON file of an archive that is read, in bytes; containerd has the same limit.
const JSON_LIMIT: u64 = 20 << 20;

/// Names of images, and images without one, that an archive lists: each costs as much as an image.
const MOST: usize = 10_000;

/// Which kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// A tar of an image layout.
    Oci,
    /// What `docker save` writes; the form with a layout in it is read as that.
    Docker,
}

impl fmt::Display for ArchiveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "oci-archive",
            Self::Docker => "docker-archive",
        })
    }
}

/// An archive that is open for reading.
#[derive(Clone, Debug)]
pub struct Archive(Arc<ArchiveInner>);

#[derive(Debug)]
struct ArchiveInner {
    tar: Arc<TarIndex>,
    images: Vec<ArchiveImage>,
    endpoint: Endpoint,
    /// The path, for people.
    shown: String,
}

#[derive(Debug)]
struct ArchiveImage {
    names: Vec<String>,
    content: ImageContent,
}

#[derive(Debug)]
enum ImageContent {
    /// A document under its digest.
    Document(Descriptor),
    /// Files of which a manifest is made.
    DockerFiles(DockerImage),
}

impl Archive {
    /// Opens an archive, standard input for the path `-`; `None` takes either form.
    ///
    /// Waits for the disk, and for the other end of a pipe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such file, [`ErrorKind::Store`] for what is no archive of that form.
    pub fn open(path: &Path, form: Option<ArchiveFormat>) -> Result<Self> {
        let shown = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        let location = form.map_or_else(|| shown.clone(), |form| format!("{form}:{shown}"));
        let endpoint = Endpoint { location, kind: EndpointKind::Archive, ..Endpoint::default() };
        let tar = Arc::new(open::open(path, &shown)?);
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
            Some(name) => *self.0.called(name)?.first().ok_or_else(|| self.0.lacks(name))?,
            None => self.0.only_image()?,
        };
        Ok(image.names.first().cloned().unwrap_or_default())
    }
}

impl ArchiveInner {
    /// Where this is, for people.
    fn place(&self) -> &str {
        &self.endpoint.location
    }

    fn document_of(&self, image: &ArchiveImage, stop: &CancellationToken) -> Result<Document> {
        match &image.content {
            ImageContent::Document(descriptor) => self.read_document(descriptor, stop),
            ImageContent::DockerFiles(recipe) => {
                Ok(recipe.build(&self.tar, stop)?.document.clone())
            }
        }
    }
}

/// The images of the form that was asked for; without one, of the layout where there is one that is not empty.
fn images(tar: &TarIndex, form: Option<ArchiveFormat>) -> Result<Vec<ArchiveImage>> {
    let layout = oci::images(tar)?;
    let images = match (form, layout) {
        (Some(ArchiveFormat::Oci), Some(images)) => images,
        (Some(ArchiveFormat::Oci), None) => {
            return Err(lacking("oci-layout").with_detail(ErrorDetail::NotOciArchive));
        }
        (_, Some(images)) if !images.is_empty() => images,
        (_, layout) => match (docker::images(tar)?, layout) {
            (Some(images), _) | (None, Some(images)) => images,
            (None, None) => {
                return Err(lacking("manifest.json").with_detail(ErrorDetail::NotDockerArchive));
            }
        },
    };
    if images.iter().map(|image| image.own_names().len().max(1)).sum::<usize>() > MOST {
        let why = format!("lists more than {MOST} images");
        return Err(Error::new(ErrorKind::Store, "archive").with_reason(why));
    }
    Ok(images)
}

fn lacking(file: &str) -> Error {
    Error::new(ErrorKind::Store, "archive").with_reason(format!("has no {file}"))
}

fn full(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.store_name())
}

/// What an index.json lists.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if it is not an index.
pub fn entries_of_index(index: &[u8]) -> Result<Vec<Descriptor>> {
    oci::entries(index).map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, oci::INDEX)
            .with_reason("is corrupt")
            .with_source(error)
    })
}

/// A small file of the archive, by the name that is the only thing that vouches for it; `None` where it is not there.
fn small_file(tar: &TarIndex, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match tar.find_unique(name) {
        Ok(span) => small(tar, name, span, limit).map(Some),
        Err(EntryError::Missing) => Ok(None),
        Err(EntryError::Unusable(why)) => Err(unusable(name, why)),
    }
}

fn small(tar: &TarIndex, name: &str, span: Range<u64>, limit: u64) -> Result<Vec<u8>> {
    if span.end - span.start > limit {
        return Err(unusable(name, &format!("is larger than the limit of {limit} bytes")));
    }
    tar.bytes(span).map_err(|error| {
        Error::new(ErrorKind::Store, format!("read {name} of the archive")).with_source(error)
    })
}

fn unusable(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Store, format!("`{name}` of the archive")).with_reason(why)
}
