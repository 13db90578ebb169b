//! Moves one blob. When and why is decided elsewhere.
//!
//! ```text
//! job        to one target: open -> read -> verify -> write -> commit; `lost_attempts` says when it is pointless
//! fan_out    to several targets with one read
//! reader     the bytes of a blob in order, over broken connections
//! read       for commands that only read a blob; `received` for a thread that reads it while it arrives
//! send       one blob that belongs to no image
//! ```

pub(super) mod byte_limit;
pub(super) mod context;
pub(super) mod counters;
pub(super) mod fan_out;
pub(super) mod job;
mod lost_attempts;
pub(super) mod read;
pub(super) mod reader;
pub(super) mod received;
pub(super) mod send;
pub(super) mod throttle;
