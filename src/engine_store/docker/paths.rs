//! Names below docker's data root.

use crate::digest::Digest;

/// The only graph driver that is read.
pub(super) const DRIVER: &str = "overlay2";

/// Directory with one directory per graph driver.
pub(super) const IMAGES: &str = "image";

pub(super) const REPOSITORIES: &str = "image/overlay2/repositories.json";

pub(super) const CONFIGS: &str = "image/overlay2/imagedb/content/sha256";

pub(super) const LAYERS: &str = "image/overlay2/layerdb/sha256";

/// The writable layers of containers.
pub(super) const MOUNTS: &str = "image/overlay2/layerdb/mounts";

/// The config of an image.
pub(super) fn config(id: &Digest) -> String {
    format!("{CONFIGS}/{}", id.encoded())
}

/// The image that another was built from.
pub(super) fn image_parent(id: &Digest) -> String {
    format!("image/overlay2/imagedb/metadata/sha256/{}/parent", id.encoded())
}

/// What docker knows of a layer.
pub(super) fn layer(chain_id: &Digest) -> String {
    format!("{LAYERS}/{}", chain_id.encoded())
}

pub(super) fn tar_split(chain_id: &Digest) -> String {
    format!("{}/tar-split.json.gz", layer(chain_id))
}

/// The files of a layer, as overlayfs has them.
pub(super) fn diff(cache_id: &str) -> String {
    format!("{DRIVER}/{cache_id}/diff")
}
