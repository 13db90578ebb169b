//! The descriptor, which identifies content. Spec: image-spec `descriptor.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::json::{null_is_default, optional_object};
use crate::media::MediaType;
use crate::platform::Platform;

/// Maximum size of content in bytes: the largest integer that all JSON parsers represent exactly.
pub const MAX_SIZE: u64 = 1 << 53;

/// Media type, digest and size of content, with further fields of the document that contains the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes, at most [`MAX_SIZE`]. It is verified when the content is read.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Alternative URLs of a foreign layer. They are untrusted and fetched without credentials.
    #[serde(default, deserialize_with = "urls", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations of the content.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The content in base64; see [`crate::verifier::verified_inline_data`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Type of an artifact.
    #[serde(default, deserialize_with = "artifact_type", skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Platform of the manifest.
    #[serde(default, deserialize_with = "platform", skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if size <= MAX_SIZE {
        return Ok(size);
    }
    Err(serde::de::Error::custom(format!("invalid size {size}")))
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let urls: Vec<String> = null_is_default(deserializer)?;
    match urls.iter().find(|url| url::Url::parse(url).is_err()) {
        None => Ok(urls),
        Some(other) => Err(serde::de::Error::custom(format!("invalid URL `{other}`"))),
    }
}

fn artifact_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let media_type: Option<MediaType> = Option::deserialize(deserializer)?;
    Ok(media_type.map(|media_type| media_type.to_string()))
}

/// Treats an empty platform as absent.
fn platform<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    let platform: Option<Platform> = optional_object(deserializer)?;
    Ok(platform.filter(|platform| !platform.is_empty()))
}

impl AsRef<Digest> for Descriptor {
    fn as_ref(&self) -> &Digest {
        &self.digest
    }
}

impl Descriptor {
    /// Whether this is a foreign layer: one that a registry need not store, because it has other URLs. A foreign media
    /// type without URLs does not count, because only the registry has the layer.
    pub fn is_foreign(&self) -> bool {
        self.media_type.is_foreign() && !self.urls.is_empty()
    }

    /// Returns the descriptor of these bytes.
    pub fn for_bytes(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// Returns a descriptor with only the required fields.
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

    /// Whether this is an attestation, as `BuildKit` adds to an index, and not an image.
    ///
    /// Such entries have the annotation `vnd.docker.reference.type` and the platform `unknown/unknown`.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_list_is_empty() {
        let text =
            r#"{"mediaType":"x/y","digest":"blake3:ab","size":1,"urls":null,"annotations":null}"#;
        assert!(serde_json::from_str::<Descriptor>(text).unwrap().urls.is_empty());
    }

    #[test]
    fn invalid_fields_are_rejected() {
        let read = |field: &str| {
            let text = format!(r#"{{"mediaType":"x/y","digest":"blake3:ab","size":1,{field}}}"#);
            serde_json::from_str::<Descriptor>(&text)
        };
        for bad in
            [r#""urls":["value"]"#, r#""artifactType":"x/.y""#, r#""platform":["amd64","linux"]"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#""urls":["https://cdn.example/x"],"artifactType":"x/y""#).is_ok());
        for nothing in ["null", "{}", r#"{"os":"","architecture":""}"#] {
            assert_eq!(read(&format!(r#""platform":{nothing}"#)).unwrap().platform, None);
        }
    }
}
