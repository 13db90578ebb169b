//! Content that can be written.

use std::fmt;
use std::future::ready;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{BlobPresence, Effort, Endpoint, EndpointKind, Lookup, Opened, Presence, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

/// What a committed root is called, and how it was found.
#[derive(Clone, Debug)]
pub struct Label {
    /// The name that it gets at the target; a former holder of the name loses it.
    pub name: ImageName,
    /// Each `registry/repository` that is known to have it.
    pub origins: Vec<String>,
    /// The index that a manifest was chosen from.
    pub index: Option<Document>,
}

/// An image that is about to come to a target.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// Its documents, children before parents.
    pub documents: &'a [Document],
    /// What the last of them is to be called.
    pub label: &'a Label,
    /// Where they come from.
    pub source: &'a dyn Source,
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Something that content can be written to.
pub trait Target: Lookup {
    /// Looks whether the name stands for this index already: then [`Target::stored`] gives what is below it, and the
    /// source, which may count what it is asked for, is left alone.
    fn recognise<'a>(
        &'a self,
        name: &'a ImageName,
        index: &'a Document,
    ) -> BoxFuture<'a, Result<()>> {
        let _ = (name, index);
        Box::pin(ready(Ok(())))
    }

    /// The document of this descriptor, verified, where the target is known to have it.
    fn stored<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Option<Document>>> {
        let _ = descriptor;
        Box::pin(ready(Ok(None)))
    }

    /// Looks, before anything is planned, at what there is under the image's name; tells whether all of it is there
    /// already, the name included. Later answers of [`Target::holds`] and [`Target::admit`] build on it.
    fn survey<'a>(&'a self, image: Incoming<'a>) -> BoxFuture<'a, Result<bool>> {
        let _ = image;
        Box::pin(ready(Ok(false)))
    }

    /// What is known of this blob at the target. Asks, opens and locks nothing.
    fn holds<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>>;

    /// Takes back that blobs are there, after [`Target::put`] failed so: with [`ErrorKind::MissingBlobs`].
    fn distrust(&self, error: &Error) {
        let _ = error;
    }

    /// Refuses so many bytes of blobs where there is certainly no space for them; nothing has moved yet.
    fn check_space(&self, bytes: u64) -> Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// Says what the run may commit, before the first commit.
    fn announce<'a>(&'a self, digests: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        let _ = digests;
        Box::pin(ready(Ok(())))
    }

    /// Whether blobs must come one after the other, in the order in which they were announced.
    fn in_order(&self) -> bool {
        false
    }

    /// Asks for one blob to be taken; waits where another writer of it is at work.
    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Opened>>;

    /// Stores a document whose children are there already, and names it.
    fn put<'a>(
        &'a self,
        document: &'a Document,
        label: Option<&'a Label>,
    ) -> BoxFuture<'a, Result<()>>;

    /// As [`Target::put`], for what belongs to an image that comes after it, and stays no longer than that.
    fn attach<'a>(&'a self, document: &'a Document, label: &'a Label) -> BoxFuture<'a, Result<()>> {
        self.put(document, Some(label))
    }

    /// Whether nothing has a name before [`Target::settle`], which gives it to all or to none.
    fn settles_all(&self) -> bool {
        false
    }

    /// Ends the run: what it reported is as durable as the target was asked to make it.
    fn settle(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(Ok(())))
    }
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

    fn refuse<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T>> {
        Box::pin(ready(Err(
            Error::new(ErrorKind::Unsupported, "a plan").with_reason("moves nothing")
        )))
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
    fn holds<'a>(&'a self, _: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(ready(Ok(BlobPresence::Absent)))
    }

    fn announce<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Self::refuse()
    }

    fn admit<'a>(&'a self, _: &'a Descriptor) -> BoxFuture<'a, Result<Opened>> {
        Self::refuse()
    }

    fn put<'a>(&'a self, _: &'a Document, _: Option<&'a Label>) -> BoxFuture<'a, Result<()>> {
        Self::refuse()
    }
}
