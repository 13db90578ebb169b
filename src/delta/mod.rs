//! Rebuilds a layer from older layers and a delta, byte for byte as it was compressed.
//!
//! A delta says which bytes of the uncompressed layer are in old layers, holds the others, compressed with the old bytes
//! as their prefix, and has the [record](crate::rebuild) that makes the original blob of the uncompressed bytes. So the blob has
//! the digest that its manifest states, and signatures stay valid.
//!
//! ```text
//! tar_file   an uncompressed layer that can be read at any position
//! spans      the headers and contents of a tar's entries
//! index      finds them in old layers
//! make       compresses what is new, and proves the delta
//! ops        copies, zeros, literals and differences, in the order of the new tar
//! runs       finds what to take differences from
//! frames     literals, compressed with old bytes before them
//! format     all of that as one blob
//! apply      the new tar from old ones, and its blob from that
//! ```
//!
//! # Trust
//!
//! A delta is hostile until the blob that it makes has the digest of the manifest, which the caller verifies. Until then
//! limits hold: [`apply()`] writes at most the size of the target, reads only inside the old layers, and holds at most
//! 144 MiB.

mod apply;
mod fault;
mod format;
mod frames;
mod index;
mod limits;
mod make;
mod numbers;
mod ops;
mod runs;
mod spans;
mod tar_file;
#[cfg(test)]
mod tests;

pub use self::apply::apply;
pub use self::format::{Delta, EncoderHint, Header, LAYER_DELTA, OldLayer, TargetBlob};
pub use self::make::{MakeOptions, NewLayer, make};
pub use self::tar_file::TarFile;
