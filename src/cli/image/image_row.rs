//! An image of the store, as commands list it.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::age::age;
use crate::cli::image_filter::FilterSubject;
use crate::cli::size::size_if_known;
use crate::cli::terminal_width::terminal_width;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::document::{Document, ParsedDocument};
use crate::error::Result;
use crate::layout::{IndexEntry, Layout};
use crate::platform::Platform;
use crate::retry::RetryPolicy;
use crate::transfer::read_small;

/// An image in the store, with what its configs say.
pub(in crate::cli) struct ImageRow {
    /// Its name; `<none>` without one.
    pub(in crate::cli) name: String,
    pub(in crate::cli) entry: IndexEntry,
    pub(in crate::cli) platforms: Vec<String>,
    /// Bytes of its configs and layers; `None` if its manifest or index cannot be read.
    pub(in crate::cli) size: Option<u64>,
    pub(in crate::cli) created: Option<String>,
    /// Labels of its configs: key and value.
    pub(in crate::cli) labels: Vec<(String, String)>,
}

impl ImageRow {
    /// Reads the entry's documents as far as possible; a damaged entry is listed too.
    pub(in crate::cli) async fn for_entry(store: &Layout, entry: IndexEntry) -> Self {
        let name = entry.names.first().cloned().unwrap_or_else(|| "<none>".to_owned());
        let mut row = Self {
            name,
            platforms: Vec::new(),
            size: None,
            created: None,
            labels: Vec::new(),
            entry,
        };
        if let Err(error) = row.read(store).await {
            tracing::warn!("{}: {}", row.name, error.chain());
        }
        row
    }

    async fn read(&mut self, store: &Layout) -> Result<()> {
        let root = store.read_document(&self.entry.descriptor)?;
        // A blob counts once, however often it is listed.
        let (mut manifests, mut counted) = (Vec::new(), HashSet::new());
        let mut size = 0_u64;
        match root.parsed() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => manifests.push(root),
            ParsedDocument::Index(index) => {
                for child in root.children().filter(|child| !child.is_attestation()) {
                    // An index may list platforms that were not pulled.
                    manifests.extend(store.read_document(child).ok());
                }
                for blob in index.blobs() {
                    let is_here = store.stat_blob(&blob.digest).is_ok();
                    if is_here && counted.insert(blob.digest.clone()) {
                        size = size.saturating_add(blob.size);
                    }
                }
            }
        }
        for document in &manifests {
            let new = document.blobs().filter(|blob| counted.insert(blob.digest.clone()));
            // An index may list any number of manifests, each with sizes up to the maximum.
            size = new.fold(size, |sum, blob| sum.saturating_add(blob.size));
        }
        self.size = Some(size);
        for document in &manifests {
            self.add_config(store, document).await?;
        }
        Ok(())
    }

    async fn add_config(&mut self, store: &Layout, document: &Document) -> Result<()> {
        let ParsedDocument::Manifest(manifest) = document.parsed() else { return Ok(()) };
        if manifest.config.media_type.is_image_config() {
            let bytes =
                read_small(store, &manifest.config, CONFIG_LIMIT, RetryPolicy::default()).await?;
            let config = ImageConfig::parse(&bytes)?;
            self.platforms.push(config.platform().to_string());
            self.labels.extend(labels(&config));
            self.created = self.created.take().or(config.created);
        }
        Ok(())
    }

    pub(in crate::cli) fn created_at(&self) -> Option<Timestamp> {
        self.created.as_ref()?.parse().ok()
    }

    pub(in crate::cli) fn filter_subject(&self) -> FilterSubject<'_> {
        let Self { name, platforms, labels, .. } = self;
        FilterSubject { name, platforms, labels }
    }

    /// Its name, or the digest of an image without one.
    pub(in crate::cli) fn id(&self) -> String {
        self.entry.names.first().cloned().unwrap_or_else(|| self.entry.digest().to_string())
    }

    pub(in crate::cli) fn json(&self) -> serde_json::Value {
        json!({
            "reference": self.name,
            "digest": self.entry.digest(),
            "manifest": self.entry.descriptor.digest,
            "platforms": self.platforms,
            "size": self.size,
            "created": self.created,
        })
    }

    pub(in crate::cli) fn cells(&self) -> [String; 5] {
        let created = self.created.as_deref().map(age).unwrap_or_default();
        let digest = self.entry.digest().short().to_owned();
        [self.name.clone(), digest, self.platform_cell(), created, size_if_known(self.size)]
    }

    /// All platforms; on a terminal, which may lack the room, the host's or else the first, and the number of others.
    fn platform_cell(&self) -> String {
        let host = Platform::host().to_string();
        match self.platforms.as_slice() {
            [first, others @ ..] if terminal_width().is_some() && !others.is_empty() => {
                let shown = if self.platforms.contains(&host) { &host } else { first };
                format!("{shown} +{}", others.len())
            }
            all => all.join(", "),
        }
    }
}

fn labels(config: &ImageConfig) -> Vec<(String, String)> {
    let labels = config.config.as_ref().and_then(|config| config.get("Labels")?.as_object());
    let text = |(key, value): (&String, &serde_json::Value)| {
        (key.clone(), value.as_str().unwrap_or_default().to_owned())
    };
    labels.into_iter().flatten().map(text).collect()
}
