//! Overlay directories: one directory per layer, and mounts of them.

mod copy_up;
mod directories;
mod durability;
mod kill;
mod layers;
mod mount;
mod prune;
mod vectors;
mod whiteout;

use std::fs;
use std::path::Path;

use rpull::insight::layers::chain_ids;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, Image, Layer, image, random_blob};
use crate::support::tars;

pub(crate) fn base() -> Layer {
    layer_of(&[
        TarItem::dir("etc").mtime(7),
        TarItem::file("etc/gone", "gone"),
        TarItem::file("etc/kept", "kept").mode(0o640).owner(3, 4),
        TarItem::dir("opt").mtime(8),
        TarItem::file("opt/old", "old"),
        TarItem::file("big", random_blob(700_000, 1)),
        TarItem::symlink("link", "etc"),
    ])
}

pub(crate) fn upper(text: &str) -> Layer {
    layer_of(&[
        TarItem::dir("etc").mtime(9),
        TarItem::whiteout("etc/gone"),
        TarItem::dir("opt").mtime(10),
        TarItem::file("opt/.wh..wh..opq", ""),
        TarItem::file("opt/new", text),
    ])
}

pub(crate) fn sample(text: &str) -> Image {
    image(Family::Oci, "amd64", &[base(), upper(text)])
}

/// Writes an image as an archive under this name.
pub(crate) fn archive(cli: &Cli, image: &Image, name: &str) -> String {
    let file = format!("{name}.tar");
    let tar = tars::tar(&tars::layout(image, Some(&format!("example.com/{name}:1"))));
    fs::write(cli.dir().join(&file), tar).unwrap();
    format!("oci-archive:{file}")
}

pub(crate) fn chains(layers: &[Layer]) -> Vec<String> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    chain_ids(&diff_ids).iter().map(|chain| chain.encoded().to_owned()).collect()
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
