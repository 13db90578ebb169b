//! Contents of a fixture and their placeholders in its texts: `{{digest:NAME}}`, `{{tag:NAME}}` (of its
//! referrers), `{{size:NAME}}`, `{{HOST}}`.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use rpull::digest::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{Family, image, layer};

/// One entry of a fixture's `contents`; it may refer to earlier entries.
#[derive(Deserialize)]
pub(crate) struct Recipe {
    name: String,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// An image with `n` layers for linux/amd64: `NAME.manifest`, `NAME.config`, `NAME.layer1` (base) and so on.
    Oci(usize),
    /// The same in Docker's media types.
    Docker(usize),
    /// A document; a string that is only `{{size:NAME}}` becomes a number.
    Json(Value),
}

/// Values of placeholders.
pub(crate) struct Placeholders {
    values: BTreeMap<String, String>,
    contents: BTreeMap<String, Bytes>,
}

impl Placeholders {
    /// Creates them; hosts are `(name, host:port)`.
    pub(crate) fn new(hosts: impl Iterator<Item = (String, String)>, recipes: &[Recipe]) -> Self {
        let mut made = Self { values: hosts.collect(), contents: BTreeMap::new() };
        for recipe in recipes {
            match &recipe.kind {
                Kind::Oci(layers) => made.add_image(Family::Oci, &recipe.name, *layers),
                Kind::Docker(layers) => made.add_image(Family::Docker, &recipe.name, *layers),
                Kind::Json(value) => {
                    made.add(&recipe.name, made.fill_json(value).to_string().into());
                }
            }
        }
        made
    }

    fn add_image(&mut self, family: Family, name: &str, layers: usize) {
        let numbered = |number| layer(&[(format!("{name}-{number}").as_str(), name.as_bytes())]);
        let layers: Vec<_> = (1..=layers).map(numbered).collect();
        let image = image(family, "amd64", &layers);
        self.add(&format!("{name}.manifest"), image.manifest.bytes);
        self.add(&format!("{name}.config"), image.config.bytes);
        for (number, layer) in (1..).zip(image.layers) {
            self.add(&format!("{name}.layer{number}"), layer.bytes);
        }
    }

    fn add(&mut self, name: &str, bytes: Bytes) {
        self.values.insert(format!("digest:{name}"), Digest::sha256(&bytes).to_string());
        self.values.insert(format!("size:{name}"), bytes.len().to_string());
        let tag = Digest::sha256(&bytes).to_string().replace(':', "-");
        self.values.insert(format!("tag:{name}"), tag);
        self.contents.insert(name.to_owned(), bytes);
    }

    /// Writes an OCI layout with every image under its name; `{{layout}}` becomes its path.
    pub(crate) fn write_layout(&mut self, root: &Path) {
        let blobs = root.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let mut entries = Vec::new();
        for (name, bytes) in &self.contents {
            let digest = Digest::sha256(bytes);
            std::fs::write(blobs.join(digest.encoded()), bytes).unwrap();
            if let Some(image) = name.strip_suffix(".manifest") {
                let manifest: Value = serde_json::from_slice(bytes).unwrap();
                entries.push(json!({
                    "mediaType": manifest["mediaType"], "digest": digest, "size": bytes.len(),
                    "annotations": {"org.opencontainers.image.ref.name": image},
                }));
            }
        }
        let index = json!({"schemaVersion": 2, "manifests": entries});
        std::fs::write(root.join("index.json"), index.to_string()).unwrap();
        std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        self.values.insert("layout".to_owned(), root.to_str().unwrap().to_owned());
    }

    pub(crate) fn content(&self, name: &str) -> &Bytes {
        self.contents.get(name).unwrap_or_else(|| panic!("no content is called {name}"))
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.values {
            filled = filled.replace(&format!("{{{{{name}}}}}"), value);
        }
        assert!(!filled.contains("{{"), "nothing stands for a placeholder in {filled}");
        filled
    }

    pub(crate) fn fill_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with("{{size:") && text.ends_with("}}") => {
                json!(self.fill(text).parse::<u64>().unwrap())
            }
            Value::String(text) => json!(self.fill(text)),
            Value::Array(values) => values.iter().map(|value| self.fill_json(value)).collect(),
            Value::Object(fields) => {
                let filled = fields.iter().map(|(key, value)| (key.clone(), self.fill_json(value)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }
}
