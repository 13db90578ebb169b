//! Layers built from single entries.

use super::images::{Layer, gzip, layer};
pub(crate) use super::tar_item::{TarItem, sparse, tar, tar_without_trailer};

/// Returns the gzipped layer of these entries.
pub(crate) fn layer_of(items: &[TarItem]) -> Layer {
    gzip(&tar(items))
}

/// Returns broken variants of a layer, each with its exit code and message.
pub(crate) fn wrong_layers(good: &Layer) -> [(Layer, i32, &'static str); 4] {
    let cut = Layer { bytes: good.bytes.slice(..good.bytes.len() - 6), ..good.clone() };
    let other = Layer { diff_id: layer(&[]).diff_id, ..good.clone() };
    let hostile = layer_of(&[TarItem::file("ok", ""), TarItem::hardlink("bad", "absent")]);
    let zeros = TarItem::file("zeros", vec![0; 2 << 20]).size(9 << 40);
    [
        (cut, 7, "error: layer sha256:"),
        (other, 5, "diff_id mismatch: expected sha256:"),
        (hostile, 7, ": bad: is a hard link to a file that does not exist"),
        (gzip(&tar(&[TarItem::file("a", ""), zeros])), 7, ": zeros: unexpected end of tar"),
    ]
}
