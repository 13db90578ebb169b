//! Overlay directories, and recognition of whiteouts and opaque directories.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::Result;
use rpull::insight::layers::chain_ids;
use rpull::unpack::overlay::{OverlayDirectory, OverlayLayer, OverlayResult};
use rpull::unpack::{BuildOptions, LayerBlob};
use tempfile::TempDir;

use super::mounted::Mounted;
use super::tar_item::{TarItem, tar};
use super::tree::{self, Node};

/// An overlay directory with unpacked layers.
pub(crate) struct Stack {
    dir: TempDir,
    chains: Vec<Digest>,
    pub(crate) done: OverlayResult,
}

/// Unpacks layers into an overlay directory.
pub(crate) fn unpack(path: &Path, layers: &[&[TarItem]]) -> Result<(Vec<Digest>, OverlayResult)> {
    let tars: Vec<_> = layers.iter().map(|items| tar(items)).collect();
    let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::sha256(tar)).collect();
    let chains = chain_ids(&diff_ids);
    let blobs = tars.iter().zip(&diff_ids).zip(&chains).enumerate();
    let layers = blobs.map(|(number, ((tar, diff_id), chain))| {
        OverlayLayer::new(
            LayerBlob::new(
                format!("layer {number}"),
                diff_id.clone(),
                tar.len() as u64,
                Box::new(move |_| Ok(Box::new(Cursor::new(tar.clone())))),
            ),
            chain.clone(),
        )
    });
    let directory = OverlayDirectory::create(path)?;
    let lock = directory.lock(&Control::default())?;
    let done =
        directory.unpack(&lock, layers.collect(), BuildOptions::default(), &Control::default());
    Ok((chains, done?))
}

impl Stack {
    pub(crate) fn of(layers: &[&[TarItem]]) -> Self {
        Self::try_of(layers).unwrap()
    }

    pub(crate) fn try_of(layers: &[&[TarItem]]) -> Result<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (chains, done) = unpack(dir.path(), layers)?;
        Ok(Self { dir, chains, done })
    }

    pub(crate) fn diff(&self, number: usize) -> PathBuf {
        self.dir.path().join("overlay2").join(self.chains[number].encoded()).join("diff")
    }

    /// Returns the nodes of one layer's directory, without the root.
    pub(crate) fn nodes(&self, number: usize) -> Vec<Node> {
        tree::nodes(&self.diff(number), &[]).split_off(1)
    }

    pub(crate) fn names(&self, number: usize) -> Vec<String> {
        tree::names(&self.diff(number))
    }

    /// Returns the nodes of the mounted overlay.
    pub(crate) fn mounted(&self) -> Vec<Node> {
        let directory = OverlayDirectory::open(self.dir.path()).unwrap().unwrap();
        let point = tempfile::tempdir().unwrap();
        let line = directory.mount_line(&self.chains).unwrap();
        let _mounted = Mounted::by(&line, point.path());
        tree::nodes(point.path(), &[])
    }
}

pub(crate) fn is_whiteout(node: &Node) -> bool {
    (node.mode, node.device) == (0o20000, 0)
}

pub(crate) fn opaque(node: &Node) -> bool {
    node.attributes.iter().any(|(name, value)| name.ends_with(".overlay.opaque") && value == b"y")
}
