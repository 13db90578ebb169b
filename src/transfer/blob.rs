//! Moves one blob: admit, read, check, fill, commit.

use std::sync::Arc;

use futures_util::TryStreamExt as _;

use super::feed::Feed;
use super::progress::Event;
use super::reader::{Care, Reader};
use super::report::Ending;
use super::tally::Tally;
use crate::checked::{Checked, Verified, inline};
use crate::content::{Admission, Ingest, Source, Target};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Matter, Result};
use crate::retry::retry;

/// Everything that moving one blob takes.
pub(super) struct Job {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) descriptor: Descriptor,
    pub(super) care: Arc<Care>,
    pub(super) tally: Arc<Tally>,
    pub(super) feed: Feed,
}

/// A job that came to an end by itself.
pub(super) struct Done {
    pub(super) result: Result<Ending>,
    /// Still open: another job may have to take it.
    pub(super) feed: Feed,
}

impl Done {
    /// Of one that went with its feed.
    pub(super) fn failed(error: Error) -> Self {
        Self { result: Err(error), feed: Feed::default() }
    }
}

/// Moves the blob, or finds that the target has it by now.
///
/// A source is healed by the reader, which lets nothing through that another try could mend; what is left of that kind
/// is the target's, and the blob is offered to it again.
pub(super) async fn run(job: Job) -> Done {
    loop {
        match retry(&job.care.policy, || offer(&job)).await {
            // The target ends this after so many times.
            Err(error) if error.matter() == Some(Matter::SentElsewhere) => {
                tracing::info!("{}", error.chain());
            }
            result => return Done { result, feed: job.feed },
        }
    }
}

async fn offer(job: &Job) -> Result<Ending> {
    job.tally.start_over();
    let mut ingest = match job.target.admit(&job.descriptor).await? {
        Admission::Present => return Ok(Ending::Shared),
        Admission::Mounted(from) => return Ok(Ending::Mounted(from)),
        Admission::Open(ingest) => ingest,
    };
    if let Some((bytes, proof)) = inline(&job.descriptor) {
        ingest.restart()?;
        ingest.write(&bytes).await?;
        ingest.commit(proof).await?;
        return Ok(Ending::Inline);
    }
    let moved = match attempt(job, &mut *ingest, false).await {
        Err(Wrong { error, stitched: true }) if error.kind() == ErrorKind::Mismatch => {
            tracing::info!("{}; starting over once", error.chain());
            attempt(job, &mut *ingest, true).await
        }
        other => other,
    };
    match moved {
        Ok(proof) => ingest.commit(proof).await.map(|()| Ending::Moved),
        Err(Wrong { error, .. }) => {
            ingest.give_up(&error).await;
            Err(error)
        }
    }
}

/// Why an attempt failed, and whether its bytes were put together from several answers or runs: then a wrong digest may
/// be the seam's fault, and one clean start decides.
struct Wrong {
    error: Error,
    stitched: bool,
}

/// Goes on from what is kept, or from the first byte with `anew`.
async fn attempt(job: &Job, ingest: &mut dyn Ingest, anew: bool) -> Result<Verified, Wrong> {
    let kept = if anew { 0 } else { ingest.kept() };
    let digest = &job.descriptor.digest;
    job.tally.keep(kept);
    job.care.progress.on_event(&Event::BlobStarted { digest, position: kept });
    let mut reader = Reader::new(&*job.source, &job.descriptor, kept, &job.care, &job.tally);
    let moved = fill(job, ingest, anew, &mut reader).await;
    let stitched = kept > 0 || reader.was_reopened();
    moved.map_err(|error| {
        if error.kind() != ErrorKind::Mismatch {
            return Wrong { error, stitched };
        }
        job.tally.start_over();
        if reader.gave_up() {
            // The answer does not fit the descriptor, which may be the one that is wrong: what is kept can be another's.
            return Wrong { error, stitched };
        }
        // Of wrong bytes nothing is worth keeping.
        match ingest.restart() {
            Ok(()) => Wrong { error, stitched },
            Err(error) => Wrong { error, stitched: false },
        }
    })
}

/// Verifies what is kept and appends the rest.
async fn fill(
    job: &Job,
    ingest: &mut dyn Ingest,
    anew: bool,
    reader: &mut Reader<'_>,
) -> Result<Verified> {
    let mut checked = Checked::new(&job.descriptor)?;
    let kept = if anew { 0 } else { ingest.kept() };
    if job.feed.is_used() {
        job.feed.restart(ingest.file()?);
    }
    if kept > 0 {
        match ingest.read_kept()? {
            Some(mut prefix) => {
                while let Some(piece) = prefix.try_next().await? {
                    checked.update(&piece)?;
                    job.feed.advance(&piece);
                }
            }
            None => hash_prefix(job, kept, &mut checked).await?,
        }
    }
    // Of an empty blob nothing needs to be asked, and some registries cannot answer (image-spec#1025).
    if kept < job.descriptor.size {
        while let Some(piece) = reader.next().await? {
            if anew && checked.seen() == 0 {
                // Not before there is something better.
                ingest.restart()?;
            }
            checked.expect(piece.len())?;
            // Written before it is hashed: a killed process loses nothing that it had received.
            ingest.write(&piece).await?;
            checked.hash(&piece);
            job.feed.advance(&piece);
        }
    }
    checked.finish().map_err(|error| error.at(job.source.place()))
}

/// Hashes what a target has and cannot give back, from the source; what of it travels is waste.
async fn hash_prefix(job: &Job, kept: u64, checked: &mut Checked) -> Result<()> {
    let tally = Tally::default();
    let care = job.care.without_progress();
    let mut reader = Reader::new(&*job.source, &job.descriptor, 0, &care, &tally);
    let mut left = kept;
    while left > 0 {
        let Some(mut piece) = reader.next().await? else { break };
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= piece.len() as u64;
        checked.update(&piece)?;
    }
    Ok(())
}
