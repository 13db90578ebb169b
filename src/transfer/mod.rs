//! Moves content from a source to a target: resolve, plan, transfer, commit, report.
//!
//! ```text
//! graph    what belongs to the image, children before parents      (documents only)
//! plan     what of it the target lacks                             (data; can be printed)
//! engine   largest first: admit -> reader -> checked -> fill -> commit
//! report   what moved, what was shared
//! feeds    what moves, for those who use it meanwhile
//! ```

mod alike;
mod attached;
mod blob;
mod choice;
mod engine;
mod feed;
mod feeds;
mod finder;
mod graph;
mod growing;
mod nested;
mod options;
mod plan;
mod progress;
mod read;
mod reader;
mod received;
mod report;
mod run_feeds;
mod subset;
mod tally;
mod throttle;

pub use self::attached::{Along, Attached};
pub use self::choice::Choice;
pub use self::engine::{Finished, transfer};
pub use self::feeds::{Feeder, Feeds};
pub use self::finder::{Picked, pick};
pub use self::graph::{Graph, Platforms, Wanted, resolve};
pub use self::growing::{GrowingBlob, OpenStored};
pub use self::options::Options;
pub use self::plan::{Plan, PlanReport, Planned, PlannedBlob, State, plan};
pub use self::progress::{Event, Progress, Silent, Way};
pub use self::read::{read_blob, read_small};
pub use self::received::ReceivedBlob;
pub use self::report::{Amounts, BlobReport, Head, Outcome, Report};
pub use self::throttle::Throttle;
