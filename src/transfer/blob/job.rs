//! Moves one blob to one target: open, read, verify, write, commit.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;

use crate::content::{
    BlobWriter, ByteStream, OpenBlobOptions, Opened, Presence, Rebuilder, Source, TargetWriter,
};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::progress::Event;
use crate::retry::retry;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::lost_attempts::LostAttempts;
use crate::transfer::blob::reader::{ResumingReader, of_layout};
use crate::transfer::feed::Feed;
use crate::transfer::report::BlobResult;
use crate::verifier::{Verified, Verifier, verified_inline_data};

/// Everything that is needed to move one blob.
pub(in crate::transfer) struct BlobJob {
    pub(in crate::transfer) source: Arc<dyn Source>,
    /// Taken by the first attempt.
    pub(in crate::transfer) rebuilder: Mutex<Option<Arc<dyn Rebuilder>>>,
    pub(in crate::transfer) writer: Arc<dyn TargetWriter>,
    pub(in crate::transfer) options: OpenBlobOptions,
    pub(in crate::transfer) descriptor: Descriptor,
    pub(in crate::transfer) context: Arc<TransferContext>,
    pub(in crate::transfer) counters: Arc<BlobCounters>,
    pub(in crate::transfer) feed: Feed,
}

/// The end of a job.
pub(in crate::transfer) struct BlobJobResult {
    pub(in crate::transfer) result: Result<BlobResult>,
    /// Still open: another job may have to continue it.
    pub(in crate::transfer) feed: Feed,
}

/// Moves the blob, unless the target has it by now.
///
/// The reader retries the source. So a transient error comes from the target, and the blob is opened there again.
pub(in crate::transfer) async fn run(job: BlobJob) -> BlobJobResult {
    let lost = LostAttempts::default();
    loop {
        let attempt = || async {
            open_and_send(&job).await.map_err(|error| lost.judge(&job.counters, error))
        };
        match retry(&job.context.policy, attempt).await {
            // The target limits the redirects.
            Err(error) if job.writer.is_redirected(&job.descriptor.digest) => {
                tracing::info!("{}", error.chain());
            }
            result => {
                // Wrong bytes come from the source. Any other error without a side comes from the target.
                let result = result.map_err(|error| match error.kind() {
                    ErrorKind::Mismatch => of_layout(&*job.source, error).with_side(Side::Source),
                    _ => error.with_side(Side::Target),
                });
                return BlobJobResult { result, feed: job.feed };
            }
        }
    }
}

async fn open_and_send(job: &BlobJob) -> Result<BlobResult> {
    let opening = job.context.hold();
    let mut writer = match job.writer.open_blob(&job.descriptor, &job.options).await? {
        Opened::Exists => return Ok(BlobResult::Shared),
        Opened::Mounted { from } => return Ok(BlobResult::Mounted(from)),
        Opened::Writer(writer) => writer,
    };
    if let Some((bytes, proof)) = verified_inline_data(&job.descriptor) {
        writer.truncate().await?;
        writer.write(bytes.clone()).await?;
        writer.commit(proof).await?;
        return Ok(BlobResult::Inline);
    }
    let rebuilder = job.rebuilder.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut delta_error = None;
    if let Some(rebuilder) = rebuilder {
        match rebuild(job, &*rebuilder, &mut *writer).await {
            Ok(RebuildEnd::Rebuilt(proof)) => {
                return writer.commit(*proof).await.map(|()| BlobResult::Rebuilt);
            }
            Ok(RebuildEnd::NotRebuilt(error)) => delta_error = Some(not_rebuilt(job, error)),
            Err(error) => {
                writer.abort(&error).await;
                return Err(error);
            }
        }
    }
    let rest = job.descriptor.size.saturating_sub(writer.offset());
    let digest = job.descriptor.digest.as_str();
    let (context, reservation) = match job.context.reserve(digest, rest, writer.min_kept_bytes()) {
        Ok(reserved) => reserved,
        Err(error) => {
            writer.abort(&error).await;
            return Err(error);
        }
    };
    drop(opening);
    let sent = attempt_until_right(job, &context, &mut *writer).await;
    match sent {
        Ok(proof) => {
            writer.commit(proof).await?;
            if let Some(reservation) = reservation {
                reservation.spend();
            }
            Ok(BlobResult::Transferred)
        }
        Err(AttemptError { error, .. }) => {
            writer.abort(&error).await;
            // An archive may have the delta instead of the layer.
            let is_missing = error.kind() == ErrorKind::NotFound;
            let is_local = job.source.endpoint().kind.is_local();
            Err(delta_error.filter(|_| is_missing && is_local).unwrap_or(error))
        }
    }
}

