//! The two images of a `diff`, read without their layers.

use serde_json::{Value, json};

use crate::cli::image::inspected::Inspected;
use crate::cli::image::open::{OpenedImage, OpenedLocation};
use crate::cli::image::other_platform::warn_of_other_platform;
use crate::cli::settings::Settings;
use crate::config::ImageConfig;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorDetail, Result};
use crate::insight::diff::config::{ConfigChange, config_changes};
use crate::insight::diff::layers::{DiffSide, LayerDiff, layer_diff};

/// One of the two images, read without its layers.
pub(super) struct ComparedImage {
    pub(super) opened: OpenedLocation,
    pub(super) reference: String,
    /// What its name stands for.
    pub(super) named: Document,
    /// What it was resolved to.
    pub(super) root: Document,
    pub(super) manifest: Document,
    /// `None` for an artifact, or if it is malformed.
    pub(super) config: Option<ImageConfig>,
    /// Bytes of config and layers, each counted once.
    pub(super) size: u64,
    /// Why its layers cannot be read, if that is known already.
    pub(super) unreadable: Option<Error>,
}

impl ComparedImage {
    /// Opens what `text` names. With `files` it must be an image, and the registry is used if the store lacks a layer.
    pub(super) async fn open(
        text: &str,
        platform: Option<&str>,
        files: bool,
        settings: &Settings,
    ) -> Result<Self> {
        let (seen, unreadable) = if files {
            with_layers(text, platform, settings).await?
        } else {
            (Inspected::open(text, platform, settings).await?, None)
        };
        let is_artifact = seen.is_artifact();
        let Inspected { opened, root, chosen: manifest, config } = seen;
        let config = match (config, manifest.parsed()) {
            (Ok(config), _) => Some(config),
            (Err(error), ParsedDocument::Index(_)) => return Err(error),
            (Err(error), _) if files => return Err(error),
            (Err(_), _) if is_artifact => None,
            (Err(error), _) => {
                tracing::warn!("{}; only its layers are compared", error.chain());
                None
            }
        };
        if let Some(config) = &config {
            warn_of_other_platform(&opened.reference, config, platform)?;
        }
        let named = opened.named_document(&root).await;
        let size = manifest.distinct_bytes();
        let reference = opened.reference.clone();
        Ok(Self { opened, reference, named, root, manifest, config, size, unreadable })
    }

    /// The image to read its layers.
    pub(super) fn into_image(self) -> OpenedImage {
        OpenedImage {
            opened: self.opened,
            root: self.root,
            manifest_document: self.manifest,
            config: self.config.unwrap_or_default(),
            arriving: None,
        }
    }

    fn side(&self) -> Result<DiffSide<'_>> {
        Ok(DiffSide { manifest: self.manifest.manifest()?, config: self.config.as_ref() })
    }

    fn json(&self) -> Value {
        json!({
            "reference": self.reference,
            "digest": self.named.digest(),
            "size": self.size,
            "manifest": self.manifest.digest(),
            "platform": self.config.as_ref().map(|config| config.platform().to_string()),
        })
    }
}

/// Opens an image with its layers. If the store lacks one of them and nothing else has it, also returns the reason.
async fn with_layers(
    text: &str,
    platform: Option<&str>,
    settings: &Settings,
) -> Result<(Inspected, Option<Error>)> {
    match Inspected::open_with_layers(text, platform, settings).await {
        Err(error) if error.detail() == Some(ErrorDetail::DamagedBlob) => {
            match Inspected::open(text, platform, settings).await {
                Ok(seen) => Ok((seen, Some(error))),
                Err(_) => Err(error),
            }
        }
        seen => Ok((seen?, None)),
    }
}

/// Two images and their differences.
pub(super) struct ImageDiff<'a> {
    pub(super) a: &'a ComparedImage,
    pub(super) b: &'a ComparedImage,
    pub(super) layers: LayerDiff,
    /// `None` unless both configs could be read.
    pub(super) config: Option<Vec<ConfigChange>>,
}

impl<'a> ImageDiff<'a> {
    pub(super) fn new(a: &'a ComparedImage, b: &'a ComparedImage) -> Result<Self> {
        let layers = layer_diff(a.side()?, b.side()?);
        let configs = a.config.as_ref().zip(b.config.as_ref());
        let config = configs.map(|(a, b)| config_changes(a, b));
        Ok(Self { a, b, layers, config })
    }

    pub(super) fn json(&self) -> Value {
        let LayerDiff { shared, only_a, only_b, recompressed, pull, layers, .. } = &self.layers;
        json!({
            "a": self.a.json(),
            "b": self.b.json(),
            "shared": shared,
            "only_a": only_a,
            "only_b": only_b,
            "recompressed": recompressed,
            "pull": pull,
            "layers": layers,
            "config": self.config,
        })
    }
}
