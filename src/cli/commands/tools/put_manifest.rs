//! `put-manifest`: puts a manifest or index, byte for byte, under a name.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::blocking::run_blocking;
use crate::cli::args::tools::PutManifest;
use crate::cli::input::{open_input, read_failed};
use crate::cli::output::{self, note};
use crate::cli::run::destination::Destination;
use crate::cli::run::put_document::put_document;
use crate::cli::settings::Settings;
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::content::{BlobPresence, Effort, Presence, Target, check_content};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CONCURRENT_REQUESTS;
use crate::media::MediaType;
use crate::name::ImageName;

pub(super) async fn run(args: PutManifest, settings: &Settings) -> Result<ExitCode> {
    let destination = Destination::parse(&args.reference, None)?;
    if let Destination::Archive(..) = destination {
        return Err(Error::new(ErrorKind::InvalidInput, &args.reference)
            .with_reason("an archive cannot take a manifest without its image")
            .with_hint("put it into a repository, the store or an `oci:PATH:NAME`"));
    }
    let media_type = args.media_type.as_deref().map(media_type).transpose()?;
    let name = destination.name("")?;
    let cancel = cancelled_by_signals();
    let path = args.file.clone();
    let reading = run_blocking("read", move || read(&path));
    let bytes = or_cancelled(&cancel, "put-manifest", reading).await??;
    let expected = match &name {
        ImageName::Digest(digest) => Some(digest),
        _ => None,
    };
    let declared = media_type.unwrap_or_else(|| MediaType::from(""));
    let document = Document::from_response(bytes, &declared, expected)
        .map_err(|error| error.at(args.file.display().to_string()))?;
    if !declared.as_str().is_empty() && document.descriptor().media_type != declared {
        let reason = format!("its `mediaType` is {}", document.descriptor().media_type);
        return Err(Error::new(ErrorKind::InvalidInput, args.file.display().to_string())
            .with_reason(reason)
            .with_hint("leave out `--media-type`"));
    }
    let putting = async {
        // A missing store or layout is not created for a manifest that is refused.
        let target = destination.open_for_plan(settings).await?;
        target.check_document(&document)?;
        check_target(&*target, &document).await?;
        let target = match destination {
            Destination::Registry { .. } => target,
            _ => destination.open(settings, 1, false).await?,
        };
        put_document(&*target, &document, name).await
    };
    or_cancelled(&cancel, "put-manifest", Box::pin(putting)).await??;
    print(&args.reference, &destination, &document, settings)?;
    Ok(ExitCode::SUCCESS)
}

fn print(
    typed: &str,
    destination: &Destination,
    document: &Document,
    settings: &Settings,
) -> Result<()> {
    let reference = destination.reference().unwrap_or_else(|| typed.to_owned());
    let Descriptor { digest, size, media_type, .. } = document.descriptor();
    if settings.json {
        return output::json(&json!({
            "reference": reference, "digest": digest, "size": size, "media_type": media_type,
        }));
    }
    if !settings.quiet {
        note(&format!("put {media_type} as {reference}"));
    }
    output::line(digest.as_str())
}

fn media_type(text: &str) -> Result<MediaType> {
    let media_type = MediaType::from_header(text);
    if media_type.is_document() {
        return Ok(media_type);
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("media type `{text}`")).with_reason(format!(
        "expected that of a manifest or index, such as {}",
        MediaType::OCI_MANIFEST
    )))
}

fn read(path: &Path) -> Result<Bytes> {
    let mut bytes = Vec::new();
    // One more, so that a larger document is refused as such.
    let reading =
        open_input(path).and_then(|file| file.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes));
    reading.map_err(|error| read_failed(path, error))?;
    Ok(bytes.into())
}

/// Refuses a document whose content is missing at the target. Of an index, manifests may be missing: not every registry
/// refuses that.
async fn check_target(target: &dyn Target, document: &Document) -> Result<()> {
    let asked = document.blobs().chain(document.children()).filter(|content| !content.is_foreign());
    let asking = asked.map(|content| async move {
        Ok::<_, Error>((is_missing(target, content).await?).then(|| content.digest.clone()))
    });
    let asking = stream::iter(asking.collect::<Vec<_>>()).buffered(CONCURRENT_REQUESTS);
    let missing: HashSet<Digest> =
        asking.try_filter_map(async |found| Ok(found)).try_collect().await?;
    let location = &target.endpoint().location;
    let is_there = |content: &Descriptor| Ok(!missing.contains(&content.digest));
    check_content(document, location, is_there).map_err(|error| {
        Error::new(ErrorKind::NotFound, error.what())
            .at(location)
            .with_reason(error.reason())
            .with_missing(error.missing().to_vec())
            .with_hint("put it first, with `rpull put-blob` or `rpull put-manifest`")
    })?;
    for digest in document.children().map(|child| &child.digest) {
        if missing.contains(digest) {
            tracing::warn!("the index lists {digest}, which is not at {location}");
        }
    }
    Ok(())
}

/// Whether the target says that it lacks this content.
async fn is_missing(target: &dyn Target, content: &Descriptor) -> Result<bool> {
    if content.media_type.is_document() {
        let name = ImageName::Digest(content.digest.clone());
        return Ok(matches!(target.name(&name, Effort::Request).await?, Presence::Absent));
    }
    let found = target.blob(content, Effort::Request).await?;
    Ok(matches!(found, BlobPresence::Absent | BlobPresence::Partial(_)))
}
