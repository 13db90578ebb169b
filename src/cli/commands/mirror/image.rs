//! An image of the file, and what is known of it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::image::open::OpenedLocation;
use crate::content::Target;
use crate::digest::Digest;
use crate::error::Error;
use crate::location::Location;
use crate::mirror::MirrorEntry;
use crate::name::ImageName;
use crate::reference::Reference;
use crate::transfer::ImageRequest;

/// An image of the file, for one target.
pub(super) struct MirrorImage {
    /// Its name at the target, or at the source if that is not known.
    pub(super) reference: String,
    pub(super) status: Status,
}

pub(super) enum Status {
    /// It may have changed.
    Pending(Box<Pending>),
    /// The target has it.
    Unchanged(Box<Pending>, Copied),
    Failed(Error),
}

/// An image with its open source and target.
pub(super) struct Pending {
    pub(super) request: ImageRequest,
    pub(super) target: Arc<dyn Target>,
    /// Its name at the source.
    pub(super) source: String,
    /// The tag never changes.
    pub(super) is_immutable: bool,
}

/// An image that the target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Digest of the name at the source.
    pub(super) resolved: Digest,
    /// Digest of the name at the target.
    pub(super) digest: Digest,
}

impl MirrorImage {
    pub(super) fn failed(reference: &str, error: Error) -> Self {
        Self { reference: reference.to_owned(), status: Status::Failed(error) }
    }

    /// The image, if it may have changed.
    pub(super) fn pending(&self) -> Option<&Pending> {
        match &self.status {
            Status::Pending(image) => Some(image),
            Status::Unchanged(..) | Status::Failed(_) => None,
        }
    }

    /// Where it is, or should be.
    pub(super) fn target(&self) -> Option<&Arc<dyn Target>> {
        match &self.status {
            Status::Pending(image) | Status::Unchanged(image, _) => Some(&image.target),
            Status::Failed(_) => None,
        }
    }
}

/// An image before its target is open.
pub(super) struct Found<'a> {
    pub(super) entry: &'a MirrorEntry,
    pub(super) opened: OpenedLocation,
    pub(super) tag: Option<String>,
    pub(super) to: Location,
}

/// A registry target that the file names, with its entry. A repository without a selected tag has neither tag nor digest.
pub(super) struct NamedTarget<'a> {
    pub(super) entry: &'a MirrorEntry,
    pub(super) to: Reference,
}

/// A layout that the file names as a target, with its entry. One without a selected image has no name.
pub(super) struct NamedLayout<'a> {
    pub(super) entry: &'a MirrorEntry,
    pub(super) path: PathBuf,
    pub(super) name: Option<ImageName>,
}

impl NamedLayout<'_> {
    pub(super) fn location(&self) -> Location {
        Location::Layout { path: self.path.clone(), name: ImageName::Only }
    }
}

impl NamedTarget<'_> {
    pub(super) fn tag(&self) -> Option<&str> {
        self.to.tag().filter(|_| self.to.digest().is_none())
    }
}
