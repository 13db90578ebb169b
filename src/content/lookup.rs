//! What there is, and what it cost to ask.

use std::ops::AddAssign;

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

/// An answer that may not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence<T> {
    /// It is there.
    Present(T),
    /// It is certainly not there.
    Absent,
    /// Neither is known.
    Unknown,
}
