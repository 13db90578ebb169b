//! Finds the deltas of an image, and rebuilds its layers during a transfer.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::DropGuard;

use super::artifact::{ListedDelta, OfferedDelta};
use super::choose::{DeltaUse, LONGEST};
use super::held::HeldLayers;
use crate::blob_file::BlobFileWriter;
use crate::blocking::run_blocking;
use crate::content::{self, ByteStream, Presence, Rebuilder, Source};
use crate::control::Control;
use crate::delta::{Delta, TarFile, apply};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BUFFER_SIZE;
use crate::retry::RetryPolicy;
use crate::setters::setters;
use crate::transfer::{Throttle, TransferOptions, read_blob};

/// Artifacts of an image that are looked at.
const LISTED: usize = 64;

/// Layers below this size are received whole: looking for their deltas costs more.
const MIN_LAYER_BYTES: u64 = 1 << 20;

/// Time after which a source that also has the layer is asked for it instead of its delta: if it has not said which deltas it
/// has, or if no byte of one arrives.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// Buffers between the thread that rebuilds and the task that stores.
const CHUNKS: usize = 8;

/// How deltas are received.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Receiving {
    /// Retries of requests, and of bodies that break off.
    pub retry: RetryPolicy,
    /// Limits the bytes per second, together with the run.
    pub throttle: Option<Throttle>,
    /// Cancels it.
    pub control: Control,
}

impl Receiving {
    setters! {
        value retry: RetryPolicy;
        optional throttle: Throttle;
        value control: Control;
    }
}

/// Rebuilds layers of images of one source.
pub struct DeltaRebuilder {
    source: Arc<dyn Source>,
    held: Arc<HeldLayers>,
    when: DeltaUse,
    receiving: Receiving,
    /// Deltas that were found, by the layer that they make.
    offered: Mutex<HashMap<Digest, OfferedDelta>>,
    /// Why the deltas of an archive cannot be read: the error of each layer that the archive has no other way to give.
    unreadable: OnceLock<(ErrorKind, String)>,
}

impl std::fmt::Debug for DeltaRebuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaRebuilder").field("when", &self.when).finish_non_exhaustive()
    }
}

impl DeltaRebuilder {
    /// Looks for deltas at this source, and for what they need among these layers.
    pub fn new(
        source: Arc<dyn Source>,
        held: Arc<HeldLayers>,
        when: DeltaUse,
        receiving: Receiving,
    ) -> Self {
        let (offered, unreadable) = (Mutex::default(), OnceLock::new());
        Self { source, held, when, receiving, offered, unreadable }
    }

    /// Whether the source has deltas in place of layers, as archives do.
    fn is_only_way(&self) -> bool {
        self.source.endpoint().kind.is_local()
    }

    async fn offers(
        &self,
        manifest: &Document,
        missing: &[&Descriptor],
    ) -> Result<Vec<(Digest, u64)>> {
        let Presence::Present(listed) = self.source.referrers(manifest.digest()).await? else {
            return Ok(Vec::new());
        };
        let (mut best, mut unusable): (Option<ListedDelta>, _) = (None, None);
        for delta in listed.into_iter().filter_map(ListedDelta::parse).take(LISTED) {
            let is_smaller = best.as_ref().is_none_or(|best| delta.size < best.size);
            if !is_smaller {
                continue;
            }
            match self.held.lacks(&delta.sources).await?[..] {
                [] => best = Some(delta),
                [lacking, ..] => unusable = Some(lacking.clone()),
            }
        }
        let Some(best) = best else {
            if let Some(lacking) = unusable.filter(|_| self.is_only_way()) {
                tracing::warn!(
                    "the deltas in {} need an old layer that is missing: its diff_id is {lacking}",
                    self.source.endpoint().location
                );
            }
            return Ok(Vec::new());
        };
        let document = content::fetch_document(&*self.source, &best.descriptor).await?;
        let mut found = Vec::new();
        for offered in OfferedDelta::all(&document) {
            let OfferedDelta { descriptor, to, tar_size, encoder } = &offered;
            let layer = missing.iter().find(|layer| layer.digest == *to);
            let Some(layer) = layer else { continue };
            if self.is_only_way()
                || self.when.accepts(layer.size, *tar_size, descriptor.size, encoder)
            {
                found.push((to.clone(), descriptor.size));
                let mut known = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(to.clone(), offered);
            }
        }
        Ok(found)
    }

    /// Receives the delta into a temporary file.
    async fn fetch(
        &self,
        delta: &Descriptor,
        received: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Delta> {
        let failed =
            |error: io::Error| Error::new(ErrorKind::Store, "temporary file").with_source(error);
        let mut file = BlobFileWriter::new_in(self.held.layout().root()).map_err(failed)?;
        let Receiving { retry, throttle, control } = self.receiving.clone();
        let retry = if self.is_only_way() { retry } else { retry.attempts(1) };
        let options = TransferOptions {
            retry,
            throttle,
            control: control.without_progress(),
            ..TransferOptions::default()
        };
        let is_silent = AtomicBool::new(false);
        let mut sink = |bytes: &[u8]| {
            is_silent.store(false, Ordering::Relaxed);
            received(bytes.len() as u64);
            file.write_all(bytes).map_err(failed)
        };
        let reading = read_blob(&*self.source, delta, options, &mut sink);
        tokio::select! {
            read = reading => read?,
            () = silence(&is_silent), if !self.is_only_way() => return Err(silent("no byte")),
        }
        let blob = file.finish()?;
        run_blocking("read delta", move || Delta::from_blob(blob)).await
    }

    async fn start(
        &self,
        layer: &Descriptor,
        received: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<ByteStream<'static>> {
        if let Some((kind, reason)) = self.unreadable.get() {
            return Err(Error::new(*kind, reason));
        }
        let offered = {
            let known = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&layer.digest).cloned()
        };
        let unknown = || Error::new(ErrorKind::NotFound, "delta").with_reason("was not found");
        let delta = self.fetch(&offered.ok_or_else(unknown)?.descriptor, received).await?;
        let target = &delta.header().target;
        if target.digest != layer.digest || target.size != layer.size {
            return Err(Error::new(ErrorKind::Mismatch, "delta").with_reason("is of another layer"));
        }
        let mut old = Vec::new();
        for old_layer in &delta.header().old_layers {
            old.push(self.held.tar(old_layer).await?);
        }
        let permit = self.held.permit(delta.memory()).await?;
        let limit = matches!(self.when, DeltaUse::IfFaster { .. }).then_some(LONGEST);
        Ok(stream_of((delta, old), limit, self.receiving.control.child(), permit))
    }
}

