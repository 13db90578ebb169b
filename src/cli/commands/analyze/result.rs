//! What `analyze` has to say about an image.

use serde_json::{Value, json};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::insight::analyze::Analysis;
use crate::insight::analyze::limits::BrokenLimit;

/// An analyzed image.
pub(super) struct AnalyzedImage {
    pub(super) reference: String,
    /// The document that the name resolves to.
    pub(super) digest: Digest,
    pub(super) manifest: Digest,
    pub(super) platform: String,
    pub(super) layers: Vec<Descriptor>,
    /// Uncompressed bytes of each layer.
    pub(super) sizes: Vec<u64>,
    pub(super) analysis: Analysis,
    /// Limits that are not kept; `None` if there are no limits.
    pub(super) broken: Option<Vec<BrokenLimit>>,
}

impl AnalyzedImage {
    /// Bytes of the layers' blobs.
    pub(super) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    pub(super) fn json(&self) -> Value {
        let layers = self.layers.iter().zip(&self.sizes);
        let layers: Vec<_> = layers
            .map(|(layer, size)| {
                json!({"digest": layer.digest, "size": layer.size, "uncompressed_size": size})
            })
            .collect();
        json!({
            "reference": self.reference,
            "digest": self.digest,
            "manifest": self.manifest,
            "platform": self.platform,
            "size": self.size(),
            "layers": layers,
            "efficiency": self.analysis.efficiency,
            "bytes": self.analysis.bytes,
            "wasted": self.analysis.wasted,
            "dive": self.analysis.dive,
            "findings": self.analysis.findings,
            "failed": self.broken,
        })
    }
}
