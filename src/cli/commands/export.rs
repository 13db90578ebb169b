//! `export`: writes an image's file system as one tar, to a file or stdout.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::fstat;

use crate::archive::{ArchiveFile, ArchiveOutput, io_error};
use crate::cli::args::Export;
use crate::cli::image::ensure_local::{EnsureLocal, StorePolicy};
use crate::cli::image::layer_blobs::layer_blobs;
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::{
    json_of, layer_rows, print_summary, run_with_progress, with_layer,
};
use crate::cli::run::new_archive::{archive_output, check_stdout};
use crate::cli::run::transfer_run::interruptible;
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::cli::{labels, output};
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::flatten::Tree;
use crate::image_layers::LayerBlob;
use crate::limits::BUFFER_SIZE;
use crate::unpack::Unpacked;

/// The destination of the tar.
struct ExportFile {
    path: PathBuf,
    to: TarOutput,
}

enum TarOutput {
    Stdout(File),
    /// A device or a named pipe. It is opened for the first write: a pipe may have no reader yet.
    Special,
    /// A file that is renamed into place when it is complete.
    Atomic(ArchiveFile),
}

pub(in crate::cli) async fn run(args: Export, settings: &Settings) -> Result<ExitCode> {
    let path = args.output.as_deref().filter(|path| !is_stdout(path)).unwrap_or(Path::new("-"));
    let output = archive_output(path);
    check_stdout(&output, settings)?;
    let settings = &interruptible(&labels::PULL, settings);
    let control = &settings.control;
    // Check the arguments before the first request.
    let target = ExportFile::open(output)?;
    let request = EnsureLocal {
        verb: "export",
        image: &args.image,
        platform: args.platform.platform.as_deref(),
        pull: None,
        // The layers are read twice.
        keep: StorePolicy::Always,
        sync: args.sync,
    };
    let mut image = request.open(settings).await?;
    let start = Instant::now();
    let tree = Arc::new(read(&mut image, settings).await?);
    let written = write(&image, &tree, target, args.sync, settings).await?;
    if let Err(error) = written {
        return Err(with_layer(&image, settings, &control.cancel, error).await);
    }
    print_result(&image, &tree, path, start.elapsed(), settings).await
}

/// Reads the layers into a tree; the output is written afterwards.
async fn read(image: &mut OpenedImage, settings: &Settings) -> Result<Tree> {
    let layers = layer_blobs(image, settings.retry)?;
    if let Some(arriving) = &image.arriving {
        // After the download the layout has the whole image.
        image.opened.layout = Some(arriving.layout());
    }
    let work = move |control: &Control| Tree::read(layers, control).map_err(with_command);
    run_with_progress(image, settings, &settings.control, work).await
}

async fn write(
    image: &OpenedImage,
    tree: &Arc<Tree>,
    target: ExportFile,
    sync: bool,
    settings: &Settings,
) -> Result<Result<()>> {
    let layers = layer_blobs(image, settings.retry)?;
    let control = &settings.control;
    let is_file = matches!(target.to, TarOutput::Atomic(_));
    let work = {
        let (tree, control) = (Arc::clone(tree), control.clone());
        move || target.write_tree(&tree, layers, sync, &control)
    };
    let work = tokio::task::spawn_blocking(work);
    let written = if is_file {
        // Wait for the removal of the incomplete file.
        work.await
    } else {
        // The reader may be slow; signals must be handled meanwhile.
        or_cancelled(&control.cancel, "export", work).await?
    };
    let written = written.map_err(stopped)?;
    Ok(written.map_err(with_command))
}

impl ExportFile {
    fn open(output: ArchiveOutput) -> Result<Self> {
        Ok(match output {
            ArchiveOutput::Stdout => {
                let path = PathBuf::from("stdout");
                let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
                let file = file.map_err(|error| io_error("open", &path, error))?;
                Self { path, to: TarOutput::Stdout(file) }
            }
            ArchiveOutput::File(path) if is_special(&path) => Self { path, to: TarOutput::Special },
            ArchiveOutput::File(path) => {
                Self { to: TarOutput::Atomic(ArchiveFile::create(&path)?), path }
            }
        })
    }

    fn write_tree(
        self,
        tree: &Tree,
        layers: Vec<LayerBlob<'_>>,
        sync: bool,
        control: &Control,
    ) -> Result<()> {
        let Self { path, to } = self;
        let fail = |error| io_error("write", &path, error);
        let (file, atomic) = match to {
            TarOutput::Stdout(file) => (Ok(file), None),
            TarOutput::Special => (File::options().write(true).open(&path), None),
            TarOutput::Atomic(atomic) => (atomic.file().try_clone(), Some(atomic)),
        };
        let file = file.map_err(|error| io_error("open", &path, error))?;
        let mut out = BufWriter::with_capacity(BUFFER_SIZE, file);
        tree.write(layers, control, &mut |bytes| out.write_all(bytes).map_err(fail))?;
        out.flush().map_err(fail)?;
        atomic.map_or(Ok(()), |atomic| atomic.publish(sync))
    }
}

/// Whether the path is the same file as stdout: `/dev/stdout`.
fn is_stdout(path: &Path) -> bool {
    let (Ok(found), Ok(own)) = (path.metadata(), fstat(io::stdout())) else { return false };
    (found.dev(), found.ino()) == (own.st_dev, own.st_ino)
}

/// Whether the path is written to and not replaced: `/dev/null`, a named pipe.
fn is_special(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.file_type().is_char_device() || found.file_type().is_fifo())
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unpack, "export").with_source(error)
}

/// Adds the command to an interruption: the layer reader does not know it.
fn with_command(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted => Error::new(error.kind(), "export").with_reason("interrupted"),
        _ => error,
    }
}

async fn print_result(
    image: &OpenedImage,
    tree: &Tree,
    path: &Path,
    took: Duration,
    settings: &Settings,
) -> Result<ExitCode> {
    let receipt = Unpacked {
        entries: tree.shown.entries,
        files: tree.shown.files,
        bytes: tree.shown.bytes,
        skipped: tree.skipped.clone(),
    };
    print_summary("exported", tree.sizes.len(), &receipt, took, settings);
    if settings.json {
        let layers = layer_rows(image, &tree.sizes)?;
        output::json(&json_of(image, ("file", path), layers, &receipt, took).await)?;
    } else if path.as_os_str() != "-" {
        output::line(&path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
