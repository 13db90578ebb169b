//! A blob that is read while a job moves it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::{Buf as _, Bytes};
use rustix::io::{pread, retry_on_intr};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::feed::{Next, Reached, Refused, Shared, stopped};

/// Opens the file of a blob that is at the target.
pub type OpenStored = Box<dyn FnOnce() -> Result<File> + Send>;

/// Reads a blob from its first byte to its last, waiting for what has not come. It is not at its end before the blob is
/// at the target, verified; what was read until then is not.
///
/// It fails as the job fails that moves the blob, and with [`ErrorKind::Mismatch`] where what was read had to be fetched
/// again.
pub struct GrowingBlob {
    blob: Descriptor,
    shared: Arc<Shared>,
    reached: Reached,
    /// Bytes from memory that come next.
    pieces: VecDeque<Bytes>,
    /// Where the bytes up to this position can be read.
    file: Option<(Arc<File>, u64)>,
    open: Option<OpenStored>,
    cancel: CancellationToken,
    /// Wakes the read that waits when it is cancelled.
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl std::fmt::Debug for GrowingBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowingBlob").field("blob", &self.blob.digest).finish_non_exhaustive()
    }
}

impl GrowingBlob {
    /// Why nothing can be made of a blob whose first bytes were used before it was known that they are wrong.
    pub const BLOB_RESTARTED: &str = "was corrupted in transit and has been fetched again";

    pub(in crate::transfer) fn new(
        blob: Descriptor,
        shared: Arc<Shared>,
        open: OpenStored,
        cancel: CancellationToken,
    ) -> Self {
        shared.enter();
        let cancelled = Box::pin(cancel.clone().cancelled_owned());
        Self {
            blob,
            shared,
            reached: Reached::default(),
            pieces: VecDeque::new(),
            file: None,
            open: Some(open),
            cancel,
            cancelled,
        }
    }

    fn fail(&self, why: &str) -> io::Error {
        let what = format!("layer {}", self.blob.digest);
        io::Error::other(Error::new(ErrorKind::Mismatch, what).with_reason(why))
    }

    /// Takes what is there at once.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while let Some(piece) = self.pieces.front_mut() {
            let rest = into.get_mut(taken..).unwrap_or_default();
            let length = piece.len().min(rest.len());
            piece.copy_to_slice(rest.get_mut(..length).unwrap_or_default());
            taken += length;
            if !piece.is_empty() {
                break;
            }
            self.pieces.pop_front();
        }
        if taken == 0
            && let Some((file, end)) = &self.file
        {
            let left = end.saturating_sub(self.reached.offset);
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
            let into = into.get_mut(..room).unwrap_or_default();
            if !into.is_empty() {
                taken = retry_on_intr(|| pread(file, &mut *into, self.reached.offset))?;
                self.reached.short = taken == 0;
            }
        }
        self.reached.offset += taken as u64;
        Ok(taken)
    }

    /// Waits for more; tells whether there is any.
    fn wait(&mut self) -> io::Result<bool> {
        let waker = Waker::from(Arc::clone(&self.shared));
        // Only registers the waker: whether it was cancelled is looked up under the lock.
        _ = self.cancelled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let next = self.shared.next(self.reached, &self.cancel);
        let (next, restarts) = next.map_err(|refused| match refused {
            Refused::Restarted => self.fail(Self::BLOB_RESTARTED),
            Refused::Failed(error) => io::Error::other(error),
            Refused::Left => io::Error::other(stopped()),
        })?;
        if self.reached.offset == 0 {
            self.reached.restarts = restarts;
        }
        match next {
            Next::Pieces(pieces) => self.pieces = pieces,
            Next::File(file, end) => self.file = Some((file, end)),
            Next::Elsewhere if self.reached.offset == self.blob.size => return Ok(false),
            Next::Elsewhere => {
                let Some(open) = self.open.take() else {
                    return Err(self.fail("is shorter than expected"));
                };
                let file = open().map_err(io::Error::other)?;
                self.file = Some((Arc::new(file), self.blob.size));
            }
        }
        self.reached.short = false;
        Ok(true)
    }
}

impl Read for GrowingBlob {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let taken = self.take(into)?;
            if taken > 0 || !self.wait()? {
                return Ok(taken);
            }
        }
    }
}

impl Drop for GrowingBlob {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

#[cfg(test)]
mod tests;
