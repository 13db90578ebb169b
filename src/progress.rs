//! Events that report progress. Nothing but display may depend on them.

use std::sync::Arc;
use std::time::Duration;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Error;

/// An event of a run or of other work that takes long.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A reference was resolved.
    #[non_exhaustive]
    Resolved {
        /// The reference as the caller gave it.
        reference: &'a str,
        /// Digest of the root document.
        digest: &'a Digest,
        /// Documents that will be stored, children before parents; the last one gets the name.
        documents: &'a [Document],
        /// The index that a manifest was selected from.
        index: Option<&'a Document>,
    },
    /// The plan is complete. Sent once, before any [`Event::BlobStarted`].
    #[non_exhaustive]
    Planned {
        /// Each blob once, with the number of bytes that the target already has.
        blobs: &'a [(&'a Descriptor, u64)],
        /// Those among them that are rebuilt, with the number of bytes that are received for them.
        rebuilt: &'a [(&'a Digest, u64)],
    },
    /// A blob starts to move.
    #[non_exhaustive]
    BlobStarted {
        /// Digest of the blob.
        digest: &'a Digest,
        /// Bytes kept from an earlier run, which are verified again.
        position: u64,
    },
    /// More bytes of a blob have arrived.
    #[non_exhaustive]
    BlobAdvanced {
        /// Digest of the blob.
        digest: &'a Digest,
        /// Bytes at the target, including those kept from an earlier run.
        position: u64,
    },
    /// An attempt failed, and another one follows.
    #[non_exhaustive]
    Retrying {
        /// Digest of the blob.
        digest: &'a Digest,
        /// Time until the next attempt.
        delay: Duration,
        /// Why the attempt failed.
        error: &'a Error,
    },
    /// A blob is at the target, verified. Sent once for each target.
    #[non_exhaustive]
    BlobFinished {
        /// Digest of the blob.
        digest: &'a Digest,
        /// How it got there.
        completion: Completion<'a>,
    },
    /// An image is complete and has its name at the target.
    #[non_exhaustive]
    Committed {
        /// The reference as the caller gave it.
        reference: &'a str,
    },
    /// The run has ended; no event follows.
    RunFinished,
    /// Bytes of a phase outside of runs are done. Events of concurrent threads may arrive out of order.
    #[non_exhaustive]
    PhaseAdvanced {
        /// The phase.
        phase: Phase,
        /// Bytes done so far.
        done: u64,
        /// Total bytes, as far as they are known in advance.
        total: u64,
    },
    /// A phase has ended. Not sent for a phase without work.
    #[non_exhaustive]
    PhaseFinished {
        /// The phase.
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
    /// An archive is scanned: the whole file if it is compressed or a pipe, compressed layers of a docker-archive when
    /// their image is looked up; counts what is read, compressed.
    Scan,
    /// The layers of a docker-archive are written, decompressed; counts what is read of them, compressed.
    Pack,
    /// Layers are unpacked; counts what is read of them, compressed.
    Unpack,
    /// Layers are read into one tree; counts what is read of them, compressed.
    Flatten,
    /// The tree is written as a tar.
    Export,
    /// Layers are read to look at their files; counts what is read of them, compressed.
    Read,
    /// The files of an artifact are transferred.
    Fetch,
}

impl Phase {
    /// What was done, for errors.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Recheck | Self::Verify => "check",
            Self::Scan => "read the archive",
            Self::Pack => "write the archive",
            Self::Unpack => "unpack",
            Self::Flatten | Self::Export => "export",
            Self::Read => "read",
            Self::Fetch => "fetch",
        }
    }
}

/// How a blob got to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Completion<'a> {
    /// Its bytes were transferred.
    Transferred,
    /// The target already had it.
    Shared,
    /// Mounted from this repository of the target's registry.
    Mounted(&'a str),
    /// Rebuilt from layers of the target and a delta.
    Rebuilt,
}

/// Receives events, from any task or thread, at any rate. Must not block.
pub trait Progress: Send + Sync {
    /// Receives one event.
    fn on_event(&self, event: &Event<'_>);
}

/// A function that receives events: `|event: &Event<'_>| …`.
impl<F: Fn(&Event<'_>) + Send + Sync> Progress for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

impl<P: Progress + ?Sized> Progress for Arc<P> {
    fn on_event(&self, event: &Event<'_>) {
        (**self).on_event(event);
    }
}

/// Ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn on_event(&self, _: &Event<'_>) {}
}
