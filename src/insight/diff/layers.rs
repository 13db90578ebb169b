//! Blobs that two images share or have alone, and what a pull of one costs a host with the other.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::document::ImageManifest;
use crate::insight::layers::{LayerRow, layers};
use crate::setters::setters;

/// One of two images. Without a config, layers have neither commands nor `diff_id`s.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DiffSide<'a> {
    /// The manifest of one platform.
    pub manifest: &'a ImageManifest,
    /// The config, if it could be read.
    pub config: Option<&'a ImageConfig>,
}

impl<'a> DiffSide<'a> {
    /// An image without its config.
    pub fn new(manifest: &'a ImageManifest) -> Self {
        Self { manifest, config: None }
    }

    setters! {
        optional config: &'a ImageConfig;
    }
}

/// A number of distinct layers, and their compressed bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerShare {
    /// Distinct blobs.
    pub layers: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
}

/// What a pull of B transfers to a host that has A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PullCost {
    /// Distinct configs and layers. Foreign layers, which a pull skips, are not in it.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub bytes: u64,
}

/// The images that have a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LayerSide {
    /// Both have the blob.
    Both,
    /// Only A.
    A,
    /// Only B.
    B,
}

/// One layer of either image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerDiffRow {
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// The images that have this blob.
    #[serde(rename = "in")]
    pub side: LayerSide,
    /// Digest of the uncompressed layer.
    pub diff_id: Option<Digest>,
    /// A blob of the other image with the same `diff_id`: the same content, compressed differently.
    pub same_content: Option<Digest>,
    /// The command as written by the builder.
    pub created_by: String,
}

/// What two images share, and what only one of them has. Every blob counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerDiff {
    /// Layers that both have.
    pub shared: LayerShare,
    /// Layers that only A has.
    pub only_a: LayerShare,
    /// Layers that only B has.
    pub only_b: LayerShare,
    /// Layers of B that A has in another compression. They are part of `only_b`, because a pull transfers them.
    pub recompressed: LayerShare,
    /// What a pull of B transfers to a host that has A.
    pub pull: PullCost,
    /// Layers of A, base first, then those that only B has.
    pub layers: Vec<LayerDiffRow>,
}

