//! `artifact pull`: writes the files of an artifact.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output_dir::OutputDir;
use super::title::{DIRECTORY, TAR_DIGEST, Title, UNPACK};
use crate::annotation;
use crate::atomic_file::{AtomicFile, Fsync};
use crate::blocking::run_cancellable;
use crate::cli::args::artifact::ArtifactPull;
use crate::cli::image::open::{OpenedLocation, open};
use crate::cli::image::store_hint::StoreHint;
use crate::cli::labels;
use crate::cli::output::{self, note, write_failed};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::size::{plural, size};
use crate::control::{Control, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest};
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::{LayerBlob, failed};
use crate::layer::diff_id_of;
use crate::location::DefaultLocation;
use crate::progress::Phase;
use crate::transfer::{TransferOptions, read_blob, read_elsewhere};
use crate::unpack::{BuildOptions, RootBuilder};

pub(super) async fn run(args: ArtifactPull, settings: &Settings) -> Result<ExitCode> {
    let settings = &interruptible(&labels::PULL, settings);
    let pulling = pull(&args, settings);
    let ended = or_cancelled(&settings.control.cancel, "artifact pull", pulling).await;
    ended.and_then(|pulled| pulled).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => error.with_hint("run the same command again to pull all files"),
        _ => error,
    })
}

