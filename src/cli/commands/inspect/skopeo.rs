//! `inspect --format skopeo`: the fields of `skopeo inspect`.

use serde_json::{Map, Value, json};

use crate::cli::image::inspected::Inspected;
use crate::cli::settings::{ForeignLayers, Settings};
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::Result;
use crate::reference::Reference;

/// What skopeo prints for a time that is not known.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The same value as skopeo's, with its names. Costs a request for the tags of a repository, as it does there.
pub(super) async fn json_of(
    seen: &Inspected,
    root: &Document,
    config: Option<&ImageConfig>,
    settings: &Settings,
) -> Result<Value> {
    let opened = &seen.opened;
    let mut value = Map::new();
    let mut tags = Vec::new();
    if opened.source.endpoint().address.is_some()
        && let Ok(reference) = opened.reference.parse::<Reference>()
    {
        let name = reference.repository_name();
        let client = settings.client(&name, ForeignLayers::Ignore)?;
        tags = client.repository(&reference)?.tags().await?;
        value.insert("Name".to_owned(), name.into());
    }
    let layers = seen.chosen.manifest().map(|manifest| &*manifest.layers).unwrap_or_default();
    let data = |layer: &Descriptor| {
        json!({
            "MIMEType": layer.media_type,
            "Digest": layer.digest,
            "Size": layer.size,
            "Annotations": (!layer.annotations.is_empty()).then_some(&layer.annotations),
        })
    };
    let setting = |key: &str| run_option(config, key);
    for (key, member) in [
        ("Digest", json!(root.digest())),
        ("RepoTags", json!(tags)),
        ("Created", json!(config.and_then(|config| config.created.as_deref()).unwrap_or(NO_TIME))),
        ("DockerVersion", json!("")),
        ("Labels", setting("Labels")),
        ("Architecture", json!(config.map(|config| &config.architecture))),
        ("Os", json!(config.map(|config| &config.os))),
        ("Layers", json!(layers.iter().map(|layer| &layer.digest).collect::<Vec<_>>())),
        ("LayersData", layers.iter().map(data).collect()),
        ("Env", setting("Env")),
    ] {
        value.insert(key.to_owned(), member);
    }
    Ok(Value::Object(value))
}

fn run_option(config: Option<&ImageConfig>, key: &str) -> Value {
    config.and_then(|config| config.config.as_ref()?.get(key)).cloned().unwrap_or_default()
}
