//! The image config: history, `diff_ids` and container settings. Spec: image-spec `config.md`.
//!
//! A read-only view for display and for selecting a platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Object, null_is_default, object, objects, optional_object};
use crate::platform::Platform;

/// Maximum size of a config in bytes.
pub const CONFIG_LIMIT: u64 = 8 << 20;

/// An image config, in OCI's or Docker's format. Fields that are absent or `null` are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ImageConfig {
    /// Creation time in RFC 3339.
    #[serde(deserialize_with = "date")]
    pub created: Option<String>,
    /// Author of the image.
    pub author: Option<String>,
    /// CPU architecture.
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    /// Operating system.
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    /// CPU variant.
    pub variant: Option<String>,
    /// Operating system version; only Windows uses it.
    #[serde(rename = "os.version")]
    pub os_version: Option<String>,
    /// Operating system features that the image needs.
    #[serde(rename = "os.features", deserialize_with = "null_is_default")]
    pub os_features: Vec<String>,
    /// Container settings such as `Env`, `Cmd` and `Labels`, unchanged.
    #[serde(deserialize_with = "run_options")]
    pub config: Option<Value>,
    /// Layers of the root file system.
    #[serde(deserialize_with = "rootfs")]
    pub rootfs: RootFs,
    /// Build history, oldest step first.
    #[serde(deserialize_with = "objects")]
    pub history: Vec<HistoryEntry>,
}

/// Treats Go's zero time as absent: reproducible builds write it.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let date: Option<String> = Option::deserialize(deserializer)?;
    Ok(date.filter(|date| !date.is_empty() && !date.starts_with("0001-01-01")))
}

/// The layers of a config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RootFs {
    /// Digests of the uncompressed layers, base first.
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of the build history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// Creation time in RFC 3339.
    #[serde(deserialize_with = "date")]
    pub created: Option<String>,
    /// The command of the step.
    #[serde(deserialize_with = "null_is_default")]
    pub created_by: String,
    /// The author of the step.
    #[serde(deserialize_with = "null_is_default")]
    pub author: String,
    /// The builder's comment.
    #[serde(deserialize_with = "null_is_default")]
    pub comment: String,
    /// Whether the step created no layer.
    #[serde(deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Parses a config.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if it is not JSON or a field has the wrong type.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Object(config) = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(ErrorKind::InvalidDocument, "image config")
                .with_reason("malformed")
                .with_source(error)
        })?;
        Ok(config)
    }

    /// Returns the platform that the image runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
    }

    /// Pairs the digest of each layer that is a tar with its `diff_id`, or says what is wrong.
    pub(crate) fn diff_id_pairs(
        &self,
        layers: &[Descriptor],
    ) -> Result<Vec<(Digest, Digest)>, String> {
        let diff_ids = &self.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            let layers =
                if let [_] = layers { "1 layer" } else { &format!("{} layers", layers.len()) };
            return Err(match diff_ids.len() {
                0 => format!("has no diff_ids for {layers}"),
                count => format!("has {count} diff_ids for {layers}"),
            });
        }
        let is_read = |layer: &Descriptor| layer.media_type.is_tar_layer() && !layer.is_foreign();
        let pairs = layers.iter().zip(diff_ids).filter(|(layer, _)| is_read(layer));
        Ok(pairs.map(|(layer, diff_id)| (layer.digest.clone(), diff_id.clone())).collect())
    }
}

/// Returns the chain id of each stack of layers, base first. Spec: image-spec `config.md`, "Layer `ChainID`".
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Option<Digest> = None;
    diff_ids
        .iter()
        .map(|diff_id| {
            let id = match &chain {
                None => diff_id.clone(),
                Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
            };
            chain = Some(id.clone());
            id
        })
        .collect()
}

fn rootfs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RootFs, D::Error> {
    optional_object(deserializer).map(Option::unwrap_or_default)
}

