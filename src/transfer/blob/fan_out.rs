//! Moves one blob to several targets with one read of its source: every chunk goes to all of them before the next is read, so
//! that memory is one chunk. A target that is too slow or needs another attempt is removed; its blob is moved alone later.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::content::{BlobWriter, OpenBlobOptions, Opened, Source, TargetWriter};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::progress::Event;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::reader::ResumingReader;
use crate::transfer::report::BlobResult;
use crate::transfer::side::OnSide as _;
use crate::verifier::{Verified, Verifier, verified_inline_data};

/// How long a target may keep the others waiting, all chunks together.
const MAX_LAG: Duration = Duration::from_secs(10);

/// A blob for several targets.
pub(in crate::transfer) struct FanOut {
    pub(in crate::transfer) source: Arc<dyn Source>,
    pub(in crate::transfer) descriptor: Descriptor,
    pub(in crate::transfer) context: Arc<TransferContext>,
    pub(in crate::transfer) sinks: Vec<SinkTarget>,
}

/// One of the targets.
pub(in crate::transfer) struct SinkTarget {
    pub(in crate::transfer) writer: Arc<dyn TargetWriter>,
    pub(in crate::transfer) options: OpenBlobOptions,
    pub(in crate::transfer) counters: Arc<BlobCounters>,
}

/// The result at one target.
pub(in crate::transfer) enum SinkEnd {
    /// The target has it, or it failed for a reason that another attempt would not change.
    Ended(Result<BlobResult>),
    /// It must be moved alone.
    MoveAlone,
}

/// A target that takes the bytes.
struct Sink {
    /// Its position among the targets.
    index: usize,
    writer: Box<dyn BlobWriter>,
    counters: Arc<BlobCounters>,
    lag_left: Duration,
}

impl FanOut {
    /// Returns the ends in the order of the sinks.
    pub(in crate::transfer) async fn run(self) -> Vec<SinkEnd> {
        let mut ends: Vec<SinkEnd> = self.sinks.iter().map(|_| SinkEnd::MoveAlone).collect();
        if verified_inline_data(&self.descriptor).is_some() {
            return ends;
        }
        let opening =
            self.sinks.iter().map(|sink| sink.writer.open_blob(&self.descriptor, &sink.options));
        let mut sinks = Vec::new();
        for (index, opened) in join_all(opening).await.into_iter().enumerate() {
            let Some(target) = self.sinks.get(index) else { continue };
            let end = match opened.on(Side::Target) {
                Ok(Opened::Exists) => SinkEnd::Ended(Ok(BlobResult::Shared)),
                Ok(Opened::Mounted { from }) => SinkEnd::Ended(Ok(BlobResult::Mounted(from))),
                Ok(Opened::Writer(writer)) if writer.offset() == 0 => {
                    let counters = Arc::clone(&target.counters);
                    counters.continue_at(0);
                    sinks.push(Sink { index, writer, counters, lag_left: MAX_LAG });
                    continue;
                }
                Ok(Opened::Writer(_)) => SinkEnd::MoveAlone,
                Err(error) => end_of(error),
            };
            set_end(&mut ends, index, end);
        }
        self.send_to(sinks, &mut ends).await;
        for (end, sink) in ends.iter_mut().zip(&self.sinks) {
            let has_failed = matches!(end, SinkEnd::Ended(Err(_)));
            // The next attempt follows the redirect; the target limits them.
            if has_failed && sink.writer.is_redirected(&self.descriptor.digest) {
                *end = SinkEnd::MoveAlone;
            }
        }
        ends
    }

    async fn send_to(&self, mut sinks: Vec<Sink>, ends: &mut [SinkEnd]) {
        if sinks.is_empty() {
            return;
        }
        let Descriptor { digest, size, .. } = &self.descriptor;
        let min_kept = sinks.iter().map(|sink| sink.writer.min_kept_bytes()).max();
        let reserved = self.context.reserve(digest.as_str(), *size, min_kept.unwrap_or_default());
        let (context, reservation) = match reserved {
            Ok(reserved) => reserved,
            Err(error) => return abort_all(sinks, &error, false, ends).await,
        };
        self.context.progress.on_event(&Event::BlobStarted { digest, position: 0 });
        let counters = BlobCounters::default();
        let mut reader =
            ResumingReader::new(&*self.source, &self.descriptor, 0, &context, &counters);
        match self.fill(&mut reader, &mut sinks, ends).await {
            Ok(proof) => {
                commit(sinks, &proof, ends).await;
                if let Some(reservation) = reservation {
                    reservation.spend();
                }
            }
            Err(error) => {
                let is_mismatch = error.kind() == ErrorKind::Mismatch;
                let has_other = is_mismatch && self.source.exclude_wrong(&self.descriptor.digest);
                // Bytes of several responses may not fit together: then one clean start decides, of each target alone.
                let may_fit = has_other || (is_mismatch && reader.was_resumed());
                abort_all(sinks, &error, may_fit, ends).await;
            }
        }
    }

