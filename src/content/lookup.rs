//! Questions about content, and what an answer may cost.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;
use crate::setters::setters;
use crate::size::size;
use crate::verifier::verified_inline_data;

/// What an answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effort {
    /// Memory and local disks only. A remote endpoint answers `Unknown` unless it needs no request.
    Local,
    /// A small, fixed number of requests: one, as a rule. Authentication, redirects and retries are not counted.
    Request,
}

/// Whether content exists, with details about it.
///
/// `Unknown` is never treated as `Absent`: a run must not refuse to start because of it. Nor is it treated as
/// `Present`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence<T> {
    /// It exists.
    Present(T),
    /// It certainly does not exist.
    Absent,
    /// The endpoint cannot tell, or not at this cost.
    Unknown,
}

impl<T> Presence<T> {
    /// The details, if the content certainly exists.
    pub fn present(self) -> Option<T> {
        match self {
            Self::Present(found) => Some(found),
            Self::Absent | Self::Unknown => None,
        }
    }

    /// `Present` for a result. An error of kind [`ErrorKind::NotFound`] means absent.
    pub fn from_result(found: Result<T>) -> Result<Self> {
        match found {
            Ok(found) => Ok(Self::Present(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }
}

/// The error for a document or small blob over the limit of [`Lookup::read`], without its location.
pub(crate) fn over_limit(digest: &Digest, limit: u64) -> Error {
    Error::new(ErrorKind::InvalidDocument, format!("blob {digest}"))
        .with_reason(format!("larger than the limit of {}", size(limit)))
}

/// Refuses a blob that is over the limit by its descriptor, before anything is read.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`], without the location.
pub(crate) fn check_limit(descriptor: &Descriptor, limit: u64) -> Result<()> {
    if descriptor.size <= limit {
        return Ok(());
    }
    let reason = format!("{}, larger than the limit of {}", size(descriptor.size), size(limit));
    Err(Error::new(ErrorKind::InvalidDocument, format!("blob {}", descriptor.digest))
        .with_reason(reason))
}

impl<T> From<Option<T>> for Presence<T> {
    /// `None` means absent.
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Absent, Self::Present)
    }
}

/// How much of a blob exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobPresence {
    /// All of it, committed. A file of another size does not count.
    Complete,
    /// This many bytes from the start, left by an interrupted write and not verified; never 0.
    Partial(u64),
    /// Nothing.
    Absent,
    /// The endpoint cannot tell, or not at this cost.
    Unknown,
}

/// Constant facts about an endpoint.
///
/// An endpoint *is* this object, not the text in it: two handles are the same endpoint if they return the same
/// `Endpoint` ([`is_same_endpoint`]). Clones of a handle therefore share it, and so do the handles of one repository of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// Location for messages: `docker.io/library/alpine`, `oci:/tmp/x`.
    pub location: String,
    /// `registry/repository`, if the endpoint is a repository: the unit of provenance and of mounts.
    pub address: Option<String>,
    /// The registry, if blobs can be mounted between its repositories. Its repositories have addresses that begin with
    /// this and a slash.
    pub mount_scope: Option<String>,
    /// What kind of location this is.
    pub kind: EndpointKind,
    /// The directory, if the endpoint is an OCI image layout.
    pub dir: Option<PathBuf>,
    /// Whether it is a server on this machine, as far as its name tells.
    pub is_loopback: bool,
    /// Whether all its layers are uncompressed, however the image was built: docker's own store and archives.
    pub has_plain_layers: bool,
    /// The most requests at once that its user allows, responses that are being read included.
    pub connections: Option<usize>,
}

impl Endpoint {
    /// A remote endpoint without an address, with this location for messages.
    pub fn new(location: impl Into<String>) -> Self {
        Self { location: location.into(), ..Self::default() }
    }

    setters! {
        optional into address: String;
        optional into mount_scope: String;
        value kind: EndpointKind;
        optional into dir: PathBuf;
        flag is_loopback;
        flag has_plain_layers;
        optional connections: usize;
    }
}

