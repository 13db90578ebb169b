//! Layers as files or as one tar: whiteouts, hardlinks, symlinks, xattrs, sparse files, limits.

mod agreement;
mod apply;
mod archives;
mod basic;
mod changes;
mod compression;
mod disk_full;
mod during_pull;
mod entries;
mod export;
mod faults;
mod feeds;
mod flatten;
mod interrupt;
mod layer_reader;
mod layer_vectors;
mod leftovers;
mod limits;
mod locations;
mod peers;
mod read_ahead;
mod sparse;
mod staging;
mod syscalls;
mod tar_vectors;
mod unprivileged;