async fn pull(args: &ArtifactPull, settings: &Settings) -> Result<ExitCode> {
    let reading = async {
        let opened = open(&args.reference, DefaultLocation::Registry, settings).await?;
        let document = opened.source.resolve(&opened.name).await?;
        Ok((opened, document))
    };
    let (opened, document) = StoreHint::new(&args.reference, settings).around(reading).await?;
    let blobs = titled(&document, &opened.reference)?;
    let mut directory = OutputDir::open(&args.output)?;
    blobs.iter().try_for_each(|(title, blob)| directory.check(title, is_unpacked(title, blob)))?;
    let bytes = blobs.iter().map(|(_, blob)| blob.size).sum();
    let counter = PhaseCounter::new(&settings.control, Phase::Fetch, bytes);
    for (title, blob) in &blobs {
        let from = BlobSource { opened: &opened, blob, counter: &counter };
        if is_unpacked(title, blob) {
            unpack(from, title, &mut directory, settings).await?;
        } else {
            write(from, title, &mut directory, settings).await?;
        }
    }
    drop(counter);
    if settings.json {
        let files = blobs.iter().map(|(title, blob)| json_of(&directory, title, blob));
        output::json(&json!({
            "reference": opened.reference,
            "digest": document.digest(),
            "files": files.collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (title, _) in &blobs {
        output::line(&directory.path_of(title).display().to_string())?;
    }
    if !settings.quiet {
        note(&format!("pulled {}, {}", plural(blobs.len() as u64, "file"), size(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

fn json_of(directory: &OutputDir, title: &Title, blob: &Descriptor) -> Value {
    json!({
        "title": title.to_string(),
        "path": directory.path_of(title),
        "media_type": blob.media_type,
        "digest": blob.digest,
        "size": blob.size,
    })
}

/// The blobs with titles. All titles are checked before anything is written.
fn titled(document: &Document, reference: &str) -> Result<Vec<(Title, Descriptor)>> {
    let blobs: &[Descriptor] = match document.parsed() {
        ParsedDocument::Manifest(manifest) => &manifest.layers,
        ParsedDocument::Artifact(artifact) => &artifact.blobs,
        ParsedDocument::Index(_) => {
            return Err(Error::new(ErrorKind::Unsupported, reference)
                .with_reason("is an index, and not an artifact with files"));
        }
    };
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for blob in blobs {
        let Some(text) = blob.annotations.get(annotation::TITLE) else { continue };
        let title = Title::parse(text).map_err(|error| error.at(reference))?;
        if !seen.insert(title.clone()) {
            return Err(Error::new(ErrorKind::InvalidDocument, reference)
                .with_reason(format!("two files have the title `{title}`")));
        }
        found.push((title, blob.clone()));
    }
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, reference)
            .with_reason("has no files: none of its blobs has a title")
            .with_hint("run `rpull inspect` to see what it has"));
    }
    Ok(found)
}

/// Whether the blob is the tar of a directory. The Python client of oras says so by the type alone.
fn is_unpacked(title: &Title, blob: &Descriptor) -> bool {
    let is_archive = [".gz", ".tgz", ".tar"].iter().any(|end| title.split().1.ends_with(end));
    match blob.annotations.get(UNPACK) {
        Some(value) => value.eq_ignore_ascii_case("true"),
        None => blob.media_type == DIRECTORY && !is_archive,
    }
}

/// A blob of the artifact, whose bytes are counted as they arrive.
#[derive(Clone, Copy)]
struct BlobSource<'a> {
    opened: &'a OpenedLocation,
    blob: &'a Descriptor,
    counter: &'a PhaseCounter,
}

impl BlobSource<'_> {
    /// Writes the bytes, which are verified once this has succeeded.
    async fn copy_to(
        self,
        mut out: &File,
        settings: &Settings,
        failed: impl Fn(io::Error) -> Error + Send + Sync,
    ) -> Result<()> {
        let mut written = 0;
        let read = async || {
            self.counter.take_back(written);
            written = 0;
            out.rewind().and_then(|()| out.set_len(0)).map_err(&failed)?;
            let mut sink = |chunk: &[u8]| {
                self.counter.add(chunk.len() as u64)?;
                written += chunk.len() as u64;
                out.write_all(chunk).map_err(&failed)
            };
            let options = TransferOptions { retry: settings.retry, ..TransferOptions::default() };
            read_blob(&*self.opened.source, self.blob, options, &mut sink).await
        };
        read_elsewhere(read).await
    }
}

/// Writes a file, which appears when it is complete and verified.
async fn write(
    from: BlobSource<'_>,
    title: &Title,
    directory: &mut OutputDir,
    settings: &Settings,
) -> Result<()> {
    let path = directory.path_of(title);
    let failed = |error| write_failed(&path, error);
    let parent = directory.parent(title)?;
    let temporary = format!(".rpull-{:016x}", fastrand::u64(..)).into();
    let name = Path::new(title.split().1);
    let file = AtomicFile::create_as(parent.as_fd(), name, temporary, 0o666).map_err(failed)?;
    from.copy_to(file.file(), settings, failed).await?;
    file.publish(Fsync::None).map_err(failed)
}

/// Unpacks the tar of a directory, which appears when it is complete and verified.
async fn unpack(
    from: BlobSource<'_>,
    title: &Title,
    directory: &mut OutputDir,
    settings: &Settings,
) -> Result<()> {
    let failed = |error| write_failed(directory.path(), error);
    let staging = tempfile::Builder::new().prefix(".rpull-").tempdir_in(directory.path());
    let staging = staging.map_err(failed)?;
    let tar = tempfile::tempfile_in(staging.path()).map_err(failed)?;
    from.copy_to(&tar, settings, failed).await?;
    let blob = from.blob;
    let (name, size, root) = (title.to_string(), blob.size, staging.path().join("root"));
    let expected = blob.annotations.get(TAR_DIGEST).map(|text| text.parse()).transpose()?;
    let into = root.clone();
    let build = move |control: &Control| build(&tar, (name, size), expected, &into, control);
    run_cancellable(&settings.control, "artifact pull", build).await?;
    // oras puts the name of the directory into the tar, others only what is in it.
    let inner = root.join(title.to_string());
    let is_inside = inner.symlink_metadata().is_ok_and(|found| found.is_dir())
        && inner.canonicalize().is_ok_and(|real| {
            root.canonicalize().is_ok_and(|root| real == root.join(title.to_string()))
        });
    let made = if is_inside { inner } else { root };
    directory.publish(&made, title)
}

fn build(
    tar: &File,
    (name, size): (String, u64),
    expected: Option<Digest>,
    root: &Path,
    control: &Control,
) -> Result<()> {
    let open = |error| failed(&name, "", error);
    let reader = || {
        let mut tar = tar.try_clone()?;
        io::Seek::rewind(&mut tar)?;
        Ok(tar)
    };
    let diff_id = match expected {
        Some(digest) => digest,
        None => diff_id_of(reader().map_err(open)?, Algorithm::Sha256).map_err(open)?,
    };
    let tar = reader().map_err(open)?;
    let layer = LayerBlob::new(&name, diff_id, size, Box::new(move |_| Ok(Box::new(tar))));
    let builder = RootBuilder::begin(root)?;
    builder.apply(vec![layer], BuildOptions::default(), control, || Ok(())).map(drop)
}
