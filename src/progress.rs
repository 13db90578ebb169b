//! The one way the library tells what is happening; drawing it is the caller's business.

use std::sync::Arc;
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
    /// So much of a phase outside of runs is done. Of threads that work at once, one may tell less than another did before.
    PhaseAdvanced {
        /// Which one.
        phase: Phase,
        /// Bytes that are done.
        done: u64,
        /// Bytes in all, as far as it is known before.
        total: u64,
    },
    /// Nothing more will happen in this phase. Not told of one that did nothing.
    PhaseFinished {
        /// Which one.
        phase: Phase,
    },
}

/// Work that takes long and is counted in bytes, beside the transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Blobs that a power failure may have damaged are hashed, before a layout is written to.
    Recheck,
    /// The blobs of images are hashed.
    Verify,
    /// Layers are unpacked; counts what is read of them, compressed.
    Unpack,
    /// Layers are read into one tree; counts what is read of them, compressed.
    Flatten,
    /// The tree is written as a tar.
    Export,
}

impl Phase {
    /// What was done, for errors.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Recheck | Self::Verify => "check",
            Self::Unpack => "unpack",
            Self::Flatten | Self::Export => "export",
        }
    }
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

/// A function that takes events: `|event: &Event<'_>| …`.
impl<F: Fn(&Event<'_>) + Send + Sync> Progress for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

impl Progress for Arc<dyn Progress> {
    fn on_event(&self, event: &Event<'_>) {
        (**self).on_event(event);
    }
}

/// Takes events and does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn on_event(&self, _: &Event<'_>) {}
}
