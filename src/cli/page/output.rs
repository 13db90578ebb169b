//! Where a page is written: a file that appears when it is complete, or stdout.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::atomic_file::{AtomicFile, Fsync};
use crate::blocking::run_blocking;
use crate::cli::output::{check_write, line, open_special, redactor, write_failed};
use crate::cli::settings::Settings;
use crate::cli::signals::or_cancelled;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::TextKind;
use crate::symlinks::resolve_symlinks;

/// The file of a page for which none was named, while stdout is a terminal.
const DEFAULT_NAME: &str = "rpull-report.html";

/// An open output.
pub(in crate::cli) enum PageOutput {
    Stdout,
    /// A device or a named pipe, which is written to and not replaced.
    Special(PathBuf),
    File(AtomicFile<'static>, PathBuf),
}

impl PageOutput {
    /// Opens the file of an option, before there is a page. Without the option a page goes to stdout, or if that is a
    /// terminal to a new file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it cannot be a page, [`ErrorKind::Store`] if it cannot be created.
    pub(in crate::cli) fn open(path: Option<&Path>, settings: &Settings) -> Result<Self> {
        let refuse = |what: &str, reason: &str| {
            Error::new(ErrorKind::InvalidInput, format!("output `{what}`")).with_reason(reason)
        };
        let is_terminal = io::stdout().is_terminal();
        let path = match path {
            Some(path) if path.as_os_str() != "-" => path.to_owned(),
            None if is_terminal => {
                if Path::new(DEFAULT_NAME).symlink_metadata().is_ok() {
                    let error = refuse(DEFAULT_NAME, "already exists");
                    return Err(error.with_hint("use `-o FILE` to choose a name, or to replace it"));
                }
                PathBuf::from(DEFAULT_NAME)
            }
            _ if settings.json => {
                return Err(refuse("-", "cannot write both the page and JSON to stdout"));
            }
            Some(_) if is_terminal => {
                return Err(refuse("-", "refusing to write a page to the terminal")
                    .with_hint("use `-o FILE`, or redirect stdout"));
            }
            _ => return Ok(Self::Stdout),
        };
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                Err(refuse(&path.display().to_string(), "is a directory"))
            }
            Ok(found) if !found.is_file() => Ok(Self::Special(path)),
            _ => {
                let fail = |error| write_failed(&path, error);
                let target = resolve_symlinks(&path).map_err(fail)?;
                let file = AtomicFile::create(&target, 0o666).map_err(fail)?;
                Ok(Self::File(file, path))
            }
        }
    }

    /// Writes the page, without the secrets of this run. Returns the file, if it was one.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if it cannot be written, [`ErrorKind::Interrupted`].
    pub(in crate::cli) async fn write(
        self,
        page: &str,
        settings: &Settings,
    ) -> Result<Option<PathBuf>> {
        let page = redactor().redact(page, TextKind::Result).into_owned();
        match self {
            Self::Special(path) => {
                or_cancelled(&settings.control.cancel, "write", write_special(&path, page))
                    .await??;
                Ok(Some(path))
            }
            Self::Stdout => {
                let mut stdout = io::stdout();
                check_write(stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()))?;
                Ok(None)
            }
            Self::File(file, path) => {
                let written = file.file().write_all(page.as_bytes());
                let written = written.and_then(|()| file.publish(Fsync::None));
                written.map_err(|error| write_failed(&path, error))?;
                Ok(Some(path))
            }
        }
    }
}

/// Writes to a device or named pipe. Its reader may be slow, or leave before the end.
async fn write_special(path: &Path, page: String) -> Result<()> {
    let (mut file, path) = (open_special(path).await?, path.to_owned());
    let write = move || match file.write_all(page.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| write_failed(&path, error)),
    };
    run_blocking("write", write).await
}

/// Prints the name of a page that was written to a file.
pub(in crate::cli) fn page_written(path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| line(&path.display().to_string()))
}
