//! `put-blob`: puts one blob into a repository or a layout.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::artifact::Artifact;
use crate::blocking::run_blocking;
use crate::cli::args::tools::PutBlob;
use crate::cli::input::{open_input, read_failed};
use crate::cli::labels;
use crate::cli::output::{self, note};
use crate::cli::run::destination::{Destination, UploadSessions};
use crate::cli::run::transfer_run::{chunk_size, interruptible};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::size::size;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::progress::Event;
use crate::transfer::{TransferOptions, send_blob};

const MEDIA_TYPE: &str = "application/octet-stream";

pub(super) async fn run(args: PutBlob, settings: &Settings) -> Result<ExitCode> {
    let settings = &interruptible(&labels::PUSH, settings);
    let (destination, expected) = destination(&args)?;
    let cancel = &settings.control.cancel;
    let path = args.file.clone();
    let reading = run_blocking("read", move || read(&path));
    let (source, blob) = or_cancelled(cancel, "put-blob", reading).await??;
    if let Some(expected) = expected.filter(|expected| *expected != blob.digest) {
        return Err(Error::new(ErrorKind::Mismatch, args.file.display().to_string())
            .with_reason(format!("digest mismatch: expected {expected}, got {}", blob.digest)));
    }
    let options = TransferOptions {
        retry: settings.retry,
        control: settings.control.clone(),
        ..TransferOptions::default()
    };
    let sending = async {
        let target = destination.open(settings, 1, false).await?;
        let sent = send_blob(Arc::new(source), &blob, &*target, &options).await?;
        Ok::<_, Error>((sent, target.endpoint().location.clone()))
    };
    let sent = or_cancelled(cancel, "put-blob", Box::pin(sending)).await?;
    settings.control.progress.on_event(&Event::RunFinished);
    let (sent, location) = sent?;
    if settings.json {
        let Descriptor { digest, size, .. } = &blob;
        let outcome = if sent { "transferred" } else { "shared" };
        output::json(&json!({
            "target": location, "digest": digest, "size": size, "outcome": outcome,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !settings.quiet {
        let done = if sent { "put" } else { "already there:" };
        note(&format!("{done} {} in {}", size(blob.size), location));
    }
    output::line(blob.digest.as_str())?;
    Ok(ExitCode::SUCCESS)
}

/// Where the blob goes, and its digest if one was typed. A tag or name is ignored: it would be that of an image.
fn destination(args: &PutBlob) -> Result<(Destination, Option<Digest>)> {
    let text = &args.repository;
    Ok(match Location::parse(text, DefaultLocation::Registry)? {
        Location::Registry(reference) => {
            let digest = reference.digest().cloned();
            let chunk_size = chunk_size(args.chunk_size.as_deref())?;
            let sessions = UploadSessions::Discard;
            (Destination::Registry { reference, chunk_size, sessions }, digest)
        }
        Location::Store(reference) => (Destination::Store(None), reference.digest().cloned()),
        Location::Id { id, .. } => (Destination::Store(None), id.to_string().parse().ok()),
        Location::Layout { path, name } => {
            let digest = match name {
                ImageName::Digest(digest) => Some(digest),
                ImageName::Layout(name) | ImageName::Tag(name) => {
                    name.rsplit_once('@').and_then(|(_, digest)| digest.parse().ok())
                }
                ImageName::Only => None,
            };
            (Destination::Layout { path, name: ImageName::Only }, digest)
        }
        Location::StoreOrRegistry(_) | Location::Archive { .. } | Location::Engine { .. } => {
            return Err(Error::new(ErrorKind::InvalidInput, format!("location `{text}`"))
                .with_reason("cannot take a blob without its image")
                .with_hint("put it into a repository, the store or an `oci:PATH`"));
        }
    })
}

/// Reads the blob: hashed where it is, or kept in a temporary file if it can be read only once.
fn read(path: &Path) -> Result<(Artifact, Descriptor)> {
    let builder = Artifact::builder(MEDIA_TYPE);
    // A directory is refused there.
    let builder = if path.is_file() || path.is_dir() {
        builder.open_file(path, MEDIA_TYPE, BTreeMap::new())?
    } else {
        let mut input = open_input(path).map_err(|error| read_failed(path, error))?;
        builder.spooled(&mut input, MEDIA_TYPE, BTreeMap::new())?
    };
    let artifact = builder.build()?;
    let blob = artifact.document().manifest()?.layers.first().cloned();
    let blob = blob.ok_or_else(|| Error::new(ErrorKind::Store, "read"))?;
    Ok((artifact, blob))
}
