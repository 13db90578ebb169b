//! The session as the writer of its blob.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::UploadSession;
use crate::content::{BlobWriter, ByteStream, Presence};
use crate::error::{Error, ErrorKind, Result};
use crate::verifier::Verified;

impl BlobWriter for UploadSession {
    fn offset(&self) -> u64 {
        self.resumed
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        Ok(Presence::Unknown)
    }

    fn min_kept_bytes(&self) -> u64 {
        let rest = self.descriptor.size.saturating_sub(self.resumed);
        let is_recorded = self.repository.upload_store_for(&self.descriptor).is_some();
        let min_chunk = self.location.as_ref().map_or(0, |location| location.min_chunk);
        let chunk = self.chunk_size(min_chunk).filter(|_| is_recorded);
        chunk.map_or(rest, |chunk| chunk.min(rest))
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.received() + bytes.len() as u64 > self.descriptor.size {
                return Err(self.mismatch("is longer than its descriptor says"));
            }
            match self.pending.replace(bytes) {
                Some(ready) => self.send(ready).await,
                None => Ok(()),
            }
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            if self.position > 0 || self.sending.is_some() {
                // Its bytes are no longer wanted; the next bytes open a new session.
                self.location = None;
                self.repository.remove_upload(&self.descriptor);
            }
            (self.resumed, self.position) = (0, 0);
            (self.pending, self.sending) = (None, None);
            Ok(())
        })
    }

    fn abort(mut self: Box<Self>, reason: &Error) -> BoxFuture<'static, ()> {
        let is_stopped = reason.kind() == ErrorKind::Stopped;
        let is_empty = is_stopped && self.received() == 0;
        let is_over = is_empty || !self.is_resumable_after(reason);
        Box::pin(async move {
            if is_over {
                self.discard().await;
            } else if is_stopped {
                self.end_chunk().await;
            }
        })
    }

    fn commit(mut self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let finished = self.finish(&proof).await;
            if let Err(error) = &finished
                && !self.is_resumable_after(error)
            {
                self.discard().await;
            }
            finished
        })
    }
}
