//! Sends one blob that belongs to no image.

use std::sync::{Arc, Mutex};

use crate::content::{BlobPresence, OpenBlobOptions, Source, Target, TargetPlan};
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::job::{self, BlobJob};
use crate::transfer::feed::Feed;
use crate::transfer::options::TransferOptions;
use crate::transfer::report::BlobResult;

/// Sends one blob to a target, unless the target has it, with the retries and the verification of a transfer. Returns whether
/// it was sent. The target may delete a blob that no manifest names later.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) for other bytes than those of the descriptor.
pub async fn send_blob(
    source: Arc<dyn Source>,
    blob: &Descriptor,
    target: &dyn Target,
    options: &TransferOptions,
) -> Result<bool> {
    let blobs = vec![(blob, BlobPresence::Unknown)];
    let writer = target.begin(&TargetPlan { blobs, ..TargetPlan::default() }).await?;
    let job = BlobJob {
        source,
        writer: Arc::clone(&writer),
        options: OpenBlobOptions::default(),
        descriptor: blob.clone(),
        context: Arc::new(TransferContext::new(options)),
        counters: Arc::default(),
        feed: Feed::default(),
        rebuilder: Mutex::default(),
    };
    let result = job::run(job).await.result?;
    writer.finish().await?;
    Ok(result == BlobResult::Transferred)
}
