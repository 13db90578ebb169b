//! A blob in a file that is read at its positions, by any number of readers.

use std::fs::File;
use std::future::ready;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::content::{BlobRequest, BlobStream, reader_stream};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
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
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            size += read as u64;
        }
        Ok(Self { file: Arc::new(file), size, digest: hasher.finish(), location })
    }

    /// Reads a range of its bytes.
    pub(crate) fn read(&self, range: Range<u64>) -> Box<dyn Read + Send> {
        Box::new(FileRange { file: Arc::clone(&self.file), range })
    }

    /// Its bytes as a source gives them.
    pub(crate) fn open<'a>(&self, request: &BlobRequest<'_>) -> BoxFuture<'a, Result<BlobStream>> {
        let range = request.range_to_read();
        let (start, location) = (range.start, self.location.clone());
        let failed =
            move |error| Error::new(ErrorKind::Store, "read").at(&location).with_source(error);
        let stream = reader_stream(self.read(range), failed);
        Box::pin(ready(Ok(BlobStream { start, stream })))
    }
}

/// Bytes of a file that others read too.
struct FileRange {
    file: Arc<File>,
    range: Range<u64>,
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
