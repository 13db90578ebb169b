//! The gzip members of a blob, which together have one tar.

use std::io::{self, Write};

use crate::blob_file::{BlobFile, BlobFileWriter, spool_failed};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Result;
use crate::layer::{Compression, Compressor};

/// Compresses what is written to it, in a new member after each [`Members::cut`].
pub(super) struct Members {
    state: State,
    level: Option<u32>,
    diff_id: Hasher,
    size: u64,
}

enum State {
    Between(BlobFileWriter),
    Within(Compressor<BlobFileWriter>),
    /// A write failed.
    Failed,
}

impl Members {
    /// `algorithm` is that of the digest of the tar.
    pub(super) fn new(level: Option<u32>, algorithm: Algorithm) -> io::Result<Self> {
        let state = State::Between(BlobFileWriter::new()?);
        Ok(Self { state, level, diff_id: Hasher::new(algorithm), size: 0 })
    }

    /// Ends the member, and returns the position of the next one in the blob.
    pub(super) fn cut(&mut self) -> io::Result<u64> {
        let file = self.file()?;
        let position = file.size();
        self.state = State::Between(file);
        Ok(position)
    }

    /// The file, with whole members.
    fn file(&mut self) -> io::Result<BlobFileWriter> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Between(file) => Ok(file),
            State::Within(member) => member.finish(),
            State::Failed => Err(io::Error::other("an earlier write failed")),
        }
    }

    /// Writes the footer, and returns the blob, with digest and size of the tar.
    pub(super) fn finish(mut self, footer: &[u8]) -> Result<(BlobFile, Digest, u64)> {
        let mut file = self.file().map_err(spool_failed)?;
        file.write_all(footer).map_err(spool_failed)?;
        Ok((file.finish()?, self.diff_id.finish(), self.size))
    }
}

impl Write for Members {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !matches!(self.state, State::Within(_)) {
            let file = self.file()?;
            let member = Compressor::with_level(Compression::Gzip, self.level, file)?;
            self.state = State::Within(member);
        }
        if let State::Within(member) = &mut self.state {
            member.write_all(bytes)?;
        }
        self.diff_id.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
