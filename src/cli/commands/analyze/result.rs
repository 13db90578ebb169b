//! What `analyze` has to say about an image.

use serde_json::{Value, json};

use crate::cli::image::base::{BaseCheck, UNNAMED};
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
    pub(super) base: NamedBase,
}

/// What is known of the image's base.
pub(super) enum NamedBase {
    NotAsked,
    Unnamed,
    Checked(BaseCheck),
}

impl NamedBase {
    /// The message for a base that has changed or is not named.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::NotAsked => None,
            Self::Unnamed => Some(UNNAMED.to_owned()),
            Self::Checked(check) => check.message(),
        }
    }
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
        let mut value = json!({
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
        });
        let base = match &self.base {
            NamedBase::NotAsked => return value,
            NamedBase::Unnamed => Value::Null,
            NamedBase::Checked(check) => json!(check),
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("base".into(), base);
        }
        value
    }
}
