//! `blob`: one blob to stdout or a file, verified.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::atomic_file::{AtomicFile, Fsync};
use crate::cli::args::Blob;
use crate::cli::image::open::{Stored, error_after_fallback, open_archive};
use crate::cli::output::{open_special, write_failed};
use crate::cli::settings::{ForeignLayers, Settings};
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::cli::withheld::Withheld;
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::engine_store;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::location::{DefaultLocation, Location};
use crate::name::ImageName;
use crate::retry::RetryPolicy;
use crate::symlinks::resolve_symlinks;
use crate::transfer::{TransferOptions, read_blob, read_elsewhere};

pub(in crate::cli) async fn run(args: Blob, settings: &Settings) -> Result<ExitCode> {
    let is_stdout = args.output.as_ref().is_none_or(|path| path.as_os_str() == "-");
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(Error::new(ErrorKind::InvalidInput, "output")
            .with_reason("refusing to write a blob to the terminal")
            .with_hint("redirect stdout, or pass `-o FILE`, or `-o -` for the terminal"));
    }
    let (source, descriptor) = find(&args.image, settings).await?;
    let read = BlobReader { source: &*source, blob: &descriptor, retry: settings.retry };
    let Some(path) = args.output.as_ref().filter(|_| !is_stdout) else {
        let fail = |error| Error::new(ErrorKind::Store, "stdout").with_source(error);
        read.to_stream(&mut io::stdout(), &fail).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let fail = |error| write_failed(path, error);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut file = open_special(path).await?;
        read.to_stream(&mut file, &fail).await?;
    } else {
        let cancel = cancelled_by_signals();
        let path = resolve_symlinks(path).map_err(&fail)?;
        let writing = read_elsewhere(async || read.to_file(&path).await);
        or_cancelled(&cancel, "blob", writing).await??;
    }
    Ok(ExitCode::SUCCESS)
}

/// A blob to print.
struct BlobReader<'a> {
    source: &'a dyn Source,
    blob: &'a Descriptor,
    retry: RetryPolicy,
}

impl BlobReader<'_> {
    async fn read(&self, sink: &mut (dyn FnMut(&[u8]) -> Result<()> + Send)) -> Result<()> {
        let options = TransferOptions { retry: self.retry, ..TransferOptions::default() };
        read_blob(self.source, self.blob, options, sink).await
    }

    /// Writes to a file, which appears when it is complete and verified.
    async fn to_file(&self, path: &Path) -> Result<()> {
        let fail = |error| write_failed(path, error);
        let file = AtomicFile::create(path, 0o666).map_err(&fail)?;
        let mut out = file.file();
        self.read(&mut |chunk| out.write_all(chunk).map_err(&fail)).await?;
        file.publish(Fsync::None).map_err(&fail)
    }

    /// Writes to a stream. Its end is withheld until the digest is verified, and read from elsewhere if it is wrong and
    /// nothing was written yet.
    ///
    /// A reader that closes the pipe (`… | head`) ends the transfer without an error.
    async fn to_stream(
        &self,
        out: &mut (dyn Write + Send),
        fail: &(dyn Fn(io::Error) -> Error + Sync),
    ) -> Result<()> {
        loop {
            let mut withheld = Withheld::new(&mut *out);
            let read = self.read(&mut |chunk| withheld.write_all(chunk).map_err(fail)).await;
            return match read {
                _ if withheld.is_closed() => Ok(()),
                Ok(()) => withheld.finish().map_err(fail),
                Err(error) if withheld.can_start_again(&error) => continue,
                Err(error) => Err(error),
            };
        }
    }
}

/// Finds the blob and its size: in the given location, else in the store, else in the registry.
async fn find(text: &str, settings: &Settings) -> Result<(Arc<dyn Source>, Descriptor)> {
    let (reference, stored) = match Location::parse(text, DefaultLocation::StoreOrRegistry)? {
        Location::Layout { path, name: ImageName::Digest(digest) } => {
            let layout = Layout::open_with_control(&path, &settings.control)?;
            let blob = layout.stat_blob(&digest)?;
            return Ok((Arc::new(layout), blob));
        }
        Location::Archive { format, path, name: ImageName::Digest(digest) } => {
            let archive = open_archive(path, Some(format), settings).await?;
            let blob = archive.stat_blob(&digest).await?;
            return Ok((Arc::new(archive), blob));
        }
        Location::Engine { engine, path, name: ImageName::Digest(digest) } => {
            let store = engine_store::open(engine, &path).await?;
            let blob = store.stat_blob(&digest).await?;
            return Ok((store, blob));
        }
        Location::Id { .. }
        | Location::Layout { .. }
        | Location::Archive { .. }
        | Location::Engine { .. } => {
            return Err(no_digest(text));
        }
        Location::Store(reference) => {
            let store = settings.store_with(&reference.to_string())?;
            let digest = reference.digest().cloned().ok_or_else(|| no_digest(text))?;
            let blob = store.stat_blob(&digest)?;
            return Ok((store, blob));
        }
        Location::Registry(reference) => (reference, Stored::Absent),
        Location::StoreOrRegistry(reference) => {
            (reference, Stored::check(settings.store_if_any(), settings)?)
        }
    };
    let digest = reference.digest().cloned().ok_or_else(|| no_digest(text))?;
    let damage = match stored {
        Stored::Present(store) => match store.stat_blob(&digest) {
            Ok(blob) => return Ok((store, blob)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(error),
        },
        Stored::Absent => None,
        Stored::Incomplete(error) | Stored::Damaged(error) => Some(error),
    };
    let repository =
        settings.client(&reference.to_string(), ForeignLayers::Fetch)?.repository(&reference)?;
    let blob =
        repository.stat_blob(&digest).await.map_err(|error| error_after_fallback(damage, error))?;
    Ok((Arc::new(repository), blob))
}

fn no_digest(text: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("blob `{text}`"))
        .with_reason("expected IMAGE@DIGEST")
}
