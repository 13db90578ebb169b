//! Layers as files or as one tar: whiteouts, hardlinks, symlinks, xattrs, sparse files, limits.
