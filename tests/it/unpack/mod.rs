//! Layers as files or as one tar: whiteouts, hardlinks, symlinks, xattrs, sparse files, limits.

mod agreement;
mod basic;
mod compression;
mod entries;
mod export;
mod flatten;
mod layer_vectors;
mod tar_vectors;
