//! Content that can be read.

use std::fmt;
use std::future::ready;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;

use super::RequestCounts;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;

/// Bytes as they arrive, in order, in pieces of no particular size.
pub type ByteStream<'a> = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'a>>;

/// A blob on its way.
pub struct BlobStream {
    /// The first byte of the stream; 0 where the source ignored the wanted start.
    pub start: u64,
    /// The bytes from there; ends early without an error where the connection did.
    pub stream: ByteStream<'static>,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("start", &self.start).finish_non_exhaustive()
    }
}

/// Something that content can be read from.
pub trait Source: Send + Sync {
    /// The document of this name, its digest computed or verified.
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>>;

    /// The document of this descriptor, verified against it.
    fn document<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Document>>;

    /// What the name stands for, without the document where the source can tell; `None` where it cannot.
    fn head<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Option<Descriptor>>>;

    /// The blob from this byte on, not yet verified. `from` is less than the size, or both are 0.
    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        from: u64,
    ) -> BoxFuture<'a, Result<BlobStream>>;

    /// Size of the blob with this digest.
    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>>;

    /// The images that the name stands for where they are one for each platform, each with its platform; as
    /// [`Source::resolve`] and [`Source::head`] see it, the name stands for the host's. Empty where there is no choice.
    fn alike<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let _ = name;
        Box::pin(ready(Ok(Vec::new())))
    }

    /// The bytes of a small blob or document, verified, where the source has them and reading them asks nobody.
    fn at_hand<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let _ = (descriptor, limit);
        Box::pin(ready(Ok(None)))
    }

    /// Whether the blob is known not to be here, without asking anybody.
    fn lacks(&self, digest: &Digest) -> bool {
        let _ = digest;
        false
    }

    /// What the source knows to refer to this manifest: signatures, SBOMs and the like. The list need not be true.
    fn referrers<'a>(&'a self, subject: &'a Digest) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        let _ = subject;
        Box::pin(ready(Ok(Vec::new())))
    }

    /// HTTP requests sent on behalf of this source so far.
    fn requests(&self) -> RequestCounts {
        RequestCounts::default()
    }

    /// Each `registry/repository` that has this document of the source: what came from there can be asked for there.
    fn origins(&self, document: &Document) -> Vec<String> {
        let _ = document;
        Vec::new()
    }

    /// The index that this document, named by the source, was chosen from, where the source remembers it.
    fn chosen_from<'a>(&'a self, document: &'a Document) -> BoxFuture<'a, Option<Document>> {
        let _ = document;
        Box::pin(ready(None))
    }

    /// What sort of place this is.
    fn kind(&self) -> SourceKind {
        SourceKind::Registry
    }

    /// Where this is, for people: `docker.io/library/alpine`, `oci:/tmp/x`.
    fn location(&self) -> String;
}

/// What sort of place content is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Something that answers over a network, which may answer better the next time.
    Registry,
    /// A layout on this machine, which a pull can fill.
    Layout,
    /// An archive on this machine.
    Archive,
}

impl SourceKind {
    /// Whether it is on this machine: what is wrong with its bytes now will be wrong the next time.
    pub fn is_local(self) -> bool {
        self != Self::Registry
    }
}