/// Wraps the error of a rebuild; logs it as a warning, unless the source may have nothing but the delta.
fn not_rebuilt(job: &BlobJob, error: Error) -> Error {
    let what = format!("delta for {}", job.descriptor.digest);
    let error = Error::new(error.kind(), what).with_data_of(&error).with_source(error);
    if !job.source.endpoint().kind.is_local() {
        tracing::warn!("{}; transferring the layer", error.chain());
    }
    error
}

/// Transfers the blob, and again where wrong bytes have another explanation than the descriptor.
async fn attempt_until_right(
    job: &BlobJob,
    context: &TransferContext,
    writer: &mut dyn BlobWriter,
) -> Result<Verified, AttemptError> {
    let mut sent = attempt(job, context, writer, StartAt::Partial).await;
    let mut was_restarted = false;
    while let Err(AttemptError { error, was_resumed }) = &sent
        && error.kind() == ErrorKind::Mismatch
        && (job.source.exclude_wrong(&job.descriptor.digest) || (*was_resumed && !was_restarted))
    {
        tracing::info!("{}; restarting", error.chain());
        was_restarted = true;
        sent = attempt(job, context, writer, StartAt::FirstByte).await;
    }
    sent
}

/// The end of a rebuild.
enum RebuildEnd {
    Rebuilt(Box<Verified>),
    /// The delta or an old layer is missing or wrong. The target has what it had before, or nothing.
    NotRebuilt(Error),
}

/// Rebuilds the blob at the target. An error is one of the target.
async fn rebuild(
    job: &BlobJob,
    rebuilder: &dyn Rebuilder,
    writer: &mut dyn BlobWriter,
) -> Result<RebuildEnd> {
    let digest = &job.descriptor.digest;
    job.context.progress.on_event(&Event::BlobStarted { digest, position: 0 });
    let received = |bytes| {
        job.counters.add_delta(bytes);
        job.context.received.fetch_add(bytes, Ordering::Relaxed);
    };
    let chunks = match rebuilder.rebuild(&job.descriptor, &received).await {
        Ok(chunks) => chunks,
        // The partial of the layer is still of use.
        Err(error) => return Ok(RebuildEnd::NotRebuilt(error)),
    };
    writer.truncate().await?;
    let end = write_rebuilt(job, chunks, writer).await?;
    if matches!(end, RebuildEnd::NotRebuilt(_)) {
        writer.truncate().await?;
    }
    Ok(end)
}

async fn write_rebuilt(
    job: &BlobJob,
    mut chunks: ByteStream<'static>,
    writer: &mut dyn BlobWriter,
) -> Result<RebuildEnd> {
    let (digest, progress) = (&job.descriptor.digest, &job.context.progress);
    if job.feed.is_used() {
        job.feed.restart(writer.file()?);
    }
    let mut verifier = Verifier::new(&job.descriptor)?;
    loop {
        let chunk = match chunks.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                return Ok(match verifier.finish() {
                    Ok(proof) => RebuildEnd::Rebuilt(Box::new(proof)),
                    Err(error) => RebuildEnd::NotRebuilt(error),
                });
            }
            Err(error) => return Ok(RebuildEnd::NotRebuilt(error)),
        };
        if let Err(error) = verifier.check_length(chunk.len()) {
            return Ok(RebuildEnd::NotRebuilt(error));
        }
        writer.write(chunk.clone()).await?;
        verifier.hash(&chunk);
        job.feed.advance(&chunk);
        progress.on_event(&Event::BlobAdvanced { digest, position: verifier.position() });
    }
}

/// Where an attempt starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StartAt {
    /// After the bytes that the target has.
    Partial,
    FirstByte,
}

impl StartAt {
    fn offset(self, writer: &dyn BlobWriter) -> u64 {
        match self {
            Self::Partial => writer.offset(),
            Self::FirstByte => 0,
        }
    }
}

/// Why an attempt failed, and whether its bytes came from several responses or runs. A wrong digest may then come from joining
/// them, and one clean start decides.
struct AttemptError {
    error: Error,
    was_resumed: bool,
}

