//! Where content goes: [`Target`], and one run of writing to it, [`TargetWriter`].
//!
//! The order of the calls, what may happen at the same time and what a drop means stand in [`crate::content`]. The costs:
//!
//! | call                        | on this machine                              | a registry                                     |
//! |-----------------------------|----------------------------------------------|------------------------------------------------|
//! | [`Target::begin`]           | free space, the journal, places in a file    | nothing                                        |
//! | [`TargetWriter::open_blob`] | looks at the file's size, takes a lock       | one request; one more to continue an upload    |
//! | [`BlobWriter`](super::BlobWriter) | bytes are written as they come, and renamed | one request for all bytes, or one per chunk |
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

/// Something that content can be written to.
pub trait Target: Lookup {
    /// Constant facts about how this target is written to.
    fn properties(&self) -> TargetProperties;

    /// Refuses a document that this target cannot represent. Sends no request, so that a plan can do it too.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`].
    fn check_document(&self, document: &Document) -> Result<()> {
        let _ = document;
        Ok(())
    }

    /// Prepares for writing exactly this: checks space and what cannot be represented, reserves places, and makes durable
    /// what has to be known after a power failure. Costs no request.
    ///
    /// # Errors
    /// Where the plan cannot be carried out: nothing has moved yet, and nothing is left behind.
    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>>;
}

/// One run of writing to a [`Target`]. The module documentation has the order of the calls.
pub trait TargetWriter: Send + Sync {
    /// Asks the target to take one blob, which it may have already. Waits while the same blob is being written elsewhere, if
    /// the target can tell.
    ///
    /// One request if possible: "is it there", mount and "send it here" together.
    ///
    /// # Errors
    /// Transient ones are worth another call. [`ErrorKind::Unsupported`] if a sequential target does not expect this blob
    /// next, and after `finish`.
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlob,
    ) -> BoxFuture<'a, Result<Opened>>;

    /// Whether the target redirected the last write of this blob: it must be opened again, and its bytes read anew. This is
    /// part of one attempt and not a retry; the target limits how often it redirects. Sends nothing.
    fn is_redirected(&self, digest: &Digest) -> bool {
        let _ = digest;
        false
    }

    /// Stores a manifest or index whose blobs and children are there, and gives it its names. A name that stood for another
    /// manifest stands for this one afterwards. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlobs`] if content that the document names is missing, as far as the target can tell (see
    /// [`missing_content`](super::missing_content)). No name has changed then.
    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Ends the run: what was reported is as durable and as visible as this target promises. Further calls are refused.
    fn finish(&self) -> BoxFuture<'_, Result<()>>;
}

/// Constant facts about a [`Target`] that decide how it is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetProperties {
    /// A manifest that is there proves the blobs it names: a registry checks them when it takes one.
    pub manifests_imply_blobs: bool,
    /// Takes one blob at a time, in the order of the plan: a pipe.
    pub sequential: bool,
    /// Nothing has a name before `finish`, which names everything or nothing: an archive.
    pub atomic: bool,
}

/// What is known about a blob that is opened for writing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenBlob {
    /// A repository of the same registry that the blob may be mounted from.
    pub mount_from: Option<String>,
    /// Send it without asking: the target said that it has it, and that was wrong.
    pub resend: bool,
}

/// What a manifest is at the target.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
    /// Named by a parent that follows, or known by its digest only.
    Child,
    /// An image.
    Root {
        /// What it is called; one request for several tags, if the registry can do that.
        names: &'a [ImageName],
        /// Where it is known to be from.
        provenance: &'a Provenance,
    },
    /// A referrer or digest tag: belongs to an image that follows, and stays no longer than that.
    Attached {
        /// What it is called.
        names: &'a [ImageName],
        /// Where it is known to be from.
        provenance: &'a Provenance,
    },
}

/// A target with nothing in it that takes nothing: what a plan looks at if a layout does not exist yet.
#[derive(Clone, Debug)]
pub struct EmptyTarget {
    endpoint: Endpoint,
}

impl EmptyTarget {
    /// An empty target; `location` is where it would be.
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
        let refusal = Error::new(ErrorKind::Unsupported, "a plan").with_reason("moves nothing");
        Box::pin(ready(Err(refusal)))
    }
}
