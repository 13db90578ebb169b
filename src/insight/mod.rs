//! What manifest and config say about an image, without any of its layers: pure functions.

pub mod command;
pub mod history;
pub mod kind;
pub mod layers;

use crate::config::{HistoryEntry, ImageConfig};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ImageManifest;

/// A step in the making of an image and the layer it left; one of both may be missing.
#[derive(Clone, Copy)]
struct HistoryStep<'a> {
    entry: Option<&'a HistoryEntry>,
    /// With its place in the manifest.
    layer: Option<(usize, &'a Descriptor)>,
}

/// Steps and layers paired, oldest first.
///
/// Both count from the base, as Docker does. Where tools added layers without a word or steps without a layer, what is
/// left over stands alone.
fn steps<'a>(manifest: &'a ImageManifest, config: &'a ImageConfig) -> Vec<HistoryStep<'a>> {
    let mut layers = manifest.layers.iter().enumerate();
    let mut steps: Vec<HistoryStep<'a>> = config
        .history
        .iter()
        .map(|entry| HistoryStep {
            entry: Some(entry),
            layer: if entry.empty_layer { None } else { layers.next() },
        })
        .collect();
    steps.extend(layers.map(|layer| HistoryStep { entry: None, layer: Some(layer) }));
    steps
}

/// Digests of the uncompressed layers; empty unless there is one for each layer, because they could not be matched.
fn diff_ids<'a>(manifest: &ImageManifest, config: &'a ImageConfig) -> &'a [Digest] {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() == manifest.layers.len() { diff_ids } else { &[] }
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::media::MediaType;

    /// Layers named after the text that stands for their bytes.
    pub(super) fn manifest(layers: &[&str]) -> ImageManifest {
        let layer_type = || MediaType::from("application/vnd.oci.image.layer.v1.tar+gzip");
        ImageManifest {
            config: Descriptor::for_bytes(MediaType::OCI_CONFIG, b"{}"),
            layers: layers
                .iter()
                .map(|text| Descriptor::for_bytes(layer_type(), text.as_bytes()))
                .collect(),
            subject: None,
        }
    }

    /// A config with so many `diff_id`s and these steps; `-` in front of a step says that it left no layer.
    pub(super) fn config(diff_ids: usize, steps: &[&str]) -> ImageConfig {
        let mut config = ImageConfig::default();
        config.rootfs.diff_ids = (0..diff_ids).map(|n| Digest::sha256(&n.to_le_bytes())).collect();
        config.history = steps
            .iter()
            .map(|step| HistoryEntry {
                created: Some("2024-05-01T10:00:00Z".into()),
                created_by: step.trim_start_matches('-').into(),
                empty_layer: step.starts_with('-'),
                ..HistoryEntry::default()
            })
            .collect();
        config
    }
}
