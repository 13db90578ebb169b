//! containerd's root: its content store, and the names of images in its database. Docker 29 keeps its images so by default.
//!
//! ```text
//! root      io.containerd.content.v1.content/blobs/<algorithm>/<encoded>   every blob under its digest
//! names     io.containerd.metadata.v1.bolt/meta.db                         names → digests; chain ids → snapshots
//!           io.containerd.snapshotter.v1.overlayfs/metadata.db             snapshots → directories
//! bolt      the format of both databases
//! usage     where the disk went
//! ```
//!
//! Engines delete content that they have unpacked, or fetch only one platform of an index: a blob that is missing is named
//! when it is needed.

mod bolt;
mod names;
mod root;
mod source;
mod usage;

pub use self::source::ContainerdRoot;
pub use self::usage::{ContainerdImageUsage, ContainerdLayerUsage, ContainerdUsage};
pub use super::disk_usage::DiskShare;
