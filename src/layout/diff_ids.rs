//! Compares layers with the `diff_id`s of their configs.
//!
//! A layer's digest decides its `diff_id`, so one that was found right is recorded in `diff_ids`, a line `DIGEST DIFF_ID`
//! each, and not decompressed again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use super::io::replace_durably;
use super::needed::{ImageBlobs, NeededContent};
use super::parallel::on_all_cores;
use super::{Layout, blobs};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::control::{CountedReader, PhaseCounter};
use crate::digest::Digest;
use crate::error::Result;
use crate::layer::{diff_id_of, is_unsupported};

const FILE_NAME: &str = "diff_ids";

/// Limit on the size of the file, in bytes: 100,000 layers.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A layer and the `diff_id` that a config gives it.
pub(super) type LayerPair = (Digest, Digest);

/// Returns the pairs of an image, or what is wrong with its config.
pub(super) fn layer_pairs(layout: &Layout, image: &ImageBlobs) -> Result<Vec<LayerPair>, String> {
    let bytes = layout.read_verified(&image.config, CONFIG_LIMIT).map_err(|error| error.chain())?;
    let config = ImageConfig::parse(&bytes).map_err(|error| error.chain())?;
    config.diff_id_pairs(&image.layers)
}

impl Layout {
    /// The layers of its images that exist, by the `diff_id`s that the configs give them. Not verified.
    ///
    /// Reads the manifests and configs of all images. An image that cannot be read is left out.
    pub fn layers_by_diff_id(&self) -> Result<BTreeMap<Digest, Digest>> {
        let needed = NeededContent::read(self, &self.entries()?);
        let pairs = needed.images.values().filter_map(|image| layer_pairs(self, image).ok());
        let exists =
            |(layer, _): &LayerPair| matches!(blobs::blob_size(self.root(), layer), Ok(Some(_)));
        Ok(pairs.flatten().filter(exists).map(|(layer, diff_id)| (diff_id, layer)).collect())
    }
}

/// Decompresses the layers. Returns the pairs that are right, and what is wrong with the others.
///
/// # Errors
/// [`crate::error::ErrorKind::Interrupted`] where it was cancelled.
pub(super) fn check(
    layout: &Layout,
    pairs: &BTreeSet<LayerPair>,
    counter: &PhaseCounter,
) -> Result<(BTreeSet<LayerPair>, BTreeMap<Digest, String>)> {
    let mut ordered: Vec<&LayerPair> = pairs.iter().collect();
    let size = |digest| blobs::blob_size(layout.root(), digest).ok().flatten().unwrap_or_default();
    ordered.sort_by_key(|(digest, _)| std::cmp::Reverse(size(digest)));
    let results = on_all_cores(&ordered, |pair| check_one(layout, pair, counter))?;
    let (mut right, mut wrong) = (BTreeSet::new(), BTreeMap::new());
    for (pair, result) in ordered.into_iter().zip(results) {
        match result {
            Ok(true) => right.extend([pair.clone()]),
            Ok(false) => {}
            Err(reason) => wrong.extend([(pair.0.clone(), reason)]),
        }
    }
    Ok((right, wrong))
}

/// Whether the pair is right; false if that cannot be told.
fn check_one(
    layout: &Layout,
    (digest, diff_id): &LayerPair,
    counter: &PhaseCounter,
) -> Result<Result<bool, String>> {
    let (Ok(algorithm), Ok(file)) = (diff_id.algorithm(), layout.blob_file(digest)) else {
        return Ok(Ok(false));
    };
    match diff_id_of(CountedReader::new(file, counter), algorithm) {
        Ok(found) if found == *diff_id => Ok(Ok(true)),
        Ok(found) => Ok(Err(format!("diff_id mismatch: the config has {diff_id}, got {found}"))),
        Err(error) => {
            // An interruption is no fault of the layer.
            counter.add(0)?;
            if is_unsupported(&error) {
                tracing::info!("{digest}: {error}; its diff_id is not checked");
                return Ok(Ok(false));
            }
            Ok(Err(format!("cannot be decompressed: {error}")))
        }
    }
}

/// The recorded pairs. Lines that cannot be read are left out: their layers are decompressed again.
pub(super) fn recorded(layout: &Layout) -> BTreeSet<LayerPair> {
    let mut text = String::new();
    if let Ok(file) = blobs::open_regular(&layout.root().join(FILE_NAME)) {
        drop(file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    }
    let pair = |line: &str| {
        let (digest, diff_id) = line.split_once(' ')?;
        Some((digest.parse().ok()?, diff_id.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// Replaces the record. A failure is not reported: a user who can only read the store can still verify it.
pub(super) fn record(layout: &Layout, pairs: &BTreeSet<LayerPair>) {
    let line = |(digest, diff_id): &LayerPair| format!("{digest} {diff_id}\n");
    let text: String = pairs.iter().map(line).collect();
    if let Err(error) = replace_durably(layout.root(), FILE_NAME, text.as_bytes()) {
        tracing::info!("{}", error.chain());
    }
}
