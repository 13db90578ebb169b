//! Tables of contents of layers whose files can be read alone: eStargz and zstd:chunked.
//!
//! A table is trusted as far as the digest in the layer's annotation goes, which the manifest vouches for. Files are checked
//! against the digests in the table. A table that contradicts itself is an error; a table of
//! an unknown kind is ignored, and the layer is read as a whole. Specs: `docs/estargz.md` of stargz-snapshotter, `pkg/chunked` of containers/storage.

mod build;
mod item;
mod location;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::location::{TableLocation, TableLookup};
pub(crate) use self::table::{Contents, Table};
