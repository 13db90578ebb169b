//! Content that can be read.

use std::fmt;
use std::future::ready;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};

use super::lookup::{Lookup, Presence};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;
use crate::setters::setters;

/// Bytes as they arrive, in order, in buffers of no particular size.
pub type ByteStream<'a> = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'a>>;

/// A range of bytes of a blob.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlobRequest<'a> {
    /// The blob.
    pub descriptor: &'a Descriptor,
    /// The requested bytes, within the size in the descriptor. Empty only for an empty blob.
    pub range: Range<u64>,
}

impl<'a> BlobRequest<'a> {
    /// The blob from this byte to its end.
    pub fn starting_at(descriptor: &'a Descriptor, start: u64) -> Self {
        Self { descriptor, range: start..descriptor.size }
    }

    setters! {
        value range: Range<u64>;
    }

    /// The bytes to read from a file: one more than requested if the range reaches the end of the blob, so that a file
    /// that is too long is detected.
    pub fn range_to_read(&self) -> Range<u64> {
        let is_end = self.range.end >= self.descriptor.size;
        self.range.start..self.range.end.saturating_add(u64::from(is_end))
    }
}

/// Bytes of a blob as they arrive.
#[non_exhaustive]
pub struct BlobStream {
    /// Position of the first byte of the stream in the blob: that of the range, or 0 if the source ignores ranges.
    pub start: u64,
    /// The bytes from there; may end early without an error, and after an ignored range with the blob.
    pub stream: ByteStream<'static>,
    /// Whether the source has said that it supports ranges, without being asked for one. Most that do don't say so.
    pub announces_ranges: bool,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream").field("start", &self.start).finish_non_exhaustive()
    }
}

impl BlobStream {
    /// The bytes from `start` on, a position in the blob.
    pub fn new(start: u64, stream: ByteStream<'static>) -> Self {
        Self { start, stream, announces_ranges: false }
    }

    /// Ends the stream with the range, unless that reaches the end of the blob.
    #[must_use]
    pub fn truncated_to(mut self, request: &BlobRequest<'_>) -> Self {
        if request.range.end >= request.descriptor.size {
            return self;
        }
        let left = request.range.end.saturating_sub(self.start);
        let cut = |(mut stream, left): (ByteStream<'static>, u64)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(mut bytes) = stream.try_next().await? else { return Ok(None) };
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - bytes.len() as u64;
            Ok(Some((bytes, (stream, left))))
        };
        self.stream = Box::pin(stream::try_unfold((self.stream, left), cut));
        self
    }
}

/// Known origins of a document.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Provenance {
    /// Every `registry/repository` that is known to have the document and the content it references.
    pub repositories: Vec<String>,
    /// Every `registry/repository` that is known to have some of the blobs: that of the image that this one was made of.
    pub mount_sources: Vec<String>,
    /// The index that the document was selected from.
    pub parent_index: Option<Document>,
}

impl Provenance {
    setters! {
        value repositories: Vec<String>;
        value mount_sources: Vec<String>;
        optional parent_index: Document;
    }
}

/// Where the files of a layer are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackedLayer {
    /// The directory with the files of this layer alone, as overlayfs uses it.
    pub directory: PathBuf,
    /// Bytes of the files as the engine counted them when it unpacked the layer.
    pub size: Option<u64>,
}

impl UnpackedLayer {
    /// A layer in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), size: None }
    }

    setters! {
        optional size: u64;
    }
}

/// Content that can be read.
pub trait Source: Lookup {
    /// The document with this name. Costs a request if the source is remote, whatever was asked before.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if the source does not have it.
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>>;

    /// Bytes of a blob, not verified.
    ///
    /// The stream begins at the start of the range, or at byte 0 if the source cannot begin elsewhere; it may end early.
    /// It ends with the range, unless the source ignores that and begins at 0, or it reaches the end of the blob: a blob that is
    /// larger than its descriptor says then gives more bytes than asked for, which the caller must refuse.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if the source does not have it.
    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>>;

    /// Stops reading a blob from where it came from, because its bytes were wrong. Returns whether it can be read from
    /// elsewhere now: a registry may have mirrors.
    fn exclude_wrong(&self, blob: &Digest) -> bool {
        let _ = blob;
        false
    }

    /// The manifests that refer to this one: signatures, SBOMs and the like. `Unknown` if the source cannot list them.
    ///
    /// The list is not verified: what it says about a manifest may be wrong.
    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        let _ = subject;
        Box::pin(ready(Ok(Presence::Unknown)))
    }

    /// Known origins of a document of this source.
    fn provenance<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Provenance> {
        let _ = document;
        Box::pin(ready(Provenance::default()))
    }

    /// All entries with this name, if there is one per platform; [`Source::resolve`] selects that of the host.
    /// `Unknown` if a name of this source always points to one document.
    fn platform_entries<'a>(
        &'a self,
        name: &'a ImageName,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        let _ = name;
        Box::pin(ready(Ok(Presence::Unknown)))
    }

    /// Where the source keeps the files of the layer with this chain id; `None` if it keeps no unpacked layers, or not this
    /// one.
    fn unpacked_layer(&self, chain_id: &Digest) -> Option<UnpackedLayer> {
        let _ = chain_id;
        None
    }
}
