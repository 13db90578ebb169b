//! Layouts with random images, for property tests.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Layout, LayoutOptions, SUBJECT_ANNOTATION};
use crate::digest::Digest;
use crate::media::MediaType;

/// An image of a generated layout.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    layers: Vec<u8>,
    /// Which earlier image it refers to.
    subject: Option<usize>,
}

/// Up to five images that share layers and configs, some of them referrers of others.
pub(super) fn generated() -> impl Strategy<Value = Vec<Generated>> {
    let layers = proptest::collection::vec(0_u8..6, 0..4);
    let image = (layers, proptest::option::weighted(0.3, 0_usize..6));
    let image = image.prop_map(|(layers, subject)| Generated { layers, subject });
    proptest::collection::vec(image, 1..6)
}

/// Writes a blob and returns its descriptor.
pub(super) fn write_blob(root: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::sha256(bytes);
    std::fs::write(root.join("blobs/sha256").join(digest.encoded()), bytes).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Writes the images as `r0/a:0`, `r1/a:1`, `r0/a:2` and so on.
pub(super) fn write_layout(root: &Path, images: &[Generated]) -> Layout {
    let layout = Layout::create(root, LayoutOptions::default()).unwrap();
    let mut entries: Vec<Value> = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let layer = |layer: &u8| write_blob(root, "a/layer", &vec![*layer; 10 << layer]);
        let config = format!("{{\"n\":{}}}", number / 2);
        let config = write_blob(root, "a/config", config.as_bytes());
        let layers: Vec<Value> = image.layers.iter().map(layer).collect();
        let mut manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let subject = image.subject.and_then(|subject| entries.get(subject).cloned());
        if let Some(subject) = &subject {
            manifest["subject"] = subject.clone();
        }
        let mut entry =
            write_blob(root, MediaType::OCI_MANIFEST.as_str(), manifest.to_string().as_bytes());
        let name = format!("r{}/a:{number}", number % 2);
        entry["annotations"] = json!({"io.containerd.image.name": name});
        if let Some(subject) = &subject {
            entry["annotations"][SUBJECT_ANNOTATION] = subject["digest"].clone();
        }
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    std::fs::write(root.join("index.json"), index).unwrap();
    layout
}

/// The size of each file in `blobs/sha256/`.
pub(super) fn blob_sizes(root: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(root.join("blobs/sha256")).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
    };
    entries.map(file).collect()
}
