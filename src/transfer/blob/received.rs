//! A blob that a thread reads while a task receives it, without a store.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::read::{VerifiedReader, transient_if_other_host};
use crate::transfer::feed::stopped;
use crate::transfer::options::TransferOptions;

/// Maximum number of chunks that wait to be read.
const CHUNK_CAPACITY: usize = 8;

/// Bytes of the blob, or its end. The bytes are verified only when the end has arrived.
enum Chunk {
    Bytes(Bytes),
    End,
}

/// Reads a blob as it arrives. A slow reader slows the transfer down. Reads block, so they belong on a thread. The task that
/// receives is stopped with the reader, by [`TransferOptions::control`], and with the runtime.
pub struct ReceivedBlob {
    chunks: Receiver<Result<Chunk>>,
    bytes: Bytes,
    ended: bool,
    task: AbortHandle,
}

impl std::fmt::Debug for ReceivedBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedBlob").finish_non_exhaustive()
    }
}

impl ReceivedBlob {
    /// Starts to receive the blob.
    pub fn begin(
        source: Arc<dyn Source>,
        blob: Descriptor,
        options: TransferOptions,
        runtime: &Handle,
    ) -> Self {
        let (sender, chunks) = channel(CHUNK_CAPACITY);
        let cancel = options.control.cancel.clone();
        let receive = async move {
            let last = receive(&*source, &blob, options, &sender).await;
            // Fails only if the reader is gone, which needs no result.
            _ = sender.send(last.map(|()| Chunk::End)).await.is_ok();
        };
        let task = runtime.spawn(async move { cancel.run_until_cancelled(receive).await });
        Self { chunks, bytes: Bytes::new(), ended: false, task: task.abort_handle() }
    }
}

async fn receive(
    source: &dyn Source,
    blob: &Descriptor,
    options: TransferOptions,
    sender: &Sender<Result<Chunk>>,
) -> Result<()> {
    let (context, counters) = (TransferContext::new(&options), BlobCounters::default());
    let mut reader = VerifiedReader::new(source, blob, &context, &counters)?;
    let reading = async {
        while let Some(chunk) = reader.next().await? {
            if sender.send(Ok(Chunk::Bytes(chunk))).await.is_err() {
                return Ok(());
            }
        }
        reader.finish().map(drop)
    };
    reading.await.map_err(|error| transient_if_other_host(source, blob, error))
}

impl Read for ReceivedBlob {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.bytes.is_empty() && !self.ended && !into.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(Chunk::Bytes(bytes))) => self.bytes = bytes,
                Some(Ok(Chunk::End)) => self.ended = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other(stopped())),
            }
        }
        let length = self.bytes.len().min(into.len());
        self.bytes.copy_to_slice(into.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Drop for ReceivedBlob {
    fn drop(&mut self) {
        self.task.abort();
    }
}
