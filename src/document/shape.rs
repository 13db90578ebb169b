//! Determines the kind of a document, and rejects documents that two parsers could read differently.
//!
//! Rules: containerd's `validateMediaType` (GHSA-5j5w-g665-5m35) and image-spec GHSA-77vh-xpmg-72qh; no duplicate keys
//! at any depth; no keys that differ from known ones only in case; `schemaVersion` 2.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::parsed::ParsedDocument;
use crate::error::{Error, ErrorKind, Result};
use crate::json::case_folded;
use crate::media::MediaType;

/// Maximum size of a manifest or index in bytes; registries have a similar limit.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;

const KNOWN_KEYS: [&str; 11] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "blobs",
    "manifests",
    "fsLayers",
    "history",
    "subject",
    "annotations",
];

/// Keys of a descriptor that select or locate content.
const DESCRIPTOR_KEYS: [&str; 5] = ["mediaType", "digest", "size", "urls", "data"];

/// Parses the bytes as the kind of document that `declared` and the content itself agree on.
pub(super) fn read(bytes: &[u8], declared: &MediaType) -> Result<(MediaType, ParsedDocument)> {
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(invalid(format!("larger than {} MiB", DOCUMENT_LIMIT >> 20)));
    }
    let shape = TopLevel::parse(bytes).map_err(|error| not_json(bytes, declared, &error))?;
    let media_type = shape.media_type(declared)?;
    let parse = |error: serde_json::Error| invalid("malformed").with_source(error);
    let content = if media_type.is_index() {
        ParsedDocument::Index(Box::new(serde_json::from_slice(bytes).map_err(parse)?))
    } else if media_type.is_artifact_manifest() {
        ParsedDocument::Artifact(Box::new(serde_json::from_slice(bytes).map_err(parse)?))
    } else {
        ParsedDocument::Manifest(Box::new(serde_json::from_slice(bytes).map_err(parse)?))
    };
    content.check_sizes()?;
    Ok((media_type, content))
}

fn invalid(reason: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::InvalidDocument, "manifest").with_reason(reason)
}

fn not_json(bytes: &[u8], declared: &MediaType, error: &serde_json::Error) -> Error {
    let looks_like_page = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'<');
    if looks_like_page {
        // A captive portal, login page or bot check responds 200 with HTML (TecharoHQ/anubis#1231).
        return invalid(format!("not a registry response: {declared} that looks like a web page"));
    }
    invalid(format!("invalid or ambiguous JSON: {error}"))
}

/// The top level of a document, parsed strictly.
#[derive(Default)]
struct TopLevel {
    keys: BTreeSet<String>,
    schema_version: Option<Value>,
    media_type: Option<Value>,
    config_type: Option<String>,
}

