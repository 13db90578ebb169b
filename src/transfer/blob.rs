//! Moves one blob: admit, read, check, fill, commit.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::engine::Options;
use super::progress::Event;
use super::reader::{Care, Reader};
use super::report::Ending;
use super::tally::Tally;
use crate::checked::{Checked, Verified};
use crate::content::{Admission, Ingest, Source, Target};
use crate::descriptor::Descriptor;
use crate::error::{ErrorKind, Result};

/// Everything that moving one blob takes.
pub(super) struct Job {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) descriptor: Descriptor,
    pub(super) care: Arc<Care>,
    pub(super) tally: Arc<Tally>,
}

/// Moves the blob, or finds that the target has it by now.
pub(super) async fn run(job: Job) -> Result<Ending> {
    let mut ingest = match job.target.admit(&job.descriptor).await? {
        Admission::Present => return Ok(Ending::Shared),
        Admission::Open(ingest) => ingest,
    };
    if let Some(bytes) = job.descriptor.inline() {
        ingest.restart()?;
        let proof = crate::checked::verify(&job.descriptor, &bytes)?;
        ingest.fill(Box::pin(futures_util::stream::iter([Ok(bytes)]))).await?;
        ingest.commit(proof).await?;
        return Ok(Ending::Inline);
    }
    let proof = match attempt(&job, &mut *ingest).await {
        Ok(proof) => proof,
        Err(Wrong { error, stitched }) => {
            if error.kind() != ErrorKind::Mismatch {
                return Err(error);
            }
            job.tally.start_over();
            ingest.restart()?;
            if !stitched {
                return Err(error);
            }
            tracing::info!("{}; starting over once", error.chain());
            attempt(&job, &mut *ingest).await.map_err(|wrong| {
                job.tally.start_over();
                wrong.error
            })?
        }
    };
    ingest.commit(proof).await?;
    Ok(Ending::Moved)
}

/// Streams one blob to `sink`, healed and verified; the sink has seen bytes that were not verified yet when this fails.
///
/// # Errors
/// [`ErrorKind::Mismatch`] at the end where the bytes were wrong.
pub async fn read_blob(
    source: &dyn Source,
    descriptor: &Descriptor,
    options: Options,
    sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<()> {
    let care = options.care();
    let tally = Tally::default();
    let mut checked = Checked::new(descriptor)?;
    let mut reader = Reader::new(source, descriptor, 0, &care, &tally);
    let mut stream = std::pin::pin!(reader.stream());
    while let Some(piece) = stream.try_next().await? {
        checked.update(&piece)?;
        sink(&piece)?;
    }
    checked.finish().map(drop).map_err(|error| error.at(source.place()))
}

/// Why an attempt failed, and whether its bytes were put together from several answers or runs: then a wrong digest may
/// be the seam's fault, and one clean start decides.
struct Wrong {
    error: crate::error::Error,
    stitched: bool,
}

async fn attempt(job: &Job, ingest: &mut dyn Ingest) -> Result<Verified, Wrong> {
    let kept = ingest.kept();
    let plain = |error| Wrong { error, stitched: kept > 0 };
    job.tally.keep(kept);
    job.care
        .progress
        .on_event(&Event::BlobStarted { digest: &job.descriptor.digest, position: kept });
    let mut checked = Checked::new(&job.descriptor).map_err(plain)?;
    if kept > 0 {
        let mut prefix = ingest.read_kept().map_err(plain)?;
        while let Some(piece) = prefix.try_next().await.map_err(plain)? {
            checked.update(&piece).map_err(plain)?;
        }
    }
    if kept == 0 || kept < job.descriptor.size {
        let mut reader = Reader::new(&*job.source, &job.descriptor, kept, &job.care, &job.tally);
        let stream = reader.stream().map(|piece| {
            let piece = piece?;
            checked.update(&piece)?;
            Ok(piece)
        });
        let filled = ingest.fill(Box::pin(stream)).await;
        let stitched = kept > 0 || reader.was_reopened();
        filled.map_err(|error| Wrong { error, stitched })?;
        return checked
            .finish()
            .map_err(|error| Wrong { error: error.at(job.source.place()), stitched });
    }
    checked.finish().map_err(plain)
}
