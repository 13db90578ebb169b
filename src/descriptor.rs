//! The descriptor: what names content everywhere. Spec: image-spec `descriptor.md`.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::media::MediaType;
use crate::platform::Platform;

/// Media type, digest and size of some content, with what its document says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes are.
    pub media_type: MediaType,
    /// Identity of the bytes.
    pub digest: Digest,
    /// Size in bytes as the document states it; not yet verified.
    pub size: u64,
    /// Other places to fetch a foreign layer from; never trusted, never asked with credentials.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// Free text about the content.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The content itself in base64; see [`Descriptor::inline`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Where the manifest behind it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// Go writers emit `null` for an empty list or map.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Descriptor {
    /// Describes these bytes.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// A descriptor with nothing but the three required fields.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }

    /// The content embedded in `data`, only where it has the right size and digest; otherwise fetch it.
    pub fn inline(&self) -> Option<Bytes> {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(self.data.as_ref()?)
            .ok()?;
        crate::checked::verify(self, &bytes).ok()?;
        Some(bytes.into())
    }

    /// Whether it is a `BuildKit` attestation or anything else that only talks about an image.
    ///
    /// Such entries carry `vnd.docker.reference.type` and the platform `unknown/unknown`; they never run anywhere.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_data_counts_only_when_it_verifies() {
        let mut empty = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
        assert_eq!(empty.inline(), None);
        empty.data = Some("e30=".into());
        assert_eq!(empty.inline().as_deref(), Some(&b"{}"[..]));
        for wrong in ["W10=", "e30", "e30gIA==", "!"] {
            empty.data = Some(wrong.into());
            assert_eq!(empty.inline(), None, "{wrong}");
        }
    }

    #[test]
    fn null_lists_are_empty() {
        let text =
            r#"{"mediaType":"x/y","digest":"blake3:ab","size":1,"urls":null,"annotations":null}"#;
        assert!(
            serde_json::from_str::<Descriptor>(text)
                .unwrap()
                .urls
                .is_empty()
        );
    }
}
