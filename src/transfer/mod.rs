//! Moves content from a source to a target: resolve, plan, transfer, commit, report.
//!
//! ```text
//! graph     what belongs to the image, children before parents     (documents only)
//! prepare   asks the target what it has of that; `presence` keeps the answers, and why each blob counts as there
//! plan      what the target lacks                                  (data; can be printed)
//! engine    largest first: open -> read -> verify -> write -> commit
//! report    what moved, what was shared
//! feeds     what moves, for those who use it meanwhile
//! ```

mod alike;
mod artifacts;
mod blob;
mod choice;
mod document_finder;
mod engine;
mod feed;
mod feeds;
mod filter_index;
mod graph;
mod growing;
mod nested;
mod options;
mod plan;
mod prepare;
mod presence;
mod progress;
mod read;
mod reader;
mod received;
mod report;
mod run_feeds;
mod side;
mod tally;
mod throttle;

pub use self::artifacts::{ArtifactOptions, AttachedArtifact};
pub use self::choice::PlatformRequest;
pub use self::document_finder::{ResolvedImage, resolve_image};
pub use self::engine::{ImageResult, transfer};
pub use self::feeds::{Feeder, Feeds};
pub use self::graph::{ImageGraph, ImageRequest, PlatformSelection, resolve};
pub use self::growing::{GrowingBlob, OpenStored};
pub use self::options::TransferOptions;
pub use self::plan::{BlobState, Plan, PlanReport, PlannedBlob, PlannedImage, plan};
pub use self::progress::{Completion, Event, NoProgress, Progress};
pub use self::read::{read_blob, read_small};
pub use self::received::ReceivedBlob;
pub use self::report::{BlobOutcome, BlobReport, ByteCounts, ImageSummary, Report};
pub use self::throttle::Throttle;
