//! The ingest of one blob at a target: [`BlobWriter`].
//!
//! ```text
//! TargetWriter::open_blob -> Writer: offset -> read_back -> write* -> commit(proof)
//!                                              truncate -> write* -> ...
//!                                              abort(reason), or drop
//! ```
//!
//! - **Existing bytes are not trusted** until they were hashed: bytes before `offset` are from an earlier attempt or
//!   run. Only `commit` makes a blob visible, and it requires the proof that all bytes of this blob were verified.
//! - **Drop** is an interruption, not a decision: a target that keeps partials resumes at `offset` the next time,
//!   others start over. `abort` lets the target clean up.
//! - **Costs.** `write` and `commit` send bytes or touch the disk; `offset`, `read_back` and `truncate` send nothing.
//! - **Errors.** Transient ones are worth another [`TargetWriter::open_blob`](super::TargetWriter::open_blob). A writer
//!   that failed is not used again.

use std::fmt;
use std::fs::File;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{ByteStream, Presence};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;
use crate::verifier::Verified;

/// A target's answer for a blob that it should get.
#[non_exhaustive]
pub enum Opened {
    /// The target has it, with the right size.
    Exists,
    /// The target has it now: mounted from another repository of the same registry.
    Mounted {
        /// The repository it was mounted from.
        from: String,
    },
    /// The blob is missing; its bytes go to this writer.
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

/// An open ingest of one blob; invisible until [`BlobWriter::commit`].
///
/// Bytes before `offset` are from an earlier attempt or run and are not verified yet. Dropping the writer is an
/// interruption, not a decision: a target that can keep the written bytes does so, and the next writer of this blob
/// resumes there.
pub trait BlobWriter: Send {
    /// Number of bytes received, from byte 0. Grows with every [`BlobWriter::write`] of a target that keeps partials.
    fn offset(&self) -> u64;

    /// The bytes before `offset`, to be hashed again.
    ///
    /// `Unknown` if they cannot be read back (a registry, a pipe): the source must send them once more.
    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>>;

    /// An independent handle to the file being written, so that it can be read while it grows; `None` if the bytes are
    /// not in a file.
    fn file(&self) -> Result<Option<File>> {
        Ok(None)
    }

    /// Storage for bytes received ahead of [`BlobWriter::offset`]; `None` if the target takes bytes in order only.
    fn ranges(&self) -> Option<Arc<dyn BlobRanges>> {
        None
    }

    /// Fewer bytes than these after [`BlobWriter::offset`] are lost when the run ends; 0 if the target keeps all bytes.
    fn min_kept_bytes(&self) -> u64 {
        0
    }

    /// Takes the next bytes, which were written by [`BlobRanges::write_at`]: they are before `offset` afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the target has no [`BlobWriter::ranges`].
    fn advance(&mut self, bytes: u64) -> Result<()> {
        let reason = format!("{bytes} bytes were never written");
        Err(Error::new(ErrorKind::Unsupported, "blob writer").with_reason(reason))
    }

    /// Appends bytes. A target that keeps partials has them afterwards, even if the process is killed.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// Discards all received bytes: `offset` is 0 afterwards. Costs no request.
    fn truncate(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Makes the blob visible under its digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if `proof` is for another blob, or for another number
    /// of bytes than were written; the blob then stays absent.
    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>>;

    /// Gives up the ingest for a reason that another attempt may not solve; the target decides what it keeps.
    fn abort(self: Box<Self>, reason: &Error) -> BoxFuture<'static, ()> {
        let _ = reason;
        Box::pin(ready(()))
    }
}

/// The bytes of a blob beyond the [`BlobWriter::offset`] of its open writer. Dropped before the writer is used for anything but
/// [`BlobWriter::write`] and [`BlobWriter::advance`].
pub trait BlobRanges: Send + Sync {
    /// Ranges left by an earlier attempt or run, ascending, with a gap before each. Not verified.
    fn present(&self) -> Vec<Range<u64>>;

    /// Writes bytes, none of them beyond the end of the blob. The target has them afterwards, even if the process is killed.
    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()>;

    /// Reads from the start of a range that was written: at least one byte, possibly fewer than requested.
    fn read_at(&self, range: Range<u64>) -> Result<Bytes>;
}

/// Stores URLs of unfinished uploads from one run to the next. A failure here never fails a run: without the URL an
/// upload starts over.
pub trait UploadStore: Send + Sync {
    /// The URL to resume the upload of this blob to `registry/repository`.
    fn load(&self, target: &str, digest: &Digest) -> Option<Secret>;

    /// Stores the URL. It permits writing, so it is a secret.
    fn save(&self, target: &str, digest: &Digest, url: &Secret);

    /// Removes the URL once the upload has ended.
    fn remove(&self, target: &str, digest: &Digest);
}
