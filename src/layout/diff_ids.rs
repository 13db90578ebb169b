//! Compares layers with the `diff_id`s of their configs.
//!
//! A layer's digest decides its `diff_id`, so one that was found right is recorded in `diff_ids`, a line `DIGEST DIFF_ID`
//! each, and not decompressed again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use super::io::replace_durably;
use super::needed::ImageBlobs;
use super::parallel::on_all_cores;
use super::{Layout, blobs};
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::control::PhaseCounter;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;
use crate::layer::{diff_id_of, is_unsupported};

const FILE_NAME: &str = "diff_ids";

/// Limit on the size of the file, in bytes: 100,000 layers.
const LIMIT: u64 = 16 << 20;

/// A layer and the `diff_id` that a config gives it.
pub(super) type LayerPair = (Digest, Digest);

/// Returns the pairs of an image, or what is wrong with its config.
///
/// A config without `diff_id`s, and layers that are not tars, have no pairs.
pub(super) fn layer_pairs(layout: &Layout, image: &ImageBlobs) -> Result<Vec<LayerPair>, String> {
    let bytes = layout.read_verified(&image.config, CONFIG_LIMIT).map_err(|error| error.chain())?;
    let config = ImageConfig::parse(&bytes).map_err(|error| error.chain())?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.is_empty() {
        return Ok(Vec::new());
    }
    if diff_ids.len() != image.layers.len() {
        let (diff_ids, layers) = (diff_ids.len(), image.layers.len());
        return Err(format!("has {diff_ids} diff_ids for {layers} layers"));
    }
    let is_read = |layer: &Descriptor| layer.media_type.is_tar_layer() && !layer.is_foreign();
    let pairs = image.layers.iter().zip(diff_ids).filter(|(layer, _)| is_read(layer));
    Ok(pairs.map(|(layer, diff_id)| (layer.digest.clone(), diff_id)).collect())
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
    match diff_id_of(CountedFile { file, counter }, algorithm) {
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

/// A file whose bytes are counted as they are read.
struct CountedFile<'a> {
    file: File,
    counter: &'a PhaseCounter,
}

impl Read for CountedFile<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.counter.add(read as u64).map_err(io::Error::other)?;
        Ok(read)
    }
}

/// The recorded pairs. Lines that cannot be read are left out: their layers are decompressed again.
pub(super) fn recorded(layout: &Layout) -> BTreeSet<LayerPair> {
    let mut text = String::new();
    if let Ok(file) = blobs::open_regular(&layout.root().join(FILE_NAME)) {
        drop(file.take(LIMIT).read_to_string(&mut text));
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
