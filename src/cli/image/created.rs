//! When an image was created.

use serde_json::Value;

use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{self, Effort, Presence, Source};
use crate::document::{Document, ParsedDocument};
use crate::error::Result;
use crate::limits::MAX_INDEX_DEPTH;
use crate::mirror::known_time;

/// The annotation of artifacts, which have no config.
const ANNOTATION: &str = "org.opencontainers.image.created";

/// The creation time in the config, for an index in that of its first platform, or else in the annotations of the manifest or
/// index; `None` if none of them says it. A time before the year 2000 says nothing.
pub(in crate::cli) async fn created(source: &dyn Source, root: Document) -> Result<Option<String>> {
    let of_root = annotation(&root);
    let Some(manifest) = first_manifest(source, root).await? else { return Ok(known(of_root)) };
    let of_config = in_config(source, &manifest).await?;
    Ok(known(of_config).or_else(|| known(annotation(&manifest))).or_else(|| known(of_root)))
}

fn known(created: Option<String>) -> Option<String> {
    created.filter(|created| known_time(Some(created)).is_some())
}

async fn in_config(source: &dyn Source, manifest: &Document) -> Result<Option<String>> {
    let ParsedDocument::Manifest(parsed) = manifest.parsed() else { return Ok(None) };
    if !parsed.config.media_type.is_image_config() {
        return Ok(None);
    }
    let config = source.read(&parsed.config, CONFIG_LIMIT, Effort::Request).await?;
    let Presence::Present(bytes) = config else { return Ok(None) };
    Ok(ImageConfig::parse(&bytes).ok().and_then(|config| config.created))
}

fn annotation(manifest: &Document) -> Option<String> {
    let value: Value = serde_json::from_slice(manifest.bytes()).ok()?;
    Some(value.get("annotations")?.get(ANNOTATION)?.as_str()?.to_owned())
}

async fn first_manifest(source: &dyn Source, root: Document) -> Result<Option<Document>> {
    let mut document = root;
    for _ in 0..=MAX_INDEX_DEPTH {
        if !document.descriptor().media_type.is_index() {
            return Ok(Some(document));
        }
        let first = document.children().find(|child| !child.is_attestation()).cloned();
        let Some(first) = first else { return Ok(None) };
        document = content::fetch_document(source, &first).await?;
    }
    Ok(None)
}
