//! One blob on its way into a target: [`BlobWriter`].
//!
//! ```text
//! TargetWriter::open_blob -> Writer: offset -> read_back -> write* -> commit(proof)
//!                                              truncate -> write* -> ...
//!                                              abort(reason), or drop
//! ```
//!
//! - **What is here counts for nothing** until it was hashed: bytes before `offset` are from an earlier attempt or run.
//!   Only `commit` makes a blob visible, and it demands the proof that all bytes of this blob were verified.
//! - **Drop** is an interruption, not a decision: a target that keeps partials continues at `offset` the next time, another
//!   one starts over. `abort` lets it clean up.
//! - **Costs.** `write` and `commit` send bytes or touch the disk; `offset`, `read_back` and `truncate` send nothing.
//! - **Errors.** Transient ones are worth another [`TargetWriter::open_blob`](super::TargetWriter::open_blob). A writer that
//!   failed is not used again.

use std::fmt;
use std::fs::File;
use std::future::ready;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{ByteStream, Presence};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::verifier::Verified;

/// What a target says about a blob that it should have.
pub enum Opened {
    /// It is there, with the right size.
    Exists,
    /// It is there now: mounted from another repository of the same registry.
    Mounted {
        /// That repository.
        from: String,
    },
    /// Send it here.
    Writer(Box<dyn BlobWriter>),
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("Exists"),
            Self::Mounted { from } => f.debug_struct("Mounted").field("from", from).finish(),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// One open write of a blob; invisible until [`BlobWriter::commit`].
///
/// Bytes before `offset` are from an earlier attempt or run and count for nothing until they are verified. Dropping the
/// writer is an interruption, not a decision: what was written is kept where the target can keep it, and the next
/// writer of this blob continues there.
pub trait BlobWriter: Send {
    /// Bytes that are here, from byte 0 on. Grows with every [`BlobWriter::write`] of a target that keeps partials.
    fn offset(&self) -> u64;

    /// The bytes before `offset`, to be hashed again.
    ///
    /// `Unknown`: they cannot be read back (a registry, a pipe), and the source has to give them once more.
    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>>;

    /// A handle of its own on the file that this writer writes to, for others to read while it grows; `None` if the bytes
    /// do not lie in a file.
    fn file(&self) -> Result<Option<File>> {
        Ok(None)
    }

    /// Appends bytes at the end of what is here. A target that keeps partials has them from here on, whatever happens to
    /// the process.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// Discards everything that is here: `offset` is 0 afterwards. Costs no request.
    fn truncate(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Makes the blob visible under its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) if `proof` is of another blob than this writer was opened for, or of another number of bytes
    /// than are here; the blob then stays absent.
    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>>;

    /// Gives the write up for a reason that another attempt may not mend; the target decides what it keeps.
    fn abort(self: Box<Self>, reason: &Error) -> BoxFuture<'static, ()> {
        let _ = reason;
        Box::pin(ready(()))
    }
}

/// Remembers, from one run to the next, where unfinished uploads go on. None of it may fail a run: without memory an
/// upload starts over.
pub trait UploadStore: Send + Sync {
    /// The URL where the upload of this blob to `registry/repository` goes on.
    fn load(&self, target: &str, digest: &Digest) -> Option<Secret>;

    /// Stores the URL. It permits writing, so it is a secret.
    fn save(&self, target: &str, digest: &Digest, url: &Secret);

    /// Forgets it: the upload ended.
    fn remove(&self, target: &str, digest: &Digest);
}
