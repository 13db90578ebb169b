//! Archives as places: opened for reading, and described before they are written.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::{self, Archive, ArchiveFormat, ArchiveOutput, WriteOptions};
use crate::content::Target;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Opens an archive; a pipe may take its time, and a large one is looked through first.
pub(super) async fn read(path: PathBuf, form: Option<ArchiveFormat>) -> Result<Archive> {
    tokio::task::spawn_blocking(move || Archive::open(&path, form)).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Store, "read the archive").with_source(error))
    })
}

/// An archive that is to be written.
pub(super) struct NewArchive {
    output: ArchiveOutput,
    form: ArchiveFormat,
    hybrid: bool,
    left_out: HashSet<Digest>,
    modified: u64,
}

impl NewArchive {
    /// One of a single form.
    pub(super) fn new(form: ArchiveFormat, output: ArchiveOutput) -> Result<Self> {
        let modified = modified()?;
        Ok(Self { output, form, hybrid: false, left_out: HashSet::new(), modified })
    }

    /// One that readers of layouts and docker take, without these blobs.
    pub(super) fn hybrid(output: ArchiveOutput, left_out: HashSet<Digest>) -> Result<Self> {
        Ok(Self { hybrid: true, left_out, ..Self::new(ArchiveFormat::Oci, output)? })
    }

    pub(super) fn holds_one_platform(&self) -> bool {
        self.form == ArchiveFormat::Docker
    }

    pub(super) fn is_stdout(&self) -> bool {
        self.output == ArchiveOutput::Stdout
    }

    /// Opens it for so many images.
    pub(super) fn write(&self, images: usize, sync: bool) -> Result<Arc<dyn Target>> {
        let Self { form, hybrid, modified, .. } = *self;
        let left_out = self.left_out.clone();
        let options = WriteOptions {
            form,
            with_docker_manifest: hybrid,
            expected_images: images,
            omitted: left_out,
            modified,
            sync,
        };
        archive::write(self.output.clone(), options)
    }
}

/// When its entries were modified: always the same, unless `SOURCE_DATE_EPOCH` says otherwise.
fn modified() -> Result<u64> {
    let Some(text) = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("SOURCE_DATE_EPOCH '{text}'"))
            .with_reason("expected seconds since 1970")
    })
}