impl LayerShare {
    fn add(&mut self, size: u64) {
        self.layers += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

impl DiffSide<'_> {
    fn rows(&self) -> Vec<LayerRow> {
        let none = ImageConfig::default();
        layers(self.manifest, self.config.unwrap_or(&none))
    }
}

/// Compares the blobs of two images.
pub fn layer_diff(a: DiffSide<'_>, b: DiffSide<'_>) -> LayerDiff {
    let (rows_a, rows_b) = (a.rows(), b.rows());
    let mut diff = LayerDiff {
        shared: LayerShare::default(),
        only_a: LayerShare::default(),
        only_b: LayerShare::default(),
        recompressed: LayerShare::default(),
        pull: pull_cost(a, b),
        layers: Vec::new(),
    };
    let digests = |rows: &[LayerRow]| -> HashSet<Digest> {
        rows.iter().map(|row| row.digest.clone()).collect()
    };
    let (in_a, in_b) = (digests(&rows_a), digests(&rows_b));
    let (content_a, content_b) = (by_content(&rows_a), by_content(&rows_b));
    let mut seen = HashSet::new();
    for row in rows_a.iter().filter(|row| seen.insert(row.digest.clone())) {
        if in_b.contains(&row.digest) {
            diff.shared.add(row.size);
            diff.layers.push(diff_row(row, LayerSide::Both, None));
        } else {
            diff.only_a.add(row.size);
            diff.layers.push(diff_row(row, LayerSide::A, same_content(row, &content_b)));
        }
    }
    for row in rows_b.iter().filter(|row| !in_a.contains(&row.digest)) {
        if !seen.insert(row.digest.clone()) {
            continue;
        }
        let same = same_content(row, &content_a);
        diff.only_b.add(row.size);
        if same.is_some() {
            diff.recompressed.add(row.size);
        }
        diff.layers.push(diff_row(row, LayerSide::B, same));
    }
    diff
}

fn by_content(rows: &[LayerRow]) -> HashMap<&Digest, &Digest> {
    rows.iter().filter_map(|row| Some((row.diff_id.as_ref()?, &row.digest))).collect()
}

fn same_content(row: &LayerRow, others: &HashMap<&Digest, &Digest>) -> Option<Digest> {
    others.get(row.diff_id.as_ref()?).map(|&digest| digest.clone())
}

fn diff_row(row: &LayerRow, side: LayerSide, same_content: Option<Digest>) -> LayerDiffRow {
    LayerDiffRow {
        digest: row.digest.clone(),
        size: row.size,
        side,
        diff_id: row.diff_id.clone(),
        same_content,
        created_by: row.created_by.clone(),
    }
}

fn pull_cost(a: DiffSide<'_>, b: DiffSide<'_>) -> PullCost {
    let mut known: HashSet<&Digest> = a.manifest.blobs().map(|blob| &blob.digest).collect();
    let mut cost = PullCost::default();
    for blob in b.manifest.blobs() {
        // Content inside the manifest arrives with it.
        if !blob.is_foreign() && blob.data.is_none() && known.insert(&blob.digest) {
            cost.blobs += 1;
            cost.bytes = cost.bytes.saturating_add(blob.size);
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::LayerSide::{A, B, Both};
    use super::*;
    use crate::descriptor::Descriptor;
    use crate::insight::testing::{config, manifest};

    fn side<'a>(manifest: &'a ImageManifest, config: &'a ImageConfig) -> DiffSide<'a> {
        DiffSide { manifest, config: Some(config) }
    }

    #[test]
    fn layers_of_two_images_are_shared_or_own() {
        let (a, b) = (manifest(&["base", "lib", "old"]), manifest(&["base", "lib", "newer", "x"]));
        let (config_a, config_b) = (config(3, &["ADD", "RUN l", "COPY o"]), config(0, &[]));
        let diff = layer_diff(side(&a, &config_a), side(&b, &config_b));
        assert_eq!(diff.shared, LayerShare { layers: 2, bytes: 7 });
        assert_eq!(diff.only_a, LayerShare { layers: 1, bytes: 3 });
        assert_eq!(diff.only_b, LayerShare { layers: 2, bytes: 6 });
        assert_eq!(diff.pull, PullCost { blobs: 2, bytes: 6 }, "both have the same config");
        let sides: Vec<_> = diff.layers.iter().map(|row| (row.side, row.size)).collect();
        assert_eq!(sides, [(Both, 4), (Both, 3), (A, 3), (B, 5), (B, 1)]);
        assert_eq!(diff.layers[2].created_by, "COPY o");
        assert!(diff.layers[3].same_content.is_none() && diff.layers[3].diff_id.is_none());
    }

    #[test]
    fn repeated_layer_counts_once() {
        let (a, b) = (manifest(&["e", "e", "a"]), manifest(&["b", "e", "b", "e"]));
        let (config_a, config_b) = (config(0, &[]), config(0, &[]));
        let diff = layer_diff(side(&a, &config_a), side(&b, &config_b));
        assert_eq!((diff.shared.layers, diff.only_a.layers, diff.only_b.layers), (1, 1, 1));
        assert_eq!(diff.layers.len(), 3);
        assert_eq!(diff.pull.blobs, 1);
    }

    #[test]
    fn recompressed_layer_is_paired_by_diff_id() {
        let (a, b) = (manifest(&["gzip", "top"]), manifest(&["zstd!", "top"]));
        let config = config(2, &["ADD", "RUN x"]);
        let diff = layer_diff(side(&a, &config), side(&b, &config));
        assert_eq!(diff.recompressed, LayerShare { layers: 1, bytes: 5 });
        assert_eq!(diff.only_b, diff.recompressed, "a pull transfers it");
        assert_eq!(diff.layers[0].same_content.as_ref(), Some(&b.layers[0].digest));
        assert_eq!(diff.layers[2].same_content.as_ref(), Some(&a.layers[0].digest));
        let unknown = layer_diff(side(&a, &config), DiffSide { manifest: &b, config: None });
        assert_eq!(unknown.recompressed.layers, 0, "nothing is known of the content");
    }

    #[test]
    fn pull_cost_leaves_out_foreign_and_inline_content() {
        let (a, mut b) = (manifest(&["base"]), manifest(&["base", "foreign", "inline", "app"]));
        b.config = Descriptor::for_bytes(b.config.media_type.clone(), b"{\"os\":\"linux\"}");
        b.layers[1].urls = vec!["https://layers.example/x".into()];
        b.layers[1].media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        b.layers[2].data = Some("aW5saW5l".into());
        let none = config(0, &[]);
        let diff = layer_diff(side(&a, &none), side(&b, &none));
        assert_eq!(diff.pull, PullCost { blobs: 2, bytes: 3 + 14 });
        assert_eq!(diff.only_b.layers, 3);
        let same = layer_diff(side(&b, &none), side(&b, &none));
        assert_eq!(same.pull, PullCost::default());
    }
}
