//! A new layer, in a temporary file.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use crate::blob_file::BlobFile;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layer::{Compression, Compressor, Timestamp};
use crate::limits::BUFFER_SIZE;
use crate::setters::setters;

/// How to make a layer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// The directory of the image that the files are put into, absolute or not; the root by default.
    pub prefix: String,
    /// The compression; by default gzip, or that of the tar.
    pub compression: Option<Compression>,
    /// The latest time of files of a directory: later ones get this time, so that the same files give the same layer wherever
    /// they were copied. Tars keep their times.
    pub clamp_time: Option<Timestamp>,
}

impl LayerOptions {
    setters! {
        value into prefix: String;
        optional compression: Compression;
        optional clamp_time: Timestamp;
    }

    /// The prefix as a path in a layer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for one with a `..`.
    pub(super) fn prefix_path(&self) -> Result<Vec<u8>> {
        let parts = self.prefix.split('/').filter(|part| !matches!(*part, "" | "."));
        let parts: Vec<&str> = parts.collect();
        if parts.contains(&"..") || self.prefix.contains('\0') {
            return Err(Error::new(ErrorKind::InvalidInput, format!("prefix `{}`", self.prefix))
                .with_reason("expected a directory in the image, without `..`"));
        }
        Ok(parts.join("/").into_bytes())
    }
}

/// A layer that was made of files: its blob in an unnamed temporary file, which is gone with the last clone.
#[derive(Clone)]
pub struct NewLayer {
    pub(crate) blob: BlobFile,
    diff_id: Digest,
    compression: Compression,
}

impl fmt::Debug for NewLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLayer").field("digest", self.digest()).finish_non_exhaustive()
    }
}

impl NewLayer {
    /// Digest of the blob.
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    /// Digest of the tar.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// Size of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.blob.size
    }

    /// Compression of the blob.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

/// A temporary file that hashes and counts what is written to it.
pub(super) struct HashedFile {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

impl HashedFile {
    pub(super) fn new() -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER_SIZE, tempfile::tempfile()?);
        Ok(Self { file, hasher: Hasher::new(Algorithm::Sha256), size: 0 })
    }

    /// The layer whose blob this is.
    pub(super) fn into_layer(
        self,
        compression: Compression,
        diff_id: impl FnOnce(Box<dyn Read + Send>) -> Result<Digest>,
    ) -> Result<NewLayer> {
        let file = self.file.into_inner().map_err(|error| spool_failed(error.into_error()))?;
        let (file, size, digest) = (Arc::new(file), self.size, self.hasher.finish());
        let location = std::env::temp_dir().display().to_string();
        let blob = BlobFile { file, size, digest, location };
        let diff_id = diff_id(blob.read(0..size))?;
        Ok(NewLayer { blob, diff_id, compression })
    }
}

impl Write for HashedFile {
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

/// Compresses a tar that is written to it.
pub(super) struct LayerWriter {
    diff_id: Hasher,
    compressor: Compressor<HashedFile>,
    compression: Compression,
}

impl LayerWriter {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let compressor = HashedFile::new().and_then(|file| Compressor::new(compression, file));
        let compressor = compressor.map_err(spool_failed)?;
        Ok(Self { diff_id: Hasher::new(Algorithm::Sha256), compressor, compression })
    }

    /// The layer of the tar.
    pub(super) fn finish(self) -> Result<NewLayer> {
        let file = self.compressor.finish().map_err(spool_failed)?;
        file.into_layer(self.compression, |_| Ok(self.diff_id.finish()))
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.compressor.write_all(bytes)?;
        self.diff_id.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressor.flush()
    }
}

/// The error of a temporary file that cannot be written.
pub(super) fn spool_failed(error: io::Error) -> Error {
    let full = error.kind() == io::ErrorKind::StorageFull;
    Error::new(ErrorKind::Store, "write")
        .at(std::env::temp_dir().display().to_string())
        .with_detail(full.then_some(ErrorDetail::SpoolDiskFull))
        .with_source(error)
}
