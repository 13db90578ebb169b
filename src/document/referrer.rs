//! Referrer data of documents. Spec: distribution-spec "Listing Referrers".

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Document, ParsedDocument};
use crate::descriptor::Descriptor;
use crate::json::null_is_default;
use crate::media::MediaType;

/// The fields of a document that describe it as a referrer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnFields {
    #[serde(default)]
    pub(crate) artifact_type: Option<MediaType>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Document {
    /// Returns the subject: the image that a signature, an SBOM or other artifact refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.parsed {
            ParsedDocument::Manifest(manifest) => manifest.subject.as_ref(),
            ParsedDocument::Index(index) => index.subject.as_ref(),
            ParsedDocument::Artifact(artifact) => artifact.subject.as_ref(),
        }
    }

    /// Returns the document's artifact type and annotations; empty if they are malformed.
    pub(crate) fn own_fields(&self) -> OwnFields {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Returns the descriptor for a list of referrers, with the document's annotations and artifact type. For a
    /// manifest without one it is the config's media type.
    pub fn as_referrer(&self) -> Descriptor {
        let own = self.own_fields();
        let config = match &self.parsed {
            ParsedDocument::Manifest(manifest) => Some(manifest.config.media_type.clone()),
            ParsedDocument::Index(_) | ParsedDocument::Artifact(_) => None,
        };
        let artifact_type = own.artifact_type.filter(|kind| !kind.as_str().is_empty()).or(config);
        let Descriptor { media_type, digest, size, .. } = &self.descriptor;
        Descriptor {
            annotations: own.annotations,
            artifact_type: artifact_type.map(|kind| kind.to_string()),
            ..Descriptor::new(media_type.clone(), digest.clone(), *size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn referrer(text: &str) -> Descriptor {
        let bytes = text.as_bytes().to_vec().into();
        Document::from_response(bytes, &MediaType::from(""), None).unwrap().as_referrer()
    }

    #[test]
    fn artifact_type_falls_back_to_config_media_type() {
        let empty = r#"{"mediaType":"application/x","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
        let manifest = |more: &str| {
            format!(r#"{{"schemaVersion":2,"config":{empty},"layers":[],"subject":{empty}{more}}}"#)
        };
        let plain = referrer(&manifest(""));
        assert_eq!(plain.artifact_type.as_deref(), Some("application/x"));
        let typed = referrer(&manifest(r#","artifactType":"a/b","annotations":{"k":"v"}"#));
        assert_eq!(typed.artifact_type.as_deref(), Some("a/b"));
        assert_eq!(typed.annotations.get("k").map(String::as_str), Some("v"));
        let index = referrer(r#"{"schemaVersion":2,"manifests":[]}"#);
        assert_eq!(index.artifact_type, None);
    }
}
