//! Layers unpacked to a disk or flattened to one tar, and random layers.

use std::io::{BufReader, Cursor};
use std::path::Path;
use std::process::Command;

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::Result;
use rpull::flatten::Tree;
use rpull::layer::{Entries, EntryLimits};
use rpull::unpack::{LayerBlob, RootDir, UnpackOptions, Unpacked, Unpacker};

use super::entries::{TarItem, tar};

/// Applies tars to a root, base first.
pub(crate) fn apply(root: &Path, tars: &[Vec<u8>]) -> Result<Unpacked> {
    let options = UnpackOptions::default().new_root();
    let mut unpacker = Unpacker::new(RootDir::open(root)?, options)?;
    for (number, tar) in tars.iter().enumerate() {
        let mut entries = Entries::new(BufReader::new(&tar[..]), EntryLimits::default());
        unpacker.apply(&format!("layer {number}"), &mut entries)?;
    }
    unpacker.finish()
}

pub(crate) fn tars(layers: &[&[TarItem]]) -> Vec<Vec<u8>> {
    layers.iter().map(|items| tar(items)).collect()
}

pub(crate) fn blobs(tars: &[Vec<u8>]) -> Vec<LayerBlob<'_>> {
    let blob = |(number, tar): (usize, &Vec<u8>)| {
        let tar = tar.clone();
        LayerBlob::new(
            format!("layer {number}"),
            Digest::sha256(&tar),
            tar.len() as u64,
            Box::new(move |_| Ok(Box::new(Cursor::new(tar)))),
        )
    };
    tars.iter().enumerate().map(blob).collect()
}

/// Returns the flattened tar of these layers.
pub(crate) fn flattened(tars: &[Vec<u8>]) -> Result<(Tree, Vec<u8>)> {
    let tree = Tree::read(blobs(tars), &Control::default())?;
    let mut written = Vec::new();
    let mut output = |bytes: &[u8]| {
        written.extend_from_slice(bytes);
        Ok(())
    };
    tree.write(blobs(tars), &Control::default(), &mut output)?;
    Ok((tree, written))
}

/// Extracts a tar with GNU tar.
pub(crate) fn extract_with_gnu_tar(tar: &Path, root: &Path) {
    let options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"];
    let output = Command::new("tar").args(options).arg(tar).arg("-C").arg(root).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Returns random layers with few names, so that they collide.
pub(crate) fn random_layers(random: &mut fastrand::Rng) -> Vec<Vec<TarItem>> {
    let path = |random: &mut fastrand::Rng| {
        let depth = random.usize(1..=3);
        let names: Vec<_> = (0..depth).map(|_| random.choice(["a", "b", "c"]).unwrap()).collect();
        names.join("/")
    };
    let item = |random: &mut fastrand::Rng| {
        let at = path(random);
        match random.u8(0..16) {
            0..=4 => {
                TarItem::file(&at, random.u8(..).to_string()).mode(random.u32(0..0o777) | 0o400)
            }
            5..=8 => TarItem::dir(&at).mode(random.u32(0..0o1777) | 0o700).mtime(random.u64(1..99)),
            9 => TarItem::symlink(&at, format!("/{}", path(random))),
            10 => TarItem::symlink(&at, format!("../{}", path(random))),
            11 => TarItem::hardlink(&at, path(random)),
            12 => TarItem::file(format!("{at}/.wh..wh..opq"), ""),
            13 if random.bool() => TarItem::file(".wh..wh..opq", ""),
            _ => TarItem::whiteout(&at),
        }
    };
    (0..random.usize(2..=4))
        .map(|_| (0..random.usize(1..=6)).map(|_| item(random)).collect())
        .collect()
}
