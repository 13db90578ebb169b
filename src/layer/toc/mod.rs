//! Tables of contents of layers whose files can be read alone: eStargz and zstd:chunked.
//!
//! A table is trusted as far as the digest in the layer's annotation goes, which the manifest vouches for. Files are checked
//! against the digests in the table. A table that contradicts itself is an error; one that is of a kind not known here is
//! none, and the layer is read as a whole. Specs: `docs/estargz.md` of stargz-snapshotter, `pkg/chunked` of containers/storage.

mod build;
mod item;
mod location;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::location::{Opened, TableLocation};
pub(crate) use self::table::{Contents, Table};
