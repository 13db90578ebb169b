//! A blob in a file that is read at its positions, by any number of readers.

use std::fs::File;
use std::future::ready;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::content::{BlobRequest, BlobStream, reader_stream};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::free_space::is_disk_full;
use crate::limits::BUFFER_SIZE;

/// A file with the bytes of this digest, as they were when it was hashed.
#[derive(Clone, Debug)]
pub(crate) struct BlobFile {
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Where it is, for errors.
    pub(crate) location: String,
}

impl BlobFile {
    /// Reads a file to its end. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without the file, [`ErrorKind::InvalidInput`] for what is no regular file.
    pub(crate) fn hash(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Store,
            };
            Error::new(kind, "read").at(&location).with_source(error)
        };
        // What is no regular file is not opened: a pipe would block.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("file `{location}`"))
                .with_reason("is not a regular file"));
        }
        let mut file = File::open(path).map_err(failed)?;
        let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
        let mut hash = |bytes: &[u8]| {
            hasher.update(bytes);
            size += bytes.len() as u64;
            Ok(())
        };
        read_to_end(&mut file, failed, &mut hash)?;
        Ok(Self { file: Arc::new(file), size, digest: hasher.finish(), location })
    }

    /// Keeps the bytes of a reader in an unnamed file in the directory for temporary files. Blocks.
    ///
    /// # Errors
    /// As [`BlobFile::spool_in`].
    pub(crate) fn spool(
        reader: &mut dyn Read,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Self> {
        Self::spool_in(&std::env::temp_dir(), reader, failed)
    }

    /// Keeps the bytes of a reader in an unnamed file in `dir`, which is removed with the last clone. Blocks.
    ///
    /// # Errors
    /// Those of the reader as `failed` converts them, [`ErrorKind::Store`] if the file cannot be written.
    pub(crate) fn spool_in(
        dir: &Path,
        reader: &mut dyn Read,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Self> {
        let mut file = BlobFileWriter::new_in(dir).map_err(spool_failed)?;
        read_to_end(reader, failed, &mut |bytes| file.write_all(bytes).map_err(spool_failed))?;
        file.finish()
    }

    /// Reads a range of its bytes.
    pub(crate) fn read(&self, range: Range<u64>) -> Box<dyn Read + Send> {
        Box::new(FileRange::new(Arc::clone(&self.file), range))
    }

    /// Its bytes as a source gives them.
    pub(crate) fn open<'a>(&self, request: &BlobRequest<'_>) -> BoxFuture<'a, Result<BlobStream>> {
        let range = request.range_to_read();
        let (start, location) = (range.start, self.location.clone());
        let failed =
            move |error| Error::new(ErrorKind::Store, "read").at(&location).with_source(error);
        let stream = reader_stream(self.read(range), failed);
        Box::pin(ready(Ok(BlobStream::new(start, stream))))
    }
}

/// Passes all bytes of a reader to `sink`.
fn read_to_end(
    reader: &mut dyn Read,
    failed: impl Fn(io::Error) -> Error,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(&failed)?,
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        sink(bytes)?;
    }
}

/// An unnamed temporary file that hashes and counts what is written to it.
pub(crate) struct BlobFileWriter {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
    /// Where the file is, for errors.
    location: String,
}

impl BlobFileWriter {
    /// A file in the directory for temporary files.
    pub(crate) fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    pub(crate) fn new_in(dir: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER_SIZE, tempfile::tempfile_in(dir)?);
        let location = dir.display().to_string();
        Ok(Self { file, hasher: Hasher::new(Algorithm::Sha256), size: 0, location })
    }

    /// Bytes that were written.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The blob of what was written.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the file cannot be written.
    pub(crate) fn finish(self) -> Result<BlobFile> {
        let file = self.file.into_inner().map_err(|error| spool_failed(error.into_error()))?;
        let (file, digest) = (Arc::new(file), self.hasher.finish());
        Ok(BlobFile { file, size: self.size, digest, location: self.location })
    }
}

impl Write for BlobFileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The error of a temporary file that cannot be written.
pub(crate) fn spool_failed(error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(known) => return known,
        Err(error) => error,
    };
    let full = is_disk_full(&error);
    Error::new(ErrorKind::Store, "write")
        .at(std::env::temp_dir().display().to_string())
        .with_detail(full.then_some(ErrorDetail::SpoolDiskFull))
        .with_source(error)
}

/// Bytes of a file that others read too.
pub(crate) struct FileRange {
    file: Arc<File>,
    range: Range<u64>,
}

impl FileRange {
    pub(crate) fn new(file: Arc<File>, range: Range<u64>) -> Self {
        Self { file, range }
    }
}

impl Read for FileRange {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end.saturating_sub(self.range.start));
        let most = left.unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        let read = self.file.read_at(into, self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}
