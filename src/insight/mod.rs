//! Describes an image from its manifest, its config and the entries of its layers. All functions are pure.

pub mod analyze;
pub mod command;
pub mod diff;
pub mod files;
pub mod history;
pub mod kind;
pub mod layers;
pub mod retention;

use crate::config::{HistoryEntry, ImageConfig};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::ImageManifest;

/// A step of the build history and its layer; one of them may be missing.
#[derive(Clone, Copy)]
struct HistoryStep<'a> {
    entry: Option<&'a HistoryEntry>,
    /// The layer with its position in the manifest.
    layer: Option<(usize, &'a Descriptor)>,
}

/// Pairs steps and layers, oldest first.
///
/// Both are counted from the base, as in Docker. Surplus layers without a step, or steps without a layer, are returned
/// alone.
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

/// Returns the `diff_ids`; empty unless there is one for each layer, because they could not be matched.
fn diff_ids<'a>(manifest: &ImageManifest, config: &'a ImageConfig) -> &'a [Digest] {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() == manifest.layers.len() { diff_ids } else { &[] }
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::media::MediaType;

    /// A manifest whose layers have these texts as content.
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

    /// A config with this number of `diff_id`s and these steps; a leading `-` marks a step without a layer.
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
