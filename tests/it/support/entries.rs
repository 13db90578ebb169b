//! Layers of entries that are written one by one.

use super::images::{Layer, gzip};
pub(crate) use super::item::{Item, sparse, tar, unended};

/// The layer of these.
pub(crate) fn layer_of(items: &[Item]) -> Layer {
    gzip(&tar(items))
}