impl TopLevel {
    fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut shape = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        TopLevelSeed(&mut shape).deserialize(&mut reader)?;
        reader.end()?;
        Ok(shape)
    }

    fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Returns the media type that header, field and structure agree on.
    fn media_type(&self, declared: &MediaType) -> Result<MediaType> {
        let field = match &self.media_type {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(MediaType::from(text.as_str())),
            Some(_) => return Err(invalid("mediaType is not a string")),
        };
        // A document with another media type is not schema 1 but ambiguous, which is checked below.
        let schema1 = match &field {
            Some(field) => field.is_schema1(),
            None => self.has("fsLayers") || declared.is_schema1(),
        };
        if schema1 && !self.has("manifests") && !self.has("layers") && !self.has("config") {
            return Err(Error::new(ErrorKind::Unsupported, "manifest")
                .with_reason("Docker schema 1, which no client can verify")
                .with_hint("push the image again with a current tool"));
        }
        // Artifact manifests have no `schemaVersion`.
        let is_artifact = field.as_ref().is_some_and(MediaType::is_artifact_manifest);
        if self.schema_version != Some(Value::from(2))
            && !(is_artifact && self.schema_version.is_none())
        {
            return Err(invalid("schemaVersion is not 2"));
        }
        if self.has("fsLayers") || self.has("history") {
            return Err(invalid("ambiguous: schema 1 keys with schemaVersion 2"));
        }
        let chosen = match (field, declared) {
            (Some(field), declared) if field.is_document() => {
                let kinds = |kind: &MediaType| (kind.is_index(), kind.is_artifact_manifest());
                if declared.is_document() && kinds(declared) != kinds(&field) {
                    return Err(invalid(format!(
                        "ambiguous: Content-Type is {declared}, mediaType is {field}"
                    )));
                }
                field
            }
            (None, declared) if declared.is_document() => declared.clone(),
            (None, declared) if declared.is_uninformative() => self.guess()?,
            (field, declared) => {
                let named = field.unwrap_or_else(|| declared.clone());
                return Err(invalid(format!("not an image manifest or index, but {named}")));
            }
        };
        self.agrees_with(&chosen)?;
        Ok(chosen)
    }

    fn guess(&self) -> Result<MediaType> {
        if self.has("manifests") {
            return Ok(MediaType::OCI_INDEX);
        }
        match &self.config_type {
            Some(text) if text == MediaType::DOCKER_CONFIG.as_str() => {
                Ok(MediaType::DOCKER_MANIFEST)
            }
            Some(_) => Ok(MediaType::OCI_MANIFEST),
            None => Err(invalid("neither an image manifest nor an index")),
        }
    }

    fn agrees_with(&self, media_type: &MediaType) -> Result<()> {
        let foreign: &[&str] = if media_type.is_artifact_manifest() {
            &["config", "layers", "manifests"]
        } else if media_type.is_index() {
            &["config", "layers"]
        } else {
            &["manifests"]
        };
        match foreign.iter().find(|key| self.has(key)) {
            None => Ok(()),
            Some(key) => {
                Err(invalid(format!("ambiguous: `{key}` in a document of type {media_type}")))
            }
        }
    }
}

struct TopLevelSeed<'a>(&'a mut TopLevel);

impl<'de> DeserializeSeed<'de> for TopLevelSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopLevelSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // Go's encoding/json matches keys case-insensitively, other parsers do not.
            if KNOWN_KEYS
                .iter()
                .any(|known| *known != key && case_folded(known) == case_folded(&key))
            {
                return Err(serde::de::Error::custom(format!(
                    "ambiguous: key `{key}` differs from a known key only in case"
                )));
            }
            let value = map.next_value_seed(StrictValue)?;
            match key.as_str() {
                "schemaVersion" => self.0.schema_version = Some(value),
                "mediaType" => self.0.media_type = Some(value),
                "config" => {
                    self.0.config_type = value
                        .get("mediaType")
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                        .or(Some(String::new()));
                }
                _ => {}
            }
            if !self.0.keys.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("duplicate key `{key}`")));
            }
        }
        Ok(())
    }
}

