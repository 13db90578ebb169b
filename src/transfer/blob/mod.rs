//! Moves one blob, and knows neither why nor when.
//!
//! ```text
//! job        to one target: open -> read -> verify -> write -> commit
//! fan_out    to several targets with one read
//! reader     the bytes of a blob in order, whatever the connection does
//! read       for those who only look at a blob; `received` for a thread that reads while it arrives
//! ```

pub(super) mod context;
pub(super) mod counters;
pub(super) mod fan_out;
pub(super) mod job;
pub(super) mod read;
mod reader;
pub(super) mod received;
pub(super) mod throttle;
