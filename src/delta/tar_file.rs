//! The uncompressed bytes of a layer, in a temporary file, so that they can be read at any position.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::fault::{WHAT, does_not_fit, file_error};
use crate::control::Control;
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::file_cursor::FileCursor;
use crate::free_space::insufficient_space;
use crate::layer::{BombGuard, DiffIdReader, decompress_detected};
use crate::limits::BUFFER_SIZE;

/// An uncompressed layer in an unnamed file, which is removed with the last clone.
#[derive(Clone, Debug)]
pub struct TarFile {
    file: Arc<File>,
    size: u64,
    diff_id: Digest,
}

impl TarFile {
    /// Decompresses a layer into an unnamed file in `dir`. Blocks; takes as much disk as the layer is long.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if it has another `diff_id`, or more than `limit` bytes; [`ErrorKind::Unpack`] if it cannot
    /// be decompressed; [`ErrorKind::Store`] if the file cannot be written; [`ErrorKind::Interrupted`].
    pub fn decompress(
        layer: impl Read + Send,
        diff_id: &Digest,
        limit: u64,
        dir: &Path,
        control: &Control,
    ) -> Result<Self> {
        let unreadable = |error| Error::new(ErrorKind::Unpack, "decompress").with_source(error);
        let algorithm = diff_id.algorithm()?;
        let mut file = tempfile::tempfile_in(dir).map_err(file_error)?;
        let inside = decompress_detected(&BombGuard::default(), layer).map_err(unreadable)?;
        let buffered = BufReader::with_capacity(BUFFER_SIZE, inside);
        let mut tar = DiffIdReader::with_algorithm(algorithm, buffered);
        loop {
            control.check("decompress layer")?;
            let bytes = tar.fill_buf().map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            file.write_all(bytes).map_err(file_error)?;
            tar.consume(length);
            if tar.position() > limit {
                return Err(does_not_fit("an old layer is larger than the delta says"));
            }
        }
        let size = tar.position();
        let found = tar.finish();
        if found != *diff_id {
            let reason = format!("the old layer has the diff_id {found}, expected {diff_id}");
            return Err(does_not_fit(&reason));
        }
        Ok(Self { file: Arc::new(file), size, diff_id: found })
    }

    /// Checks for the disk that files of so many bytes need in `dir`, where `reserved` bytes are needed for other things.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if less is free.
    pub fn check_space(dir: &Path, bytes: u64, reserved: u64) -> Result<()> {
        let Ok(handle) = File::open(dir) else { return Ok(()) };
        let needed = bytes.saturating_add(reserved);
        let Some(free) = insufficient_space(&handle, needed) else { return Ok(()) };
        let reason = format!(
            "{bytes} bytes are needed for old layers and {reserved} for what is missing, {free} are free"
        );
        Err(Error::new(ErrorKind::Store, "temporary files")
            .at(dir.display().to_string())
            .with_detail(ErrorDetail::StoreDiskFull)
            .with_reason(reason))
    }

    /// Digest of the bytes.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Count of the bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(into, offset).map_err(file_error)
    }

    /// Reads from the first byte on, until `control` is cancelled.
    pub(super) fn reader<'a>(&'a self, control: &'a Control) -> BufReader<FileCursor<'a>> {
        FileCursor::buffered(&self.file, self.size, control, WHAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::index::OldEntries;

    #[test]
    fn unreadable_tar_is_error_and_not_a_tar_without_entries() {
        // Reading a directory is an I/O error.
        let file = Arc::new(File::open(std::env::temp_dir()).unwrap());
        let tar = TarFile { file, size: 1024, diff_id: Digest::sha256(b"") };
        let indexed = OldEntries::new(&[tar], usize::MAX, &Control::default());
        assert_eq!(indexed.err().map(|error| error.kind()), Some(ErrorKind::Store));
    }
}
