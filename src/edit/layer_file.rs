//! A new layer, in a temporary file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use crate::blob_file::{BlobFile, BlobFileWriter, spool_failed};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Compression, Compressor, Timestamp};
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

/// A layer that was made of files: its blob in an unnamed temporary file, which is removed with the last clone.
#[derive(Clone)]
pub struct NewLayer {
    pub(crate) blob: BlobFile,
    diff_id: Digest,
    compression: Compression,
    annotations: BTreeMap<String, String>,
}

impl fmt::Debug for NewLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLayer").field("digest", self.digest()).finish_non_exhaustive()
    }
}

impl NewLayer {
    pub(super) fn new(blob: BlobFile, diff_id: Digest, compression: Compression) -> Self {
        Self { blob, diff_id, compression, annotations: BTreeMap::new() }
    }

    pub(super) fn with_annotations(self, annotations: BTreeMap<String, String>) -> Self {
        Self { annotations, ..self }
    }

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

    /// Annotations of its descriptor that are about its bytes: those of an eStargz layer.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Compression of the blob.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

/// Compresses a tar that is written to it.
pub(super) struct LayerWriter {
    diff_id: Hasher,
    compressor: Compressor<BlobFileWriter>,
    compression: Compression,
}

impl LayerWriter {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        Self::with_level(compression, None, Algorithm::Sha256)
    }

    /// `diff_id` is the algorithm of the digest of the tar.
    pub(super) fn with_level(
        compression: Compression,
        level: Option<u32>,
        diff_id: Algorithm,
    ) -> Result<Self> {
        let compressor =
            BlobFileWriter::new().and_then(|file| Compressor::with_level(compression, level, file));
        let compressor = compressor.map_err(spool_failed)?;
        Ok(Self { diff_id: Hasher::new(diff_id), compressor, compression })
    }

    /// The layer of the tar.
    pub(super) fn finish(self) -> Result<NewLayer> {
        let file = self.compressor.finish().map_err(spool_failed)?;
        Ok(NewLayer::new(file.finish()?, self.diff_id.finish(), self.compression))
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Callers that copy a file into the layer would take a plain error for one of reading it.
        let written = self.compressor.write_all(bytes);
        written.map_err(|error| io::Error::other(spool_failed(error)))?;
        self.diff_id.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.compressor.flush()
    }
}
