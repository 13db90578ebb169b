//! `export`: an image's files as one tar, in a file or on standard output; nothing else is written.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use tokio_util::sync::CancellationToken;

use super::bring::{Bring, Keep};
use super::layer_blobs::layer_blobs;
use super::open::Image;
use super::unpacked::{attend, json_of, note_receipt, rows, told};
use crate::archive::{Draft, Output, failed};
use crate::cli::args::Export;
use crate::cli::meter::{LateMeter, Meter};
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::signals::{self, unless_cancelled};
use crate::error::{Error, ErrorKind, Result};
use crate::flatten::Tree;
use crate::unpack::{LayerBlob, Unpacked};

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

/// Where the tar goes.
struct Target {
    path: PathBuf,
    to: Sink,
}

enum Sink {
    Stdout(File),
    /// A device or a pipe with a name, which is opened when there is something to write: a pipe may have no reader yet.
    Special,
    /// What gets its name when all is written.
    Draft(Draft),
}

pub(in crate::cli) async fn run(args: Export, settings: &Settings) -> Result<ExitCode> {
    let path = args.output.as_deref().filter(|path| !is_stdout(path)).unwrap_or(Path::new("-"));
    let output = super::save::output(path, false, settings)?;
    let cancel = signals::cancelled_by_signals();
    // What was typed is judged before anything is asked of anybody.
    let target = Target::open(output)?;
    let bring = Bring {
        verb: "export",
        image: &args.image,
        platform: args.platform.platform.as_deref(),
        pull: None,
        // Its layers are read twice.
        keep: Keep::Everything,
        sync: args.sync,
    };
    let mut image = bring.open(settings, &cancel).await?;
    let start = Instant::now();
    let tree = Arc::new(read(&mut image, settings, &cancel).await?);
    let written = write(&image, &tree, target, args.sync, settings, &cancel).await?;
    if let Err(failed) = written {
        return Err(told(&image, settings, &cancel, failed).await);
    }
    tell(&image, &tree, path, start.elapsed(), settings).await
}

/// Learns what the image shows; nothing is written before that is known.
async fn read(image: &mut Image, settings: &Settings, cancel: &CancellationToken) -> Result<Tree> {
    let layers = layer_blobs(image, settings.retry, cancel)?;
    let total = image.manifest()?.layers.iter().map(|layer| layer.size).sum();
    if let Some(arriving) = &image.arriving {
        // It has all of the image when that was read.
        image.opened.layout = Some(arriving.layout());
    }
    let cancelled = cancel.clone();
    let work = move |meter: &LateMeter| {
        let watch = |bytes| {
            meter.add(bytes);
            !cancelled.is_cancelled()
        };
        Tree::read(layers, &watch).map_err(|(number, error)| (number, named(error)))
    };
    attend(image, settings, cancel, LateMeter::new("reading", total), work).await
}

async fn write(
    image: &Image,
    tree: &Arc<Tree>,
    target: Target,
    sync: bool,
    settings: &Settings,
    cancel: &CancellationToken,
) -> Result<Result<(), (usize, Error)>> {
    let layers = layer_blobs(image, settings.retry, cancel)?;
    let meter = Meter::new(settings.show, "exporting", tree.shown.bytes);
    let is_file = matches!(target.to, Sink::Draft(_));
    let (tree, cancelled) = (Arc::clone(tree), cancel.clone());
    let work = move || target.fill(&tree, layers, sync, &meter, &cancelled);
    let work = tokio::task::spawn_blocking(work);
    let written = if is_file {
        // What is there of it goes before this ends.
        work.await
    } else {
        // Whoever reads may take their time; signals must be heard meanwhile.
        unless_cancelled(cancel, "export", work).await?
    };
    let written = written.map_err(stopped)?;
    Ok(written.map_err(|(number, error)| (number, named(error))))
}

impl Target {
    fn open(output: Output) -> Result<Self> {
        Ok(match output {
            Output::Stdout => {
                let path = PathBuf::from("stdout");
                let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
                let file = file.map_err(|error| failed("open", &path, error))?;
                Self { path, to: Sink::Stdout(file) }
            }
            Output::File(path) if is_special(&path) => Self { path, to: Sink::Special },
            Output::File(path) => Self { to: Sink::Draft(Draft::of(&path)?), path },
        })
    }

    fn fill(
        self,
        tree: &Tree,
        layers: Vec<LayerBlob<'_>>,
        sync: bool,
        meter: &Meter,
        cancel: &CancellationToken,
    ) -> Result<(), (usize, Error)> {
        let Self { path, to } = self;
        let fail = |error| failed("write", &path, error);
        let early = |error| (usize::MAX, error);
        let (file, draft) = match to {
            Sink::Stdout(file) => (Ok(file), None),
            Sink::Special => (File::options().write(true).open(&path), None),
            Sink::Draft(draft) => (draft.file().try_clone(), Some(draft)),
        };
        let file = file.map_err(|error| early(failed("open", &path, error)))?;
        let mut out = BufWriter::with_capacity(PIECE, file);
        let mut done = 0;
        tree.write(layers, &|_| !cancel.is_cancelled(), &mut |bytes| {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Interrupted, "export"));
            }
            done += bytes.len() as u64;
            meter.set(done);
            out.write_all(bytes).map_err(fail)
        })?;
        out.flush().map_err(fail).map_err(early)?;
        draft.map_or(Ok(()), |draft| draft.publish(sync)).map_err(early)
    }
}

/// Whether a path leads to what standard output is: `/dev/stdout`.
fn is_stdout(path: &Path) -> bool {
    let (Ok(found), Ok(own)) = (path.metadata(), fstat(io::stdout())) else { return false };
    (found.dev(), found.ino()) == (own.st_dev, own.st_ino)
}

/// Whether a path leads to what is written to and not replaced: `/dev/null`, a pipe with a name.
fn is_special(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.file_type().is_char_device() || found.file_type().is_fifo())
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unpack, "export").caused_by(error)
}

/// Whoever reads layers does not know for what.
fn named(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => Error::new(error.kind(), "export").because("interrupted"),
        _ => error,
    }
}

async fn tell(
    image: &Image,
    tree: &Tree,
    path: &Path,
    took: Duration,
    settings: &Settings,
) -> Result<ExitCode> {
    let receipt = Unpacked {
        entries: tree.shown.entries,
        files: tree.shown.files,
        bytes: tree.shown.bytes,
        left_out: tree.left_out.clone(),
    };
    note_receipt("exported", tree.sizes.len(), &receipt, took, settings);
    if settings.json {
        let layers = rows(image, &tree.sizes)?;
        output::json(&json_of(image, ("file", path), layers, &receipt, took).await)?;
    } else if path.as_os_str() != "-" {
        output::line(&crate::escape(&path.display().to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}
