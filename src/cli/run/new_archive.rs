//! Options of an archive that is to be written.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use crate::archive::{self, ArchiveFormat, ArchiveOutput, WriteOptions};
use crate::cli::cutoff::source_date_epoch;
use crate::cli::settings::Settings;
use crate::content::Target;
use crate::control::Control;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// An archive that is to be written.
pub(in crate::cli) struct NewArchive {
    output: ArchiveOutput,
    format: ArchiveFormat,
    hybrid: bool,
    omitted: HashSet<Digest>,
    modified: u64,
}

impl NewArchive {
    /// An archive in one format.
    pub(in crate::cli) fn new(format: ArchiveFormat, output: ArchiveOutput) -> Result<Self> {
        let modified = modified()?;
        Ok(Self { output, format, hybrid: false, omitted: HashSet::new(), modified })
    }

    /// An archive that both docker and readers of image layouts accept.
    pub(in crate::cli) fn hybrid(output: ArchiveOutput) -> Result<Self> {
        Ok(Self { hybrid: true, ..Self::new(ArchiveFormat::Oci, output)? })
    }

    /// Leaves these blobs out.
    pub(in crate::cli) fn without(self, omitted: HashSet<Digest>) -> Self {
        Self { omitted, ..self }
    }

    pub(in crate::cli) fn holds_one_platform(&self) -> bool {
        self.format == ArchiveFormat::Docker
    }

    pub(in crate::cli) fn is_stdout(&self) -> bool {
        self.output == ArchiveOutput::Stdout
    }

    /// The location as users write it, without the name of an image.
    pub(in crate::cli) fn place(&self) -> String {
        match &self.output {
            ArchiveOutput::File(path) => format!("{}:{}", self.format, path.display()),
            ArchiveOutput::Stdout => format!("{}:-", self.format),
        }
    }

    /// Opens the archive for this number of images.
    pub(in crate::cli) fn open(
        &self,
        images: usize,
        sync: bool,
        control: &Control,
    ) -> Result<Arc<dyn Target>> {
        let (expected_images, control) = (images, control.clone());
        let options = WriteOptions { expected_images, sync, control, ..self.options() };
        archive::write(self.output.clone(), options)
    }

    /// Opens the archive for a plan, which writes nothing.
    pub(in crate::cli) fn open_for_plan(&self) -> Result<Arc<dyn Target>> {
        archive::write(self.output.clone(), WriteOptions { expected_images: 0, ..self.options() })
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            format: self.format,
            with_docker_manifest: self.hybrid,
            omitted: self.omitted.clone(),
            modified: self.modified,
            ..WriteOptions::default()
        }
    }
}

/// Returns the output for this path; `-` is stdout.
pub(in crate::cli) fn archive_output(path: &Path) -> ArchiveOutput {
    if path.as_os_str() == "-" {
        ArchiveOutput::Stdout
    } else {
        ArchiveOutput::File(path.to_owned())
    }
}

/// Checks that an archive can be written to stdout, if it goes there.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the output is a terminal, or stdout is used for JSON.
pub(in crate::cli) fn check_stdout(output: &ArchiveOutput, settings: &Settings) -> Result<()> {
    let refuse =
        |reason: &str| Error::new(ErrorKind::InvalidInput, "output `-`").with_reason(reason);
    if *output != ArchiveOutput::Stdout {
        return Ok(());
    }
    if settings.json {
        return Err(refuse("cannot write both the archive and JSON to stdout"));
    }
    if std::io::stdout().is_terminal() {
        return Err(refuse("refusing to write an archive to the terminal")
            .with_hint("use `-o FILE`, or redirect stdout"));
    }
    Ok(())
}

/// Returns the modification time of the archive's entries: constant, or `SOURCE_DATE_EPOCH`.
fn modified() -> Result<u64> {
    Ok(source_date_epoch()?.unwrap_or(0))
}
