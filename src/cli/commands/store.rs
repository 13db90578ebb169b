//! `images`, `tag`, `rm`, `prune`, `verify`: the local store.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::age::age;
use crate::cli::args::{Prune, Rm, Tag, Verify};
use crate::cli::output::{Output, note};
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::cli::table::table;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::Source as _;
use crate::document::{Content, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Entry, Layout};
use crate::place::{Place, PlainMeans};

pub(in crate::cli) async fn images(settings: &Settings, output: &Output) -> Result<ExitCode> {
    let store = settings.open_store(false)?;
    let mut rows = Vec::new();
    for entry in store.entries()? {
        rows.push(Row::of(&store, entry).await);
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if output.json {
        let values: Vec<_> = rows.iter().map(Row::json).collect();
        output.value(&values)?;
    } else {
        let cells: Vec<[String; 5]> = rows.iter().map(Row::cells).collect();
        output.bytes(table(["IMAGE", "DIGEST", "PLATFORM", "CREATED", "SIZE"], &cells).as_bytes())?;
    }
    output.done()
}

struct Row {
    name: String,
    entry: Entry,
    platforms: Vec<String>,
    size: u64,
    created: Option<String>,
}

impl Row {
    /// What can be read of the entry; a damaged one is listed all the same.
    async fn of(store: &Layout, entry: Entry) -> Self {
        let name = entry.names.first().cloned().unwrap_or_else(|| "<none>".to_owned());
        let mut row = Self { name, platforms: Vec::new(), size: 0, created: None, entry };
        if let Err(error) = row.read(store).await {
            tracing::warn!("{}: {}", row.name, error.chain());
        }
        row
    }

    async fn read(&mut self, store: &Layout) -> Result<()> {
        let root = store.document(&self.entry.descriptor).await?;
        let mut manifests = Vec::new();
        match root.content() {
            Content::Manifest(_) => manifests.push(root),
            Content::Index(index) => {
                for child in index.manifests.iter().filter(|child| !child.is_attestation()) {
                    // A platform that was not pulled is no fault.
                    manifests.extend(store.document(child).await.ok());
                }
            }
        }
        for document in &manifests {
            self.add(store, document).await?;
        }
        Ok(())
    }

    async fn add(&mut self, store: &Layout, document: &Document) -> Result<()> {
        let Content::Manifest(manifest) = document.content() else { return Ok(()) };
        self.size += manifest.blobs().map(|blob| blob.size).sum::<u64>();
        if manifest.config.media_type.is_image_config() {
            let bytes = crate::fetch::blob(store, &manifest.config, CONFIG_LIMIT).await?;
            let config = ImageConfig::parse(&bytes)?;
            self.platforms.push(config.platform().to_string());
            self.created = self.created.take().or(config.created);
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "reference": self.name,
            "digest": self.entry.descriptor.digest,
            "platforms": self.platforms,
            "size": self.size,
            "created": self.created,
        })
    }

    fn cells(&self) -> [String; 5] {
        let created = self.created.as_deref().map(age).unwrap_or_default();
        let digest = self.entry.descriptor.digest.short().to_owned();
        [self.name.clone(), digest, self.platforms.join(", "), created, size(self.size)]
    }
}

/// The name in the store that a word means.
fn name(text: &str) -> Result<String> {
    match Place::parse(text, PlainMeans::Store)? {
        Place::Store(reference) => Ok(reference.store_name()),
        _ => Err(Error::new(ErrorKind::Reference, format!("image '{text}'")).because("expected the name of an image in the store")),
    }
}

pub(in crate::cli) fn tag(args: &Tag, settings: &Settings, output: &Output) -> Result<ExitCode> {
    let (source, new) = (name(&args.source)?, name(&args.name)?);
    settings.open_store(false)?.tag(&source, &new)?;
    if !output.quiet {
        note(&format!("{source} is also {new} now"));
    }
    output.done()
}

pub(in crate::cli) fn rm(args: &Rm, settings: &Settings, output: &Output) -> Result<ExitCode> {
    let names = args.images.iter().map(|text| name(text)).collect::<Result<Vec<_>>>()?;
    let store = settings.open_store(false)?;
    for name in &names {
        if !store.remove(name)? {
            return Err(Error::new(ErrorKind::NotFound, name).because("not in the store"));
        }
        output.line(name)?;
    }
    output.done()
}

pub(in crate::cli) fn prune(args: &Prune, settings: &Settings, output: &Output) -> Result<ExitCode> {
    let report = settings.open_store(false)?.prune(args.plan)?;
    if output.json {
        output.value(&report)?;
    } else {
        let verb = if args.plan { "would free" } else { "freed" };
        output.line(&format!("{verb} {} in {} blobs", size(report.bytes), report.blobs))?;
    }
    output.done()
}

pub(in crate::cli) fn verify(args: &Verify, settings: &Settings, output: &Output) -> Result<ExitCode> {
    let names = args.images.iter().map(|text| name(text)).collect::<Result<Vec<_>>>()?;
    let report = settings.open_store(false)?.verify(&names)?;
    if output.json {
        output.value(&report)?;
    } else {
        for bad in &report.bad {
            let images = if bad.images.is_empty() { "no image".to_owned() } else { bad.images.join(", ") };
            output.line(&crate::escape(&format!("{}: {} (needed by {images})", bad.digest, bad.why)))?;
        }
        output.line(&format!("{} blobs, {}, {} bad", report.blobs, size(report.bytes), report.bad.len()))?;
    }
    if report.bad.is_empty() {
        return output.done();
    }
    Err(Error::new(ErrorKind::Mismatch, "store").because(format!("{} damaged blobs; pull their images again", report.bad.len())))
}
