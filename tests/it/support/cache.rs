//! Indexes that list blobs, as `BuildKit` writes them for `--cache-to type=registry`.

use rpull::media::MediaType;
use serde_json::{Value, json};

use super::fake_registry::FakeRegistry;
use super::images::{Blob, layer, random_blob};

/// An index and the blobs that it lists.
pub(crate) struct Cache {
    pub(crate) index: Blob,
    pub(crate) blobs: Vec<Blob>,
}

/// Two layers and the config that says what they are the result of.
pub(crate) fn cache() -> Cache {
    let layer_of = |seed| {
        let layer = layer(&[("result", &random_blob(700, seed))]);
        Blob::new("application/vnd.oci.image.layer.v1.tar+gzip".into(), layer.bytes)
    };
    let layers = [layer_of(1), layer_of(2)];
    let results = json!([{"blob": layers[0].digest(), "parent": -1}, {"blob": layers[1].digest(), "parent": 0}]);
    let config = Blob::json(
        "application/vnd.buildkit.cacheconfig.v0".into(),
        &json!({"layers": results, "records": []}),
    );
    let blobs: Vec<Blob> = layers.into_iter().chain([config]).collect();
    let entries: Vec<Value> = blobs.iter().map(|blob| json!(blob.descriptor)).collect();
    Cache { index: list(&entries), blobs }
}

/// An index of these entries.
pub(crate) fn list(entries: &[Value]) -> Blob {
    Blob::json(
        MediaType::OCI_INDEX,
        &json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries}),
    )
}

impl Cache {
    pub(crate) fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.descriptor.size).sum()
    }

    pub(crate) fn publish(&self, registry: &FakeRegistry, repository: &str, tag: &str) {
        for blob in &self.blobs {
            registry.blob(repository, blob.bytes.clone());
        }
        self.index.publish(registry, repository, Some(tag));
    }
}