async fn attempt(
    job: &BlobJob,
    context: &TransferContext,
    writer: &mut dyn BlobWriter,
    start: StartAt,
) -> Result<Verified, AttemptError> {
    let offset = start.offset(writer);
    let digest = &job.descriptor.digest;
    let ranges = writer.ranges().filter(|_| start == StartAt::Partial);
    let present = ranges.as_ref().map(|ranges| ranges.present()).unwrap_or_default();
    let early: u64 = present.iter().map(|range| range.end - range.start).sum();
    job.counters.continue_at(offset + early);
    job.context.progress.on_event(&Event::BlobStarted { digest, position: offset });
    let mut reader =
        ResumingReader::new(&*job.source, &job.descriptor, offset, context, &job.counters);
    if start == StartAt::FirstByte {
        // Ranges may be what was wrong.
        reader = reader.in_one_stream();
    }
    if let Some(ranges) = ranges {
        reader = reader.with_ranges(ranges);
    }
    let sent = fill(job, writer, start, &mut reader).await;
    let was_resumed = offset > 0 || reader.was_resumed();
    let has_failed = reader.has_failed();
    // Nothing is written any more, nor counted.
    drop(reader);
    let error = match sent {
        Ok(proof) => return Ok(proof),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::Mismatch {
        return Err(AttemptError { error, was_resumed });
    }
    job.counters.continue_at(0);
    if has_failed {
        // The response does not fit the descriptor, which may be the wrong one of both: the partial may be fine.
        return Err(AttemptError { error, was_resumed });
    }
    // Wrong bytes are not worth keeping.
    match writer.truncate().await {
        Ok(()) => Err(AttemptError { error, was_resumed }),
        Err(error) => Err(AttemptError { error, was_resumed: false }),
    }
}

/// Verifies the partial and appends the rest.
async fn fill(
    job: &BlobJob,
    writer: &mut dyn BlobWriter,
    start: StartAt,
    reader: &mut ResumingReader<'_>,
) -> Result<Verified> {
    let mut verifier = Verifier::new(&job.descriptor)?;
    let offset = start.offset(writer);
    if job.feed.is_used() {
        job.feed.restart(writer.file()?);
    }
    if offset > 0 {
        match writer.read_back()? {
            Presence::Present(mut prefix) => {
                while let Some(chunk) = reader.receive_during(prefix.try_next()).await? {
                    verifier.update(&chunk)?;
                    job.feed.advance(&chunk);
                }
            }
            Presence::Absent | Presence::Unknown => hash_prefix(job, offset, &mut verifier).await?,
        }
    }
    // An empty blob is not requested: some registries cannot serve it (image-spec#1025).
    if offset < job.descriptor.size {
        while let Some(chunk) = reader.next().await? {
            if start == StartAt::FirstByte && verifier.position() == 0 {
                // Not before new bytes have arrived.
                writer.truncate().await?;
            }
            verifier.check_length(chunk.len())?;
            // Written before it is hashed: a killed process keeps everything that it had received.
            if reader.is_stored() {
                writer.advance(chunk.len() as u64)?;
            } else {
                writer.write(chunk.clone()).await?;
            }
            verifier.hash(&chunk);
            job.feed.advance(&chunk);
        }
    }
    verifier.finish().map_err(|error| error.at(&job.source.endpoint().location))
}

/// Hashes the prefix of a partial that the target cannot read back, by reading it from the source again.
async fn hash_prefix(job: &BlobJob, length: u64, verifier: &mut Verifier) -> Result<()> {
    let read_again = ReadAgain { counters: BlobCounters::default(), job };
    let context = job.context.without_progress();
    let reader =
        ResumingReader::new(&*job.source, &job.descriptor, 0, &context, &read_again.counters);
    let mut reader = reader.in_one_stream();
    let mut left = length;
    while left > 0 {
        let Some(mut chunk) = reader.next().await? else { break };
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        verifier.update(&chunk)?;
    }
    Ok(())
}

/// Counts bytes that are read only to be hashed as resent, also if the read fails or is cancelled. A local source sends none.
struct ReadAgain<'a> {
    counters: BlobCounters,
    job: &'a BlobJob,
}

impl Drop for ReadAgain<'_> {
    fn drop(&mut self) {
        if !self.job.source.endpoint().kind.is_local() {
            let (read, _, resent) = self.counters.read();
            self.job.counters.add_resent(read + resent);
        }
    }
}
