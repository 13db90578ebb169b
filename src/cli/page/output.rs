//! Where a page is written: a file that appears when it is complete, or stdout.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::atomic_file::{AtomicFile, Fsync};
use crate::cli::output::{check_write, line, redactor, write_failed};
use crate::cli::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::Text;
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

    /// Writes the page, without the secrets of this run.
    pub(in crate::cli) fn write(self, page: &str) -> Result<Option<PathBuf>> {
        let page = redactor().redact(page, Text::Result).into_owned();
        let page = page.as_bytes();
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout();
                check_write(stdout.write_all(page).and_then(|()| stdout.flush()))?;
                Ok(None)
            }
            Self::Special(path) => {
                let written = File::options().write(true).open(&path);
                let written = written.and_then(|mut file| file.write_all(page));
                written.map_err(|error| write_failed(&path, error))?;
                Ok(Some(path))
            }
            Self::File(file, path) => {
                let written = file.file().write_all(page).and_then(|()| file.publish(Fsync::None));
                written.map_err(|error| write_failed(&path, error))?;
                Ok(Some(path))
            }
        }
    }
}

/// Prints the name of a page that was written to a file.
pub(in crate::cli) fn page_written(path: Option<&Path>) -> Result<()> {
    path.map_or(Ok(()), |path| line(&crate::escape(&path.display().to_string())))
}