/// The fields of `config` that have a type in the spec, parsed only to check the types.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerConfig {
    #[serde(rename = "User")]
    _user: Option<String>,
    #[serde(rename = "WorkingDir")]
    _working_dir: Option<String>,
    #[serde(rename = "StopSignal")]
    _stop_signal: Option<String>,
    #[serde(rename = "Env")]
    _env: Option<Vec<Option<String>>>,
    #[serde(rename = "Entrypoint")]
    _entrypoint: Option<StringOrList>,
    #[serde(rename = "Cmd")]
    _cmd: Option<StringOrList>,
    #[serde(rename = "ExposedPorts")]
    _exposed_ports: Option<serde_json::Map<String, Value>>,
    #[serde(rename = "Volumes")]
    _volumes: Option<serde_json::Map<String, Value>>,
    #[serde(rename = "Labels")]
    _labels: Option<BTreeMap<String, Option<String>>>,
}

/// Docker accepts a string for a list of one word.
#[derive(Deserialize)]
#[serde(untagged)]
enum StringOrList {
    #[expect(dead_code, reason = "only its type is checked")]
    One(String),
    #[expect(dead_code, reason = "only its type is checked")]
    Several(Vec<Option<String>>),
}

fn run_options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let value: Option<Value> = Option::deserialize(deserializer)?;
    if let Some(value) = &value {
        object::<_, ContainerConfig>(value).map_err(serde::de::Error::custom)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn docker_config_is_parsed() {
        let config = ImageConfig::parse(
            br#"{
                "architecture": "arm64", "variant": "v8", "os": "linux", "os.features": null,
                "created": "2024-05-01T10:00:00.5Z", "docker_version": "1.12", "container_config": {},
                "config": {"Cmd": ["/bin/sh"], "Entrypoint": null, "Env": ["PATH=/bin"], "Labels": null,
                           "Volumes": {"/data": {}}, "Healthcheck": {"Test": ["NONE"]}},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]},
                "history": [{"created": null, "created_by": "ADD x / # buildkit"}, {"comment": null, "empty_layer": true}]
            }"#,
        )
        .unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm64/v8");
        assert_eq!(config.rootfs.diff_ids.len(), 1);
        assert_eq!(config.config.unwrap()["Cmd"][0], "/bin/sh");
        let [first, second] = config.history.as_slice() else { panic!("two steps") };
        assert!(!first.empty_layer && second.empty_layer);
        assert_eq!(first.created_by, "ADD x / # buildkit");
    }

    #[test]
    fn empty_and_null_fields_are_accepted() {
        let nulls = br#"{"architecture":null,"os":null,"config":null,"rootfs":null,"history":null,"author":null}"#;
        for text in [&b"{}"[..], nulls] {
            let config = ImageConfig::parse(text).unwrap();
            assert_eq!(config.platform(), Platform::default());
            assert!(config.history.is_empty() && config.config.is_none());
        }
    }

    #[test]
    fn fields_of_wrong_type_are_rejected() {
        for text in [
            "",
            "[]",
            r#"{"rootfs":[]}"#,
            r#"{"history":[[]]}"#,
            "{}{}",
            r#"{"os":5}"#,
            r#"{"os":"linux","os":"windows"}"#,
            r#"{"history":"none"}"#,
            r#"{"history":[{"empty_layer":"yes"}]}"#,
            r#"{"rootfs":{"diff_ids":["../../etc"]}}"#,
            r#"{"config":[]}"#,
            r#"{"config":{"Env":[1]}}"#,
            r#"{"config":{"Env":"A=1"}}"#,
            r#"{"config":{"Cmd":{}}}"#,
            r#"{"config":{"Volumes":["/data"]}}"#,
            r#"{"config":{"Labels":{"a":1}}}"#,
        ] {
            let refusal = ImageConfig::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::InvalidDocument, "{text}");
        }
        assert!(ImageConfig::parse(br#"{"config":{"Cmd":"/bin/sh -l"}}"#).is_ok());
    }

    proptest! {
        #[test]
        fn any_json_parses_or_is_document_error(text in "\\{(\"(os|config|rootfs|history|created)\":(null|1|\"x\"|\\[\\{\\}\\]|\\{\\}|\\[\\])(,|\\}|)){0,4}") {
            if let Err(error) = ImageConfig::parse(text.as_bytes()) {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidDocument);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            _ = ImageConfig::parse(&bytes).is_ok();
        }
    }
}
