//! `load`: loads the images of an archive into the store.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::archive::Archive;
use crate::cli::args::{DeltaMode, Load};
use crate::cli::image::open::open_archive;
use crate::cli::run::deltas::with_deltas;
use crate::cli::run::destination::Destination;
use crate::cli::run::report::JsonShape;
use crate::cli::run::transfer_run::{TransferRun, interruptible, platforms_to_keep};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::{exit, labels};
use crate::content::{Lookup as _, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::image_delta::DELTA_ARTIFACT;
use crate::name::ImageName;
use crate::oci_layout_file;
use crate::reference::{Reference, is_pinned};
use crate::transfer::{ImageRequest, PlatformSelection};

pub(in crate::cli) async fn run(args: Load, settings: &Settings) -> Result<ExitCode> {
    let path = input(&args)?;
    let platforms = platforms_to_keep(&args.moving, PlatformSelection::FilteredIndex)?
        .unwrap_or(PlatformSelection::Available);
    let settings = &interruptible(&labels::LOAD, settings);
    let cancel = &settings.control.cancel;
    let run = TransferRun::parse("load", &args.moving, settings)?;
    let finding = async {
        let archive = Arc::new(open_archive(path, None, settings).await?);
        images(&archive, &platforms).await
    };
    let mut images = or_cancelled(cancel, "load", finding).await??;
    if images.image_requests.is_empty()
        && let Some(error) = images.failed.pop()
    {
        return Err(error);
    }
    let unread: Vec<ExitCode> = images.failed.iter().map(exit::report).collect();
    let destination = Destination::Store(None);
    let requests =
        with_deltas(images.image_requests, DeltaMode::Auto, &run, &destination, settings)?;
    let (code, _) = run.execute(&requests, &destination, JsonShape::List, settings).await?;
    Ok(unread.into_iter().next().filter(|_| code == ExitCode::SUCCESS).unwrap_or(code))
}

/// Returns the path of the archive, `-` for stdin.
fn input(args: &Load) -> Result<PathBuf> {
    if let Some(path) = args.file.as_ref().or(args.input.as_ref()) {
        check_file(path)?;
        return Ok(path.clone());
    }
    if std::io::stdin().is_terminal() {
        return Err(Error::new(ErrorKind::InvalidInput, "input `-`")
            .with_reason("refusing to read an archive from the terminal")
            .with_hint("name a FILE, or redirect stdin"));
    }
    Ok("-".into())
}

/// # Errors
/// [`ErrorKind::Store`] for a directory, [`ErrorKind::InvalidInput`] for a location; with the command to run instead.
fn check_file(path: &Path) -> Result<()> {
    let text = path.display().to_string();
    let failed = |kind, reason: &str, hint: String| {
        let error = Error::new(kind, "archive").at(&text).with_reason(reason);
        Err(error.with_hint(hint))
    };
    if path.join(oci_layout_file::NAME).exists() {
        let hint = format!("run `rpull copy oci:{text} store:NAME`");
        return failed(ErrorKind::Store, "is an image layout", hint);
    }
    if path.is_dir() {
        return failed(ErrorKind::Store, "is a directory", "name an archive file".to_owned());
    }
    match text.split_once(':') {
        _ if path.exists() => Ok(()),
        Some(("oci-archive" | "docker-archive", file)) => failed(
            ErrorKind::InvalidInput,
            "expected a path without a prefix",
            format!("run `rpull load {file}`"),
        ),
        Some(("oci" | "docker-daemon" | "docker-root" | "containerd-root", _)) => failed(
            ErrorKind::InvalidInput,
            "is not an archive file",
            format!("run `rpull copy {text} store:NAME`"),
        ),
        _ => Ok(()),
    }
}

/// The images of an archive.
#[derive(Default)]
struct Images {
    image_requests: Vec<ImageRequest>,
    /// Errors of images without a usable name whose digest cannot be read.
    failed: Vec<Error>,
}

/// The names of each image. Deltas are not images: they are used, and not stored.
async fn image_names(archive: &Archive) -> Vec<&[String]> {
    let mut found = Vec::new();
    for names in archive.names() {
        let pinned = names.iter().find(|name| is_pinned(name));
        let is_delta = match pinned {
            Some(name) => is_delta(archive, &ImageName::Layout(name.clone())).await,
            None => false,
        };
        if !is_delta {
            found.push(names);
        }
    }
    found
}

async fn is_delta(archive: &Archive, name: &ImageName) -> bool {
    let document = archive.resolve(name).await;
    document.is_ok_and(|document| {
        document.as_referrer().artifact_type.as_deref() == Some(DELTA_ARTIFACT)
    })
}

/// Lists every image of the archive once under each of its names; without a usable name, under its digest.
async fn images(archive: &Arc<Archive>, platforms: &PlatformSelection) -> Result<Images> {
    let request = |name, reference, target_name| ImageRequest {
        reference,
        target_name,
        platforms: platforms.clone(),
        ..ImageRequest::new(Arc::clone(archive) as Arc<dyn Source>, name)
    };
    let (mut images, mut unnamed) = (Images::default(), Vec::new());
    let mut seen = HashSet::new();
    for names in image_names(archive).await {
        let mut has_name = false;
        for name in names.iter().filter(|name| seen.insert(name.as_str())) {
            match name.parse::<Reference>() {
                Ok(reference) => {
                    has_name = true;
                    let (text, full) = (reference.to_string(), reference.store_name());
                    images.image_requests.push(request(
                        ImageName::Layout(name.clone()),
                        text,
                        ImageName::Layout(full),
                    ));
                }
                Err(error) => {
                    let (location, reason) = (&archive.endpoint().location, error.reason());
                    tracing::warn!("{location}: skipping the invalid name `{name}`: {reason}");
                    if !has_name {
                        unnamed.push(name);
                    }
                }
            }
        }
        if has_name {
            unnamed.retain(|name| !names.contains(name));
        }
    }
    let mut digests = archive.nameless().await?;
    for name in unnamed {
        let document = archive.resolve(&ImageName::Layout(name.clone())).await;
        digests.push(document.map(|document| document.digest().clone()));
    }
    let mut seen = HashSet::new();
    for digest in digests {
        match digest {
            Ok(digest) if seen.insert(digest.clone()) => {
                let name = || ImageName::Digest(digest.clone());
                images.image_requests.push(request(name(), digest.to_string(), name()));
            }
            Ok(_) => {}
            Err(error) => images.failed.push(error.at(&archive.endpoint().location)),
        }
    }
    if images.image_requests.is_empty() && images.failed.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "load")
            .at(&archive.endpoint().location)
            .with_reason("the archive contains no images"));
    }
    Ok(images)
}
