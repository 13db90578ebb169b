//! The artifact that carries the deltas of one image. What its annotations say are hints; the header of each delta and the
//! image's own manifest decide.

use std::collections::{BTreeMap, BTreeSet};

use super::make::LayerDelta;
use crate::artifact::Artifact;
use crate::delta::{Delta, LAYER_DELTA};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;

/// The artifact type of deltas.
pub const DELTA_ARTIFACT: &str = "application/vnd.rpull.delta.v1";

/// Digest of the manifest of the old image.
const SOURCE: &str = "rpull.delta.source";
/// The `diff_id`s of the old layers that are needed, as a JSON array.
const SOURCES: &str = "rpull.delta.sources";
/// Bytes of all deltas.
const SIZE: &str = "rpull.delta.size";
/// Bytes of the layers that they make.
const REPLACES: &str = "rpull.delta.replaces";
/// On a layer: digest of the layer that it makes.
const TO: &str = "rpull.delta.to";
/// On a layer: the `diff_id` of that.
const DIFF_ID: &str = "rpull.delta.diff-id";
/// On a layer: bytes of its tar.
const TAR_SIZE: &str = "rpull.delta.tar-size";
/// On a layer: a short name of what compressed it, for an estimate of the time.
const ENCODER: &str = "rpull.delta.encoder";

/// The source of deltas in reports.
const MADE_HERE: &str = "made by this run";

/// Returns the artifact with the deltas of an image; `None` if no layer has one. `old` is the manifest of the old image.
///
/// # Errors
/// Those of building an artifact.
pub fn delta_artifact<'a>(
    image: &Descriptor,
    old: Option<&Digest>,
    layers: impl IntoIterator<Item = &'a LayerDelta>,
) -> Result<Option<Artifact>> {
    let deltas: Vec<(&LayerDelta, &Delta)> =
        layers.into_iter().filter_map(|layer| Some((layer, layer.delta.as_ref().ok()?))).collect();
    if deltas.is_empty() {
        return Ok(None);
    }
    let (mut size, mut replaces, mut sources) = (0, 0, BTreeSet::new());
    let mut artifact = Artifact::builder(DELTA_ARTIFACT).subject(image).location(MADE_HERE);
    for (layer, delta) in deltas {
        size += delta.size();
        replaces += layer.layer.size;
        sources.extend(delta.header().old_layers.iter().map(|layer| layer.diff_id.as_str()));
        let annotations = [
            (TO, layer.layer.digest.to_string()),
            (DIFF_ID, delta.header().diff_id.to_string()),
            (TAR_SIZE, delta.header().tar_size.to_string()),
            (ENCODER, delta.header().encoder.to_string()),
        ];
        let annotations =
            annotations.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        artifact = artifact.blob(LAYER_DELTA, delta.blob().clone(), annotations);
    }
    if let Some(old) = old {
        artifact = artifact.annotation(SOURCE, old.as_str());
    }
    let sources: Vec<&str> = sources.into_iter().collect();
    let artifact = artifact
        .annotation(SOURCES, serde_json::json!(sources).to_string())
        .annotation(SIZE, size.to_string())
        .annotation(REPLACES, replaces.to_string());
    artifact.build().map(Some)
}

/// Whether a list of referrers names deltas from the old image with this manifest.
pub fn has_deltas_from(listed: &[Descriptor], old: &Digest) -> bool {
    listed.iter().any(|one| {
        one.artifact_type.as_deref() == Some(DELTA_ARTIFACT)
            && one.annotations.get(SOURCE).is_some_and(|source| source == old.as_str())
    })
}

/// What a list of referrers says about an artifact.
pub(super) struct ListedDelta {
    pub(super) descriptor: Descriptor,
    /// The old layers that are needed.
    pub(super) sources: Vec<Digest>,
    /// Bytes of all deltas.
    pub(super) size: u64,
}

impl ListedDelta {
    /// `None` for other referrers.
    pub(super) fn parse(descriptor: Descriptor) -> Option<Self> {
        if descriptor.artifact_type.as_deref() != Some(DELTA_ARTIFACT) {
            return None;
        }
        let text = |key| descriptor.annotations.get(key);
        let sources = serde_json::from_str(text(SOURCES)?).ok()?;
        let size = text(SIZE)?.parse().ok()?;
        Some(Self { descriptor, sources, size })
    }
}

/// A delta of an artifact.
#[derive(Clone, Debug)]
pub(super) struct OfferedDelta {
    pub(super) descriptor: Descriptor,
    /// Digest of the layer that it makes.
    pub(super) to: Digest,
    /// Bytes of its tar.
    pub(super) tar_size: u64,
    pub(super) encoder: String,
}

impl OfferedDelta {
    /// The deltas of an artifact's manifest.
    pub(super) fn all(document: &Document) -> Vec<Self> {
        let Ok(manifest) = document.manifest() else { return Vec::new() };
        manifest.layers.iter().filter_map(Self::parse).collect()
    }

    fn parse(descriptor: &Descriptor) -> Option<Self> {
        let annotations: &BTreeMap<String, String> = &descriptor.annotations;
        let is_delta = descriptor.media_type.as_str() == LAYER_DELTA;
        let to = annotations.get(TO).filter(|_| is_delta)?.parse().ok()?;
        let tar_size = annotations.get(TAR_SIZE)?.parse().ok()?;
        let encoder = annotations.get(ENCODER).cloned().unwrap_or_default();
        Some(Self { descriptor: descriptor.clone(), to, tar_size, encoder })
    }
}