/// What kind of location content is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointKind {
    /// Reached over a network, so that the next attempt may succeed.
    #[default]
    Remote,
    /// A layout on this machine, which a pull can fill.
    Layout,
    /// An archive on this machine.
    Archive,
    /// The store of a container engine on this machine, or the engine itself.
    Engine,
    /// The memory of this process.
    Memory,
}

impl EndpointKind {
    /// Whether it is on this machine, so that wrong bytes will still be wrong at the next attempt.
    pub fn is_local(self) -> bool {
        self != Self::Remote
    }

    /// Whether it may have an index without all its manifests, or a manifest without all its blobs, by intention: archives
    /// are made for a target that has the rest, and engines fetch and keep only what they run.
    pub fn may_omit_content(self) -> bool {
        matches!(self, Self::Archive | Self::Engine)
    }
}

/// What a registry says of its own limits, as Docker Hub does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// Pulls in a window of time.
    pub limit: Option<u64>,
    /// Pulls that are left of them.
    pub remaining: Option<u64>,
    /// Seconds of the window.
    pub window_s: Option<u64>,
    /// What the pulls are counted for: an address, or the id of an account.
    pub source: Option<String>,
}

/// HTTP requests by kind, including those answered with 401, redirects and retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// Manifests and indexes.
    pub manifest: u64,
    /// Blobs, at the registry and at hosts that it redirects to.
    pub blob: u64,
    /// Mounts and uploads of blobs.
    pub upload: u64,
    /// Token servers.
    pub token: u64,
    /// Tags, pings and others.
    pub other: u64,
}

impl RequestCounts {
    /// Their sum.
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

/// Questions about content. Implemented by everything that stores some.
///
/// Questions change nothing, take no locks that a writer waits for, and may be asked at any time and concurrently.
pub trait Lookup: Send + Sync {
    /// Constant facts; always the same object for the same endpoint.
    fn endpoint(&self) -> &Endpoint;

    /// The descriptor of the manifest or index that the name points to.
    ///
    /// # Errors
    /// If the name cannot be used here, or the endpoint fails. An unknown name is not an error.
    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>>;

    /// The bytes of a manifest, an index or a small blob, verified against the descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] for other bytes, [`ErrorKind::InvalidDocument`] for more than `limit` bytes. Missing
    /// content is not an error.
    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>>;

    /// How much of the blob exists. Opens and locks nothing.
    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>>;

    /// HTTP requests sent for this handle so far.
    fn requests(&self) -> RequestCounts {
        RequestCounts::default()
    }

    /// Bytes of blobs that were received for this handle so far, by the host that sent them. Empty if it has no hosts.
    fn bytes_by_host(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    /// What the registry has said of its own limits so far; sends nothing.
    fn rate_limit(&self) -> Option<RateLimit> {
        None
    }
}

/// Whether two handles belong to the same endpoint.
pub fn is_same_endpoint(one: &dyn Lookup, other: &dyn Lookup) -> bool {
    std::ptr::eq(one.endpoint(), other.endpoint())
}

/// Reads the document of this descriptor, verified: from the descriptor itself if it embeds the bytes, else with one call of
/// [`Lookup::read`], which may send a request.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the endpoint does not have it, [`ErrorKind::InvalidDocument`] above [`DOCUMENT_LIMIT`].
pub async fn fetch_document(from: &dyn Lookup, descriptor: &Descriptor) -> Result<Document> {
    if let Some((bytes, _)) = verified_inline_data(descriptor) {
        return Document::from_descriptor(bytes, descriptor);
    }
    let what = || Error::new(ErrorKind::NotFound, format!("manifest {}", descriptor.digest));
    let location = &from.endpoint().location;
    match from.read(descriptor, DOCUMENT_LIMIT, Effort::Request).await? {
        Presence::Present(bytes) => {
            Document::from_descriptor(bytes, descriptor).map_err(|error| error.at(location))
        }
        Presence::Absent => Err(what().at(location).with_reason("not found")),
        Presence::Unknown => Err(what().at(location).with_reason("cannot be read there")),
    }
}
