//! Moves content from sources to targets: resolve, plan, transfer, commit, report.
//!
//! ```text
//! run         Transfer: the images of one run, and its report
//! prepare     resolves them, asks the targets, begins to write
//!   resolve     the documents of an image, children before parents                    (documents only)
//!   target_state  what a target has; `presence` keeps the answers, and why a blob counts as present
//!   plan        each blob once per target: shared, mountable, missing                 (data; can be printed)
//! driver      starts what the schedule decides, and reports what ended; `run_state` is the state, `tasks` what runs
//!   schedule    which blob, commit or target is next                                  (decisions without I/O)
//!   blob        one blob: open -> read -> verify -> write -> commit; for several targets with one read
//!   ranges      several connections for one blob
//!   commit      one image: its documents, children before parents, and its name
//! feed        blobs that are being moved, for readers
//! report      what was transferred, what was shared
//! ```

mod blob;
mod commit;
mod driver;
mod feed;
mod options;
mod plan;
mod prepare;
mod presence;
mod ranges;
mod report;
mod request;
mod resolve;
mod run;
mod run_error;
mod run_state;
mod schedule;
mod side;
mod table;
mod target_state;
mod tasks;

use std::sync::Arc;

pub use self::blob::read::{can_read_elsewhere, fetch_blob, read_blob, read_elsewhere, read_small};
pub use self::blob::received::ReceivedBlob;
pub use self::blob::send::send_blob;
pub use self::blob::throttle::Throttle;
pub use self::feed::feeds::{Feeder, Feeds};
pub use self::feed::growing::{GrowingBlob, OpenStored};
pub use self::options::TransferOptions;
pub use self::plan::show::{BlobState, PlanBytes, PlanReport, PlannedBlobReport, PlannedImage};
#[cfg(feature = "cli")]
pub(crate) use self::report::elapsed_ms;
pub use self::report::{
    BlobOutcome, BlobReport, ByteCounts, ImageReport, ImageResult, ImageSummary, RunReport,
};
pub use self::request::{ArtifactOptions, ImageRequest, PlatformRequest, PlatformSelection};
pub use self::resolve::graph::{AttachedArtifact, ImageGraph, ResolvedImage};
pub use self::resolve::image::resolve;
pub use self::resolve::resolved_image::{resolve_image, resolve_with_all_platforms};
pub use self::run::Transfer;
pub use self::run_error::RunError;
use crate::content::Target;
#[doc(no_inline)]
pub use crate::progress::{Completion, Event, NoProgress, Progress};

/// Moves these images to one target. Returns their results, in their order.
pub async fn transfer(
    requests: &[ImageRequest],
    target: &Arc<dyn Target>,
    options: TransferOptions,
) -> Vec<ImageResult> {
    Transfer::new(options).images(requests, target).run().await.images
}
