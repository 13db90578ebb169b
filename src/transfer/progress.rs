//! The one way the library tells what is happening; drawing it is the caller's business.

use std::time::Duration;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Error;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A name stands for this digest.
    Resolved {
        /// The reference as the caller wrote it down.
        reference: &'a str,
        /// The root document's digest.
        digest: &'a Digest,
        /// What of it was chosen, children before parents; the last one gets the name.
        documents: &'a [Document],
        /// The index that a manifest was chosen from.
        index: Option<&'a Document>,
    },
    /// The plan stands; `missing` bytes will travel. Told once, before any [`Event::BlobStarted`].
    Planned {
        /// Every unique blob and the bytes that the target already has of it.
        blobs: &'a [(&'a Descriptor, u64)],
    },
    /// A blob's turn has come; it stands at `position` bytes that were kept from an earlier run.
    BlobStarted {
        /// Which one.
        digest: &'a Digest,
        /// Bytes there already, to be verified again.
        position: u64,
    },
    /// The blob now stands at `position`.
    BlobAdvanced {
        /// Which one.
        digest: &'a Digest,
        /// Bytes there, kept ones included.
        position: u64,
    },
    /// A try failed and another follows.
    Retrying {
        /// Which blob.
        digest: &'a Digest,
        /// After this wait.
        delay: Duration,
        /// What went wrong.
        error: &'a Error,
    },
    /// The blob is there, verified.
    BlobFinished {
        /// Which one.
        digest: &'a Digest,
        /// How it came to be there.
        completion: Completion<'a>,
    },
    /// The image is complete and named at the target.
    Committed {
        /// The reference as the caller wrote it down.
        reference: &'a str,
    },
    /// Nothing more will happen in this run.
    RunFinished,
}

/// How a blob came to be at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion<'a> {
    /// Its bytes travelled.
    Transferred,
    /// The target turned out to have it.
    Shared,
    /// This other repository of the target's registry lent it.
    Mounted(&'a str),
}

/// Takes events, from any task, at any rate; must not block.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn on_event(&self, event: &Event<'_>);
}

/// Takes events and does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn on_event(&self, _: &Event<'_>) {}
}
