//! Opens anything that can be inspected: an image, an artifact, or an index without an image for this host.

use serde_json::{Value, json};

use crate::annotation;
use crate::cli::image::open::{OpenedLocation, not_an_image, read_config, store_else_registry};
use crate::cli::settings::{Settings, platform};
use crate::cli::size::size;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::config::ImageConfig;
use crate::descriptor::Descriptor;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::transfer::{PlatformRequest, ResolvedImage, resolve_image};

/// The documents, and the config of an image.
pub(in crate::cli) struct Inspected {
    pub(in crate::cli) opened: OpenedLocation,
    pub(in crate::cli) root: Document,
    /// The manifest of the platform; the root if an index has none for this host and no platform was requested.
    pub(in crate::cli) chosen: Document,
    /// The config of an image, or why it cannot be read.
    pub(in crate::cli) config: Result<ImageConfig>,
}

impl Inspected {
    /// Reads only the documents and the config. A plain reference is read from the store if it is there, else from the
    /// registry.
    pub(in crate::cli) async fn open(
        text: &str,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Self> {
        let choice = platform(typed)?;
        let read = async |opened| Self::read(opened, &choice, settings).await;
        store_else_registry(text, settings, read).await
    }

    /// As [`Inspected::open`], for commands that read layers. An image of the store is read from the registry if it lacks
    /// one.
    pub(in crate::cli) async fn open_with_layers(
        text: &str,
        typed: Option<&str>,
        settings: &Settings,
    ) -> Result<Self> {
        let choice = platform(typed)?;
        let read = async |opened| Self::read(opened, &choice, settings).await?.with_layers();
        store_else_registry(text, settings, read).await
    }

    /// Checks that its layout, if it is of one, has its layers.
    fn with_layers(self) -> Result<Self> {
        if let (Some(layout), ParsedDocument::Manifest(manifest)) =
            (&self.opened.layout, self.chosen.parsed())
        {
            manifest.layers.iter().try_for_each(|layer| layout.check_blob(layer))?;
        }
        Ok(self)
    }

    async fn read(
        opened: OpenedLocation,
        choice: &PlatformRequest,
        settings: &Settings,
    ) -> Result<Self> {
        let (source, name) = (&*opened.source, &opened.name);
        let of = async |choice| {
            resolve_image(source, name, &opened.reference, choice, &settings.retry).await
        };
        let ResolvedImage { root, manifest: chosen } = match of(Some(choice)).await {
            Err(error) if !choice.explicit && has_nothing_for_host(&error) => {
                let ResolvedImage { root, manifest: chosen } = of(None).await?;
                return Ok(Self { opened, root, chosen, config: Err(error) });
            }
            picked => picked?,
        };
        let config = match chosen.parsed() {
            ParsedDocument::Manifest(manifest) if manifest.config.media_type.is_image_config() => {
                match read_config(&manifest.config, &opened, settings).await {
                    // Some clients store other content with the media type of an image config.
                    Err(error) if error.kind() != ErrorKind::InvalidDocument => return Err(error),
                    config => config,
                }
            }
            _ => Err(not_an_image(&chosen, &opened.reference)),
        };
        Ok(Self { opened, root, chosen, config })
    }

    /// Whether the media type of its config says that it is not an image.
    pub(in crate::cli) fn is_artifact(&self) -> bool {
        let is_other = |error: &Error| error.detail() == Some(ErrorDetail::NotAnImage);
        !matches!(self.chosen.parsed(), ParsedDocument::Index(_))
            && self.config.as_ref().is_err_and(is_other)
    }

    /// The layers of a manifest, the blobs of an artifact, or the entries of an index.
    pub(in crate::cli) fn parts(&self) -> &[Descriptor] {
        match self.chosen.parsed() {
            ParsedDocument::Manifest(manifest) => &manifest.layers,
            ParsedDocument::Artifact(artifact) => &artifact.blobs,
            ParsedDocument::Index(index) => &index.manifests,
        }
    }
}

fn has_nothing_for_host(error: &Error) -> bool {
    matches!(error.detail(), Some(ErrorDetail::PlatformNotFound | ErrorDetail::NothingRuns))
}

/// Formats the files of an artifact or the entries of an index as a table.
pub(in crate::cli) fn parts_table(parts: &[Descriptor]) -> String {
    let cells = |part: &Descriptor| {
        let platform = part.platform.as_ref().map(ToString::to_string);
        let name =
            part.annotations.get(annotation::TITLE).cloned().or(platform).unwrap_or_default();
        [name, part.media_type.to_string(), part.digest.short().to_owned(), size(part.size)]
    };
    let rows: Vec<[String; 4]> = parts.iter().map(cells).collect();
    let columns = [
        Column::cut_start("NAME", 12),
        Column::cut_start("TYPE", 16).optional(1),
        Column::whole("DIGEST"),
        Column::whole("SIZE"),
    ];
    table(columns, &rows, terminal_width())
}

/// The columns of [`parts_table`] as JSON.
pub(in crate::cli) fn parts_json(parts: &[Descriptor]) -> Vec<Value> {
    let value = |part: &Descriptor| {
        json!({
            "title": part.annotations.get(annotation::TITLE),
            "media_type": part.media_type,
            "digest": part.digest,
            "size": part.size,
            "artifact_type": part.artifact_type,
            "platform": part.platform.as_ref().map(ToString::to_string),
        })
    };
    parts.iter().map(value).collect()
}
