//! An open write of one blob.

use std::fmt;
use std::fs::File;
use std::future::ready;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::ByteStream;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::verifier::Verified;

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
