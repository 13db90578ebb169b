//! The ledger: what runs moved, one line of JSON per image and run.
//!
//! A store has its ledger in `ledger.jsonl`. Runs append to it ([`Ledger::append`]); it is read line by line
//! ([`Ledger::read`]), oldest first, and summed ([`Summary`]). Full files are rotated: `ledger.jsonl.1` is the newest of them.
//!
//! ```
//! use rpull::layout::ledger::{GroupBy, Ledger, Summary};
//!
//! # fn example() -> rpull::Result<()> {
//! let mut summary = Summary::new(Some(GroupBy::Day));
//! let damaged = Ledger::in_store("/var/lib/rpull".as_ref()).read(|record| summary.add(&record))?;
//! for (day, sums) in summary.groups() {
//!     println!("{day}: {} bytes transferred, {} shared", sums.transferred, sums.shared);
//! }
//! println!("{} damaged lines", damaged.len());
//! # Ok(())
//! # }
//! ```

mod file;
mod record;
mod summary;
mod utc_time;

pub use self::file::{DamagedLine, Ledger};
pub use self::record::{LedgerBytes, LedgerRecord};
pub use self::summary::{GroupBy, LOCAL_GROUP, Summary, Sums};
pub use self::utc_time::UtcTime;