    /// Reads the blob and writes it to all remaining sinks.
    async fn fill(
        &self,
        reader: &mut ResumingReader<'_>,
        sinks: &mut Vec<Sink>,
        ends: &mut [SinkEnd],
    ) -> Result<Verified> {
        let mut verifier = Verifier::new(&self.descriptor)?;
        let at_source =
            |error: Error| error.at(&self.source.endpoint().location).with_side(Side::Source);
        // An empty blob is not requested: some registries cannot serve it (image-spec#1025).
        while self.descriptor.size > 0 && !sinks.is_empty() {
            let Some(chunk) = reader.next().await? else { break };
            verifier.check_length(chunk.len()).map_err(at_source)?;
            write(&chunk, sinks, ends).await;
            verifier.hash(&chunk);
        }
        verifier.finish().map_err(at_source)
    }
}

impl Sink {
    /// Returns how long it took.
    async fn write(&mut self, chunk: Bytes) -> Result<Duration, SinkEnd> {
        let (started, length) = (Instant::now(), chunk.len() as u64);
        match self.writer.write(chunk).await {
            Ok(()) => {
                self.counters.add_transferred(length);
                Ok(started.elapsed())
            }
            Err(error) => Err(end_of(error.with_side(Side::Target))),
        }
    }

    /// Writes while others wait, for as long as they may have to.
    async fn write_in_time(&mut self, chunk: Bytes) -> Result<Duration, SinkEnd> {
        timeout(self.lag_left, self.write(chunk)).await.unwrap_or(Err(SinkEnd::MoveAlone))
    }

    /// Aborts the write; wrong bytes are not kept.
    async fn abort(mut self, error: &Error) {
        if error.kind() == ErrorKind::Mismatch {
            self.counters.continue_at(0);
            if self.writer.truncate().await.is_err() {
                return;
            }
        }
        self.writer.abort(error).await;
    }
}

/// Writes to all sinks, and removes those that fail or are too slow.
async fn write(chunk: &Bytes, sinks: &mut Vec<Sink>, ends: &mut [SinkEnd]) {
    let written = match &mut **sinks {
        [only] => vec![only.write(chunk.clone()).await],
        several => join_all(several.iter_mut().map(|sink| sink.write_in_time(chunk.clone()))).await,
    };
    let fastest = written.iter().filter_map(|took| took.as_ref().ok()).min().copied();
    let fastest = fastest.unwrap_or_default();
    let mut staying = Vec::with_capacity(sinks.len());
    for (mut sink, took) in sinks.drain(..).zip(written) {
        let end = match took {
            Ok(took) => {
                sink.lag_left = sink.lag_left.saturating_sub(took.saturating_sub(fastest));
                if !sink.lag_left.is_zero() {
                    staying.push(sink);
                    continue;
                }
                SinkEnd::MoveAlone
            }
            Err(end) => end,
        };
        let index = sink.index;
        if let SinkEnd::Ended(Err(error)) = &end {
            sink.abort(error).await;
        }
        set_end(ends, index, end);
    }
    *sinks = staying;
}

/// Ends all sinks with the error, or leaves them to attempts of their own.
async fn abort_all(sinks: Vec<Sink>, error: &Error, move_alone: bool, ends: &mut [SinkEnd]) {
    for sink in sinks {
        let end =
            if move_alone { SinkEnd::MoveAlone } else { SinkEnd::Ended(Err(error.clone_for())) };
        set_end(ends, sink.index, end);
        sink.abort(error).await;
    }
}

async fn commit(sinks: Vec<Sink>, proof: &Verified, ends: &mut [SinkEnd]) {
    let committing = sinks.into_iter().map(|sink| async move {
        let committed = sink.writer.commit(proof.clone()).await.on(Side::Target);
        (sink.index, committed)
    });
    for (index, committed) in join_all(committing).await {
        let end = match committed {
            Ok(()) => SinkEnd::Ended(Ok(BlobResult::Transferred)),
            Err(error) => end_of(error),
        };
        set_end(ends, index, end);
    }
}

/// An error that another attempt may not see leads to a read for this target alone.
fn end_of(error: Error) -> SinkEnd {
    if error.is_transient() {
        tracing::info!("{}; moving the blob alone", error.chain());
        return SinkEnd::MoveAlone;
    }
    SinkEnd::Ended(Err(error))
}

fn set_end(ends: &mut [SinkEnd], index: usize, end: SinkEnd) {
    if let Some(slot) = ends.get_mut(index) {
        *slot = end;
    }
}
