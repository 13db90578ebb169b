//! Several connections for one blob, where one does not get what the link can give.
//!
//! ```text
//! hosts      what all blobs of a run share per source: connections, window, whether ranges work
//!   growth     how many connections make the source faster                  (decisions without I/O and clock)
//!   waiting    whether the source is what all is waiting for
//!   pace       whether a connection is much slower than the others
//!   meter      how fast something grows
//! grants     which bytes the next connection of a blob gets                 (pure functions)
//! ahead      the ranges of one blob beyond the position of its reader; each is a `part`
//!   requests   which of them are requested, when, and again                 (each by a `request`)
//!   clock      how long the reader has waited for its source
//!   handover   bytes that arrived early, on their way to the reader
//!   early        those of one range
//!   window       memory for them
//! ```
//!
//! The reader of a blob ([`ResumingReader`](super::blob)) requests all of it, as it would without ranges. If more connections
//! are worth it, ranges ahead of its position are requested over further ones, and its own body is cut where the first of
//! these begins. When the reader gets there, it takes the early bytes, and the range becomes its own body, so that only the reader
//! retries. A range that fails is given up where it stands; what is missing is requested again later.
//!
//! A target with a file for the blob ([`BlobRanges`](crate::content::BlobRanges)) gets early bytes at once, so that a run that is
//! killed has lost none, and the next one requests only the gaps. Memory is then a cache for hashing: what does not fit into the
//! window is read back. For any other target ranges wait while the window is full. The body of the reader never waits for it: if
//! it did, the window could be full of bytes that need its bytes first.

pub(in crate::transfer) mod ahead;
mod clock;
pub(in crate::transfer) mod early;
mod grants;
mod growth;
mod handover;
pub(in crate::transfer) mod hosts;
mod meter;
mod pace;
mod part;
mod request;
mod waiting;
mod window;

#[cfg(test)]
mod tests;