/// Any JSON value, without duplicate keys at any depth. It keeps only scalars, and the scalars of an object, which
/// [`TopLevelSeed`] uses.
struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element_seed(Self)?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Self)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("duplicate key `{key}`")));
            }
        }
        for known in DESCRIPTOR_KEYS {
            if object.keys().filter(|key| case_folded(key) == case_folded(known)).count() > 1 {
                return Err(serde::de::Error::custom(format!(
                    "duplicate key `{known}` in different case"
                )));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: &str = r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    fn kind(json: &str, declared: &str) -> Result<MediaType, ErrorKind> {
        read(json.as_bytes(), &MediaType::from_header(declared))
            .map(|(media, _)| media)
            .map_err(|error| error.kind())
    }

    #[test]
    fn media_type_falls_back_to_document_shape() {
        let manifest = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":null}}"#);
        assert_eq!(kind(&manifest, "text/plain"), Ok(MediaType::OCI_MANIFEST));
        assert_eq!(kind(r#"{"schemaVersion":2,"manifests":[]}"#, ""), Ok(MediaType::OCI_INDEX));
        let docker = manifest.replace("oci.image.config.v1", "docker.container.image.v1");
        assert_eq!(
            kind(&docker, "application/json; charset=utf-8"),
            Ok(MediaType::DOCKER_MANIFEST)
        );
    }

    #[test]
    fn manifest_with_layers_and_manifests_is_rejected() {
        let both = format!(r#"{{"schemaVersion":2,{CONFIG},"layers":[],"manifests":[]}}"#);
        for declared in ["", MediaType::OCI_INDEX.as_str(), MediaType::OCI_MANIFEST.as_str()] {
            assert_eq!(kind(&both, declared), Err(ErrorKind::InvalidDocument), "{declared}");
        }
    }

    #[test]
    fn artifact_manifest_with_foreign_keys_is_rejected() {
        let own = MediaType::OCI_ARTIFACT;
        let with = |more: &str| format!(r#"{{"mediaType":"{own}","artifactType":"a/b"{more}}}"#);
        for declared in ["", "application/json", own.as_str()] {
            assert_eq!(kind(&with(r#","blobs":[]"#), declared), Ok(own.clone()), "{declared}");
        }
        for more in [
            r#","manifests":[]"#,
            r#","layers":[]"#,
            r#","blobs":[],"Blobs":[]"#,
            r#","schemaVersion":1"#,
        ] {
            assert_eq!(kind(&with(more), ""), Err(ErrorKind::InvalidDocument), "{more}");
        }
        let as_image = kind(&with(""), MediaType::OCI_MANIFEST.as_str());
        assert_eq!(as_image, Err(ErrorKind::InvalidDocument));
    }

    #[test]
    fn schema1_is_unsupported() {
        let schema1 = r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#;
        assert_eq!(
            kind(schema1, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            Err(ErrorKind::Unsupported)
        );
        assert_eq!(kind(schema1, "text/plain"), Err(ErrorKind::Unsupported));
    }

    #[test]
    fn schema1_with_other_media_type_is_rejected() {
        for own in [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST, MediaType::OCI_MANIFEST] {
            let text = format!(r#"{{"schemaVersion":1,"mediaType":"{own}","fsLayers":[]}}"#);
            assert_eq!(kind(&text, ""), Err(ErrorKind::InvalidDocument), "{own}");
        }
    }

    #[test]
    fn ambiguous_json_is_rejected() {
        let manifest = format!(r#"{{"schemaVersion":2,{CONFIG}"#);
        for rest in [
            r#","layers":[],"layers":[]}"#,
            r#","layers":[],"Layers":[]}"#,
            r#","layers":[],"annotations":{"a":"1","a":"2"}}"#,
            r#","layers":[],"layerſ":[]}"#,
            r#","subject":{"mediaType":"x/y","digest":"a:b","size":1,"Digest":"a:c"}}"#,
            r#","layers":{}}"#,
            r#","layers":[["x/y","sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",2]]}"#,
            r#","layers":[]}{}"#,
            r#","layers":[],"history":[]}"#,
        ] {
            assert_eq!(
                kind(&format!("{manifest}{rest}"), ""),
                Err(ErrorKind::InvalidDocument),
                "{rest}"
            );
        }
        let deep = "[".repeat(2000);
        assert_eq!(
            kind(&format!(r#"{{"schemaVersion":2,"x":{deep}"#), ""),
            Err(ErrorKind::InvalidDocument)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_keys_do_not_panic_or_parse_as_both(
            keys in proptest::collection::vec(
                ("(schemaVersion|mediaType|config|layers|manifests|fsLayers|Layers|x)", "(1|2|null|\\[\\]|\\{\\}|\"a/b\"|\\[\\{\\}\\])"), 0..6),
            tail in "[}\\] ]{0,2}",
        ) {
            let fields: Vec<String> = keys.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let text = format!("{{{}{tail}", fields.join(","));
            let has = |key: &str| keys.iter().any(|(known, _)| known == key);
            for declared in ["", MediaType::OCI_INDEX.as_str(), MediaType::DOCKER_MANIFEST.as_str()] {
                let answer = read(text.as_bytes(), &MediaType::from_header(declared));
                prop_assert!(answer.is_err() || !(has("layers") && has("manifests")));
            }
        }
    }
}
