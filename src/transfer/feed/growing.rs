//! A reader of a blob that a job is moving.

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
use crate::transfer::feed::{FeedChannel, Next, ReadError, ReadPosition, stopped};

/// Opens the file of a blob at the target.
pub type OpenStored = Box<dyn FnOnce() -> Result<File> + Send>;

/// Reads a blob from its first to its last byte, and waits for bytes that have not arrived. Its end is reached only when the blob
/// is at the target, verified; bytes read before that are not verified.
///
/// Fails with the error of the job that moves the blob, and with [`ErrorKind::Mismatch`] if bytes that were read had to be
/// fetched again.
pub struct GrowingBlob {
    blob: Descriptor,
    channel: Arc<FeedChannel>,
    position: ReadPosition,
    /// Next bytes, in memory.
    chunks: VecDeque<Bytes>,
    /// File with the bytes up to this position.
    file: Option<(Arc<File>, u64)>,
    open: Option<OpenStored>,
    cancel: CancellationToken,
    /// Wakes a waiting read on cancellation.
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl std::fmt::Debug for GrowingBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowingBlob").field("blob", &self.blob.digest).finish_non_exhaustive()
    }
}

impl GrowingBlob {
    /// Reason of the error after bytes that were read proved wrong.
    pub const BLOB_RESTARTED: &str = "was corrupted in transit and has been fetched again";

    pub(in crate::transfer) fn new(
        blob: Descriptor,
        channel: Arc<FeedChannel>,
        open: OpenStored,
        cancel: CancellationToken,
    ) -> Self {
        channel.add_reader();
        let cancelled = Box::pin(cancel.clone().cancelled_owned());
        Self {
            blob,
            channel,
            position: ReadPosition::default(),
            chunks: VecDeque::new(),
            file: None,
            open: Some(open),
            cancel,
            cancelled,
        }
    }

    fn mismatch(&self, reason: &str) -> io::Error {
        let subject = format!("layer {}", self.blob.digest);
        io::Error::other(Error::new(ErrorKind::Mismatch, subject).with_reason(reason))
    }

    /// Returns bytes that need no wait.
    fn read_available(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while let Some(chunk) = self.chunks.front_mut() {
            let rest = buf.get_mut(count..).unwrap_or_default();
            let length = chunk.len().min(rest.len());
            chunk.copy_to_slice(rest.get_mut(..length).unwrap_or_default());
            count += length;
            if !chunk.is_empty() {
                break;
            }
            self.chunks.pop_front();
        }
        if count == 0
            && let Some((file, end)) = &self.file
        {
            let available = end.saturating_sub(self.position.offset);
            let length = usize::try_from(available).unwrap_or(usize::MAX).min(buf.len());
            let buf = buf.get_mut(..length).unwrap_or_default();
            if !buf.is_empty() {
                count = retry_on_intr(|| pread(file, &mut *buf, self.position.offset))?;
                self.position.file_ended_early = count == 0;
            }
        }
        self.position.offset += count as u64;
        Ok(count)
    }

    /// Waits for more bytes. `false` at the end.
    fn wait_for_more(&mut self) -> io::Result<bool> {
        let waker = Waker::from(Arc::clone(&self.channel));
        // Only registers the waker; cancellation is checked under the lock.
        _ = self.cancelled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let next = self.channel.next(self.position, &self.cancel);
        let (next, restarts) = next.map_err(|error| match error {
            ReadError::Restarted => self.mismatch(Self::BLOB_RESTARTED),
            ReadError::Failed(error) => io::Error::other(error),
            ReadError::Cancelled => io::Error::other(stopped()),
        })?;
        if self.position.offset == 0 {
            self.position.restarts = restarts;
        }
        match next {
            Next::Chunks(chunks) => self.chunks = chunks,
            Next::File(file, end) => self.file = Some((file, end)),
            Next::Stored if self.position.offset == self.blob.size => return Ok(false),
            Next::Stored => {
                let Some(open) = self.open.take() else {
                    return Err(self.mismatch("is shorter than expected"));
                };
                let file = open().map_err(io::Error::other)?;
                self.file = Some((Arc::new(file), self.blob.size));
            }
        }
        self.position.file_ended_early = false;
        Ok(true)
    }
}

impl Read for GrowingBlob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.read_available(buf)?;
            if count > 0 || !self.wait_for_more()? {
                return Ok(count);
            }
        }
    }
}

impl Drop for GrowingBlob {
    fn drop(&mut self) {
        self.channel.remove_reader();
    }
}

#[cfg(test)]
mod tests;