impl Rebuilder for DeltaRebuilder {
    fn find<'a>(
        &'a self,
        manifest: &'a Document,
        missing: &'a [&'a Descriptor],
    ) -> BoxFuture<'a, Vec<(Digest, u64)>> {
        Box::pin(async {
            self.held.reserve(missing);
            let is_small = missing.iter().all(|layer| layer.size < MIN_LAYER_BYTES);
            if self.held.is_empty() || (is_small && !self.is_only_way()) {
                return Vec::new();
            }
            let offers = self.offers(manifest, missing);
            let offers = if self.is_only_way() {
                offers.await
            } else {
                let answered = tokio::time::timeout(MAX_SILENCE, offers).await;
                answered.unwrap_or_else(|_| Err(silent("no answer")))
            };
            offers.unwrap_or_else(|error| {
                if self.is_only_way() {
                    // A layer that the archive has whole is taken after all.
                    self.unreadable.get_or_init(|| (error.kind(), error.chain()));
                    return missing.iter().map(|layer| (layer.digest.clone(), 0)).collect();
                }
                tracing::info!("{}; no deltas are used", error.chain());
                Vec::new()
            })
        })
    }

    fn rebuild<'a>(
        &'a self,
        layer: &'a Descriptor,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<ByteStream<'static>>> {
        Box::pin(self.start(layer, received))
    }
}

/// Ends when nothing was received for [`MAX_SILENCE`]; the receiver resets the flag.
async fn silence(is_silent: &AtomicBool) {
    while !is_silent.swap(true, Ordering::Relaxed) {
        tokio::time::sleep(MAX_SILENCE).await;
    }
}

fn silent(what: &str) -> Error {
    let reason = format!("{what} for {} s", MAX_SILENCE.as_secs());
    Error::new(ErrorKind::Transport, "delta").with_reason(reason)
}

/// The layer as a thread rebuilds it. The thread ends with the stream, which fails after `limit`.
fn stream_of(
    (delta, old): (Delta, Vec<TarFile>),
    limit: Option<Duration>,
    control: Control,
    permit: OwnedSemaphorePermit,
) -> ByteStream<'static> {
    let (chunks, receiver) = channel(CHUNKS);
    let cancelled_by_drop = control.cancel.clone().drop_guard();
    let rebuild = move || {
        let writer = BufWriter::with_capacity(BUFFER_SIZE, ChunkSender(chunks.clone()));
        let flush = |mut writer: BufWriter<ChunkSender>| {
            let failed = |error| Error::new(ErrorKind::Interrupted, "delta").with_source(error);
            writer.flush().map_err(failed)
        };
        if let Err(error) = apply(&delta, &old, writer, &control).and_then(flush) {
            // Fails only if the receiver was dropped.
            drop(chunks.blocking_send(Err(error)));
        }
        drop(permit);
    };
    // Its result is what it sends.
    drop(tokio::task::spawn_blocking(rebuild));
    received(receiver, cancelled_by_drop, limit)
}

/// What a thread sends, for so long at most. The guard is dropped with it.
fn received(
    receiver: Receiver<Result<Bytes>>,
    guard: DropGuard,
    limit: Option<Duration>,
) -> ByteStream<'static> {
    let end = limit.map(|limit| Instant::now() + limit);
    let next = move |(mut receiver, guard): (Receiver<Result<Bytes>>, DropGuard)| async move {
        let chunk = receiver.recv();
        let chunk = match end {
            Some(end) => timeout_at(end, chunk).await.unwrap_or_else(|_| Some(Err(too_slow()))),
            None => chunk.await,
        };
        Some((chunk?, (receiver, guard)))
    };
    Box::pin(stream::unfold((receiver, guard), next))
}

fn too_slow() -> Error {
    let reason = format!("rebuilding takes longer than {} s", LONGEST.as_secs());
    Error::new(ErrorKind::Unsupported, "delta").with_reason(reason)
}

/// Sends what is written to it.
struct ChunkSender(Sender<Result<Bytes>>);

impl Write for ChunkSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    // A hostile delta can make little of much work.
    #[tokio::test]
    async fn slow_rebuilding_ends_at_its_limit() {
        let control = Control::default();
        let (sender, receiver) = channel(1);
        let guard = control.cancel.clone().drop_guard();
        let mut layer = received(receiver, guard, Some(Duration::ZERO));
        let error = layer.next().await.unwrap().unwrap_err();
        assert!(error.reason().contains("longer than 600 s"), "{error}");
        assert!(!control.cancel.is_cancelled());
        drop((layer, sender));
        assert!(control.cancel.is_cancelled());
    }
}
