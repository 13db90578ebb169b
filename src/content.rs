//! Where content comes from and where it goes: [`Source`], [`Target`], and an open write, [`Ingest`].
//!
//! A registry, an image layout and an archive are ends of the same engine ([`mod@crate::transfer`]). An end is opened once
//! and bound to one repository or directory; the traits are object-safe because they are called per blob, never per byte.

use std::fmt;
use std::fs::File;
use std::future::ready;
use std::ops::AddAssign;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;
use crate::verifier::Verified;

/// Bytes as they arrive, in order, in pieces of no particular size.
pub type ByteStream<'a> = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'a>>;

/// What content is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageName {
    /// A tag of the repository that a registry end is bound to.
    Tag(String),
    /// A digest of a manifest or index.
    Digest(Digest),
    /// A layout's own name for an entry: usually `registry/repository:tag`.
    Layout(String),
    /// The only entry there is.
    Only,
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(text) | Self::Layout(text) => f.write_str(text),
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Only => f.write_str("the only image"),
        }
    }
}

/// Names that are listed where one has to be chosen.
const MOST_CHOICES: usize = 20;

/// The error where [`ImageName::Only`] could be any of these.
pub(crate) fn several_images(place: &str, choices: &[String]) -> Error {
    let listed = choices.get(..MOST_CHOICES).unwrap_or(choices).join(", ");
    let more = match choices.len().saturating_sub(MOST_CHOICES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::new(ErrorKind::InvalidInput, "image")
        .at(place)
        .with_reason(format!("has several images, name one: {listed}{more}"))
}

/// How an image of these names is chosen, by its digest where it has none.
pub(crate) fn choice(names: &[String], digest: &Digest) -> String {
    names.first().cloned().unwrap_or_else(|| format!("@{digest}"))
}

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

/// HTTP requests by endpoint; answered 401, redirect hops and repeats included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Manifests and indexes.
    pub manifest: u64,
    /// Blobs, at the registry and where it redirects to.
    pub blob: u64,
    /// Mounts and uploads of blobs.
    pub upload: u64,
    /// Token servers.
    pub token: u64,
    /// Tags, pings.
    pub other: u64,
}

impl RequestCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.manifest + self.blob + self.upload + self.token + self.other
    }
}

impl AddAssign for RequestCounts {
    fn add_assign(&mut self, more: Self) {
        self.manifest += more.manifest;
        self.blob += more.blob;
        self.upload += more.upload;
        self.token += more.token;
        self.other += more.other;
    }
}

/// What a target says about a blob that it should have.
pub enum Admission {
    /// It is there, with the right size.
    Present,
    /// It is there now: another repository of the same registry, named so, lent it.
    Mounted(String),
    /// Send it here.
    Open(Box<dyn Ingest>),
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("Present"),
            Self::Mounted(from) => f.debug_tuple("Mounted").field(from).finish(),
            Self::Open(_) => f.write_str("Open"),
        }
    }
}

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
pub trait Target: Send + Sync {
    /// The document that the target holds under this name, where looking costs nothing.
    fn held<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Option<Document>>> {
        let _ = name;
        Box::pin(ready(Ok(None)))
    }

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

    /// The bytes of a small blob that the target has, verified; `None` where it has not or cannot read them.
    fn stored_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let _ = (descriptor, limit);
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

    /// Asks whether the blob is there, where [`Target::holds`] cannot know.
    fn has<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<bool>> {
        let _ = descriptor;
        Box::pin(ready(Ok(false)))
    }

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
    fn admit<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Admission>>;

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

    /// HTTP requests sent on behalf of this target so far.
    fn requests(&self) -> RequestCounts {
        RequestCounts::default()
    }

    /// Where this is, for people.
    fn place(&self) -> String;
}

/// How much of a blob a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobPresence {
    /// All of it.
    Complete,
    /// So many bytes from the start, not yet verified.
    Partial(u64),
    /// Nothing, but another repository of the same registry can lend it.
    Mountable,
    /// Nothing that is known of.
    Absent,
}

/// An open write of one blob, invisible until committed. Dropping it keeps the partial for a later run.
pub trait Ingest: Send {
    /// Bytes kept from an earlier attempt or run.
    fn kept(&self) -> u64;

    /// The kept bytes, to be hashed again: they count for nothing until they are verified. `None` where they cannot be
    /// read back, so that the source has to give them once more.
    fn read_kept(&mut self) -> Result<Option<ByteStream<'_>>>;

    /// The kept bytes, and all that will be written, for others to read while they come; `None` where they do not lie in
    /// a file.
    fn file(&self) -> Result<Option<File>> {
        Ok(None)
    }

    /// Appends the next bytes: they are kept from here on, whatever happens to the process.
    fn write<'a>(&'a mut self, piece: &'a Bytes) -> BoxFuture<'a, Result<()>>;

    /// Throws the kept bytes away.
    fn restart(&mut self) -> Result<()>;

    /// Gives the write up for this reason, which another try would not mend.
    fn give_up(self: Box<Self>, why: &Error) -> BoxFuture<'_, ()> {
        let _ = why;
        Box::pin(ready(()))
    }

    /// Makes the blob visible under its digest; `proof` shows that the bytes were verified.
    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>>;
}

/// Remembers, from one run to the next, where unfinished uploads go on. None of it may fail a run: without memory an
/// upload starts over.
pub trait UploadStore: Send + Sync {
    /// The URL where the upload of this blob to `registry/repository` goes on.
    fn load(&self, target: &str, digest: &Digest) -> Option<Secret>;

    /// Keeps the URL, which lets whoever knows it write.
    fn save(&self, target: &str, digest: &Digest, url: &Secret);

    /// Forgets it: the upload ended.
    fn remove(&self, target: &str, digest: &Digest);
}

/// A target with nothing in it that takes nothing: what a plan looks at where a layout does not exist yet.
#[derive(Clone, Debug)]
pub struct EmptyTarget {
    /// Where it would be.
    pub place: String,
}

impl EmptyTarget {
    fn refuse<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T>> {
        Box::pin(ready(Err(
            Error::new(ErrorKind::Unsupported, "a plan").with_reason("moves nothing")
        )))
    }
}

impl Target for EmptyTarget {
    fn holds<'a>(&'a self, _: &'a Descriptor) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(ready(Ok(BlobPresence::Absent)))
    }

    fn announce<'a>(&'a self, _: &'a [Digest]) -> BoxFuture<'a, Result<()>> {
        Self::refuse()
    }

    fn admit<'a>(&'a self, _: &'a Descriptor) -> BoxFuture<'a, Result<Admission>> {
        Self::refuse()
    }

    fn put<'a>(&'a self, _: &'a Document, _: Option<&'a Label>) -> BoxFuture<'a, Result<()>> {
        Self::refuse()
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
