//! Where content goes: [`Target`], and one run of writing to it, [`TargetWriter`].
//!
//! See [`crate::content`] for the order of calls, concurrency and the meaning of a drop. Costs:
//!
//! | call                        | on this machine                              | a registry                                     |
//! |-----------------------------|----------------------------------------------|------------------------------------------------|
//! | [`Target::begin`]           | free space, the journal, space in a file     | nothing                                        |
//! | [`TargetWriter::open_blob`] | looks at the file's size, takes a lock       | one request; one more to continue an upload    |
//! | [`BlobWriter`](super::BlobWriter) | bytes are written as received, then renamed | one request for all bytes, or one per chunk |
//! | [`TargetWriter::put_manifest`] | writes the document, and index.json        | one request for each name, or for all tags     |
//! | [`TargetWriter::finish`]    | syncs what the target promises to sync       | nothing                                        |

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{
    BlobPresence, Effort, Endpoint, EndpointKind, Lookup, Opened, Presence, Provenance, TargetPlan,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::setters::setters;

/// Something that content can be written to.
pub trait Target: Lookup {
    /// Constant facts about how this target is written to.
    fn properties(&self) -> TargetProperties;

    /// Refuses a document that this target cannot represent. Sends no request, so that a plan can call it too.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`].
    fn check_document(&self, document: &Document) -> Result<()> {
        let _ = document;
        Ok(())
    }

    /// Prepares for writing exactly this plan: checks space and what cannot be represented, reserves space in files,
    /// and records durably what must be known after a power failure. Costs no request.
    ///
    /// # Errors
    /// If the plan cannot be carried out. Nothing was transferred yet, and nothing is left behind.
    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>>;
}

/// One run of writing to a [`Target`]. The module documentation has the order of the calls.
pub trait TargetWriter: Send + Sync {
    /// Opens one blob for writing, unless the target has it already. Waits while another task or process is writing the
    /// same blob, if the target can tell.
    ///
    /// One request if possible, which checks for the blob, mounts it or opens an upload.
    ///
    /// # Errors
    /// Transient ones are worth another call. [`ErrorKind::Unsupported`] if a sequential target does not expect this
    /// blob next, and after `finish`.
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>>;

    /// Whether the target redirected the last write of this blob: it must be opened again, and its bytes read anew.
    /// This is part of one attempt and not a retry; the target limits the number of redirects. Sends nothing.
    fn is_redirected(&self, digest: &Digest) -> bool {
        let _ = digest;
        false
    }

    /// Stores a manifest or index whose blobs and children exist, and sets its names. A name that pointed to another
    /// manifest points to this one afterwards. Idempotent.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlobs`] if referenced content is missing, as far as the target can tell (see
    /// [`missing_content`](super::missing_content)). No name has changed then.
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Ends the run: everything reported is as durable and as visible as this target promises. Further calls are
    /// refused.
    fn finish(&self) -> BoxFuture<'_, Result<()>>;
}

/// Constant facts about a [`Target`] that decide how it is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetProperties {
    /// An existing manifest proves that its blobs exist: a registry checks them when it accepts a manifest.
    pub manifests_imply_blobs: bool,
    /// Accepts one blob at a time, in the order of the plan: a pipe.
    pub sequential: bool,
    /// Nothing has a name before `finish`, which names everything or nothing: an archive.
    pub atomic: bool,
}

impl TargetProperties {
    setters! {
        flag manifests_imply_blobs;
        flag sequential;
        flag atomic;
    }
}

/// Details for opening a blob.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenBlobOptions {
    /// A repository of the same registry that the blob may be mounted from.
    pub mount_from: Option<String>,
    /// Upload without checking: the target reported the blob as present, and that was wrong.
    pub resend: bool,
}

impl OpenBlobOptions {
    setters! {
        optional into mount_from: String;
        flag resend;
    }
}

/// The role of a manifest at the target.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Role<'a> {
    /// Referenced by a parent that follows, or known only by its digest.
    Child,
    /// An image.
    Root {
        /// Its names; several tags take one request if the registry supports that.
        names: &'a [ImageName],
        /// Its known origins.
        provenance: &'a Provenance,
    },
    /// A referrer or digest tag of an image that follows; it is kept no longer than that image.
    Attached {
        /// Its names.
        names: &'a [ImageName],
        /// Its known origins.
        provenance: &'a Provenance,
    },
}

impl<'a> Role<'a> {
    /// The names to set.
    pub fn names(self) -> &'a [ImageName] {
        match self {
            Self::Child => &[],
            Self::Root { names, .. } | Self::Attached { names, .. } => names,
        }
    }
}

/// An empty target that accepts nothing: stands for a layout that does not exist yet, in a plan.
#[derive(Clone, Debug)]
pub struct EmptyTarget {
    endpoint: Endpoint,
}

impl EmptyTarget {
    /// Creates an empty target; `location` is where the real one would be.
    pub fn new(location: String) -> Self {
        let kind = EndpointKind::Layout;
        Self { endpoint: Endpoint { location, kind, ..Endpoint::default() } }
    }
}

impl Lookup for EmptyTarget {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        _: &'a ImageName,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(ready(Ok(Presence::Absent)))
    }

    fn read<'a>(
        &'a self,
        _: &'a Descriptor,
        _: u64,
        _: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(ready(Ok(Presence::Absent)))
    }

    fn blob<'a>(&'a self, _: &'a Descriptor, _: Effort) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(ready(Ok(BlobPresence::Absent)))
    }
}

impl Target for EmptyTarget {
    fn properties(&self) -> TargetProperties {
        TargetProperties::default()
    }

    fn begin<'a>(&'a self, _: &'a TargetPlan<'a>) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        let refusal = Error::new(ErrorKind::Unsupported, "write")
            .with_reason("this target is a placeholder for a plan");
        Box::pin(ready(Err(refusal)))
    }
}
