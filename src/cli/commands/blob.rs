//! `blob`: one blob to stdout or a file, verified.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::open::registry;
use crate::cli::args::Blob;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::content::{Name, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::place::{Place, PlainMeans};
use crate::transfer::{Options, read_blob};

pub(in crate::cli) async fn run(args: Blob, settings: &Settings) -> Result<ExitCode> {
    let (source, digest) = find(&args.image, settings).await?;
    let descriptor = source.stat(&digest).await?;
    let options = Options { retry: settings.retry, ..Options::default() };
    match &args.output {
        Some(path) => to_file(&*source, &descriptor, options, path).await?,
        None => to_stdout(&*source, &descriptor, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The file appears when it is whole and verified.
async fn to_file(
    source: &dyn Source,
    blob: &Descriptor,
    options: Options,
    path: &Path,
) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let fail = write_failed(path);
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(&fail)?;
    read_blob(source, blob, options, &mut |piece| file.write_all(piece).map_err(&fail)).await?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// What a pipe got cannot be taken back, so the last piece is withheld until the digest agrees.
async fn to_stdout(source: &dyn Source, blob: &Descriptor, options: Options) -> Result<()> {
    let mut held = Vec::new();
    let mut pass = |piece: &[u8]| {
        let ready = std::mem::replace(&mut held, piece.to_vec());
        output::raw(&ready)
    };
    read_blob(source, blob, options, &mut pass).await?;
    output::raw(&held)
}

/// Where the blob is: the store, else the registry, unless the place says which.
async fn find(text: &str, settings: &Settings) -> Result<(Arc<dyn Source>, Digest)> {
    let (reference, stored) = match Place::parse(text, PlainMeans::Either)? {
        Place::Layout { path, name: Name::Digest(digest) } => {
            return Ok((Arc::new(Layout::open(&path)?), digest));
        }
        Place::Archive { form, path, name: Name::Digest(digest) } => {
            return Ok((Arc::new(super::archive::read(path, Some(form)).await?), digest));
        }
        Place::Layout { .. } | Place::Archive { .. } => return Err(no_digest(text)),
        Place::Store(reference) => {
            let store = settings.store_with(&reference.to_string())?;
            return Ok((store, reference.digest().cloned().ok_or_else(|| no_digest(text))?));
        }
        Place::Registry(reference) => (reference, None),
        Place::Either(reference) => (reference, settings.existing_store()?),
    };
    let digest = reference.digest().cloned().ok_or_else(|| no_digest(text))?;
    match stored {
        Some(store) if store.stat(&digest).await.is_ok() => Ok((store, digest)),
        _ => Ok((registry(&reference, settings)?.source, digest)),
    }
}

fn no_digest(text: &str) -> Error {
    Error::new(ErrorKind::Reference, format!("blob '{text}'")).because("expected IMAGE@DIGEST")
}

fn write_failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let place = path.display().to_string();
    move |error| Error::new(ErrorKind::Store, "write").at(&place).caused_by(error)
}
