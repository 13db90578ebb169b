//! manifest.json, which `docker load` reads: in docker's own format and in addition to a layout.

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::reference::Reference;

/// The images of a manifest.json, each once with all its tags.
#[derive(Default)]
pub(super) struct DockerManifest(Vec<DockerManifestItem>);

struct DockerManifestItem {
    config: String,
    layers: Vec<String>,
    tags: Vec<String>,
}

impl DockerManifest {
    /// Adds an image under this name. Images with the same config and layers are one.
    pub(super) fn add(&mut self, name: &str, config: String, layers: Vec<String>) {
        let same = |item: &&mut DockerManifestItem| item.config == config && item.layers == layers;
        let tag = familiar(name);
        match self.0.iter_mut().find(same) {
            Some(item) => item.tags.extend(tag),
            None => {
                self.0.push(DockerManifestItem { config, layers, tags: tag.into_iter().collect() });
            }
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        let item = |item: &DockerManifestItem| -> Value {
            let tags = (!item.tags.is_empty()).then_some(&item.tags);
            json!({ "Config": item.config, "RepoTags": tags, "Layers": item.layers })
        };
        Value::Array(self.0.iter().map(item).collect()).to_string().into_bytes()
    }
}

/// The name as docker writes it: `docker.io/library/alpine:3.14` is `alpine:3.14`; `None` without a tag.
fn familiar(name: &str) -> Option<String> {
    let reference: Reference = name.parse().ok()?;
    reference.tag()?;
    let full = reference.store_name();
    let short =
        ["docker.io/library/", "docker.io/"].iter().filter_map(|way| full.strip_prefix(way));
    // Some names cannot be shortened: a first component with a dot would be taken for a registry.
    let mut same =
        short.filter(|short| short.parse().is_ok_and(|other: Reference| other == reference));
    Some(same.next().unwrap_or(&full).to_owned())
}

/// The name of a layer's tar in docker's format.
pub(super) fn layer_name(diff_id: &Digest) -> String {
    format!("{}/layer.tar", diff_id.encoded())
}

/// The name of a config in docker's format.
pub(super) fn config_name(config: &Digest) -> String {
    format!("{}.json", config.encoded())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repo_tag_uses_docker_familiar_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (name, tag) in [
            ("docker.io/library/alpine:3.14", Some("alpine:3.14")),
            ("docker.io/team/app:1", Some("team/app:1")),
            ("docker.io/team.io/app:1", Some("docker.io/team.io/app:1")),
            ("docker.io/library/a/b:1", Some("library/a/b:1")),
            ("ghcr.io/org/app:2", Some("ghcr.io/org/app:2")),
            (&format!("ghcr.io/org/app@{digest}"), None),
            ("No Name", None),
        ] {
            assert_eq!(familiar(name).as_deref(), tag, "{name}");
        }
    }

    #[test]
    fn manifest_item_with_two_names_is_listed_once() {
        let mut items = DockerManifest::default();
        items.add("docker.io/library/a:1", "c".into(), vec!["l".into()]);
        items.add("docker.io/library/a:2", "c".into(), vec!["l".into()]);
        let text = r#"[{"Config":"c","RepoTags":["a:1","a:2"],"Layers":["l"]}]"#;
        assert_eq!(items.json(), text.as_bytes());
    }
}
