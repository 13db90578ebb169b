//! Moves one blob: open, read, verify, write, commit.

use std::sync::Arc;

use futures_util::TryStreamExt as _;

use crate::content::{BlobWriter, OpenBlob, Opened, Presence, Source, TargetWriter};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::progress::Event;
use crate::retry::retry;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::blob::reader::ResumingReader;
use crate::transfer::feed::Feed;
use crate::transfer::report::BlobResult;
use crate::verifier::{Verified, Verifier, verified_inline_data};

/// Everything that moving one blob takes.
pub(in crate::transfer) struct BlobJob {
    pub(in crate::transfer) source: Arc<dyn Source>,
    pub(in crate::transfer) writer: Arc<dyn TargetWriter>,
    pub(in crate::transfer) options: OpenBlob,
    pub(in crate::transfer) descriptor: Descriptor,
    pub(in crate::transfer) context: Arc<TransferContext>,
    pub(in crate::transfer) counters: Arc<BlobCounters>,
    pub(in crate::transfer) feed: Feed,
}

/// A job that came to an end by itself.
pub(in crate::transfer) struct BlobJobResult {
    pub(in crate::transfer) result: Result<BlobResult>,
    /// Still open: another job may have to take it.
    pub(in crate::transfer) feed: Feed,
}

/// Moves the blob, or finds that the target has it by now.
///
/// A source is healed by the reader, which lets nothing through that another try could mend; what is left of that kind
/// is the target's, and the blob is offered to it again.
pub(in crate::transfer) async fn run(job: BlobJob) -> BlobJobResult {
    loop {
        match retry(&job.context.policy, || open_and_send(&job)).await {
            // The target limits the redirects.
            Err(error) if job.writer.is_redirected(&job.descriptor.digest) => {
                tracing::info!("{}", error.chain());
            }
            result => {
                // Bytes with another digest came from the source. What else has no side yet is the target's.
                let result = result.map_err(|error| match error.kind() {
                    ErrorKind::Mismatch => error.with_side(Side::Source),
                    _ => error.with_side(Side::Target),
                });
                return BlobJobResult { result, feed: job.feed };
            }
        }
    }
}

async fn open_and_send(job: &BlobJob) -> Result<BlobResult> {
    job.counters.reset();
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
    let sent = match attempt(job, &mut *writer, false).await {
        Err(AttemptError { error, was_resumed: true }) if error.kind() == ErrorKind::Mismatch => {
            tracing::info!("{}; restarting once", error.chain());
            attempt(job, &mut *writer, true).await
        }
        other => other,
    };
    match sent {
        Ok(proof) => writer.commit(proof).await.map(|()| BlobResult::Transferred),
        Err(AttemptError { error, .. }) => {
            writer.abort(&error).await;
            Err(error)
        }
    }
}

/// Why an attempt failed, and whether its bytes were put together from several answers or runs: then a wrong digest may
/// be the seam's fault, and one clean start decides.
struct AttemptError {
    error: Error,
    was_resumed: bool,
}

/// Goes on from what is kept, or from the first byte with `anew`.
async fn attempt(
    job: &BlobJob,
    writer: &mut dyn BlobWriter,
    anew: bool,
) -> Result<Verified, AttemptError> {
    let kept = if anew { 0 } else { writer.offset() };
    let digest = &job.descriptor.digest;
    job.counters.set_resumed(kept);
    job.context.progress.on_event(&Event::BlobStarted { digest, position: kept });
    let mut reader =
        ResumingReader::new(&*job.source, &job.descriptor, kept, &job.context, &job.counters);
    let sent = fill(job, writer, anew, &mut reader).await;
    let was_resumed = kept > 0 || reader.was_resumed();
    let error = match sent {
        Ok(proof) => return Ok(proof),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::Mismatch {
        return Err(AttemptError { error, was_resumed });
    }
    job.counters.reset();
    if reader.has_failed() {
        // The answer does not fit the descriptor, which may be the one that is wrong: what is kept can be another's.
        return Err(AttemptError { error, was_resumed });
    }
    // Wrong bytes are not worth keeping.
    match writer.truncate().await {
        Ok(()) => Err(AttemptError { error, was_resumed }),
        Err(error) => Err(AttemptError { error, was_resumed: false }),
    }
}

/// Verifies what is kept and appends the rest.
async fn fill(
    job: &BlobJob,
    writer: &mut dyn BlobWriter,
    from_start: bool,
    reader: &mut ResumingReader<'_>,
) -> Result<Verified> {
    let mut checked = Verifier::new(&job.descriptor)?;
    let kept = if from_start { 0 } else { writer.offset() };
    if job.feed.is_used() {
        job.feed.restart(writer.file()?);
    }
    if kept > 0 {
        match writer.read_back()? {
            Presence::Present(mut prefix) => {
                while let Some(chunk) = prefix.try_next().await? {
                    checked.update(&chunk)?;
                    job.feed.advance(&chunk);
                }
            }
            Presence::Absent | Presence::Unknown => hash_prefix(job, kept, &mut checked).await?,
        }
    }
    // Of an empty blob nothing needs to be asked, and some registries cannot answer (image-spec#1025).
    if kept < job.descriptor.size {
        while let Some(chunk) = reader.next().await? {
            if from_start && checked.position() == 0 {
                // Not before there is something better.
                writer.truncate().await?;
            }
            checked.check_length(chunk.len())?;
            // Written before it is hashed: a killed process loses nothing that it had received.
            writer.write(chunk.clone()).await?;
            checked.hash(&chunk);
            job.feed.advance(&chunk);
        }
    }
    checked.finish().map_err(|error| error.at(&job.source.endpoint().location))
}

/// Hashes what a target has and cannot give back, from the source; what of it travels is waste.
async fn hash_prefix(job: &BlobJob, kept: u64, checked: &mut Verifier) -> Result<()> {
    let counters = BlobCounters::default();
    let context = job.context.without_progress();
    let mut reader = ResumingReader::new(&*job.source, &job.descriptor, 0, &context, &counters);
    let mut left = kept;
    while left > 0 {
        let Some(mut chunk) = reader.next().await? else { break };
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        checked.update(&chunk)?;
    }
    Ok(())
}
