//! Docker's data root with the graph driver overlay2, as dockerd up to version 28 has it by default.
//!
//! ```text
//! repositories  image/overlay2/repositories.json                         names → image ids
//! image         image/overlay2/imagedb/content/sha256/<image id>         configs
//! layer_db      image/overlay2/layerdb/sha256/<chain id>/                diff_id, parent, size, cache-id
//! tar_split     …/tar-split.json.gz                                      headers of the layer's tar
//! rebuild       overlay2/<cache-id>/diff/                                its files
//! usage         where the disk went
//! ```

mod data_root;
mod image;
mod layer_db;
mod paths;
mod rebuild;
mod repositories;
mod source;
mod tar_split;
mod usage;

pub use self::source::DockerRoot;
pub use self::usage::{DockerImageUsage, DockerLayerUsage, DockerUsage};
pub use super::disk_usage::DiskShare;
