//! The output of an archive: a file, written in any order, or a pipe, written sequentially.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::archive_file::io_error;
use super::tarball::BLOCK;
use crate::blocking::run_blocking;
use crate::error::Result;
use crate::free_space::insufficient_space;

/// An output and its name in errors.
pub(super) struct ArchiveSink {
    to: SinkKind,
    path: PathBuf,
}

enum SinkKind {
    File(File),
    Pipe(Mutex<PipeSink>),
}

struct PipeSink {
    out: Box<dyn Write + Send>,
    at: u64,
}

impl ArchiveSink {
    pub(super) fn file(file: File, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { to: SinkKind::File(file), path })
    }

    pub(super) fn pipe(out: Box<dyn Write + Send>, name: &str) -> Arc<Self> {
        Arc::new(Self {
            to: SinkKind::Pipe(Mutex::new(PipeSink { out, at: 0 })),
            path: name.into(),
        })
    }

    /// Writes the bytes at this offset.
    pub(super) async fn write(self: &Arc<Self>, bytes: Bytes, at: u64) -> Result<()> {
        let write = {
            let sink = Arc::clone(self);
            move || sink.write_now(&bytes, at).map_err(|error| io_error("write", &sink.path, error))
        };
        match self.to {
            SinkKind::File(_) => write(),
            // The reader of the pipe may be slow; signals must be handled meanwhile.
            SinkKind::Pipe(_) => run_blocking("write the archive", write).await,
        }
    }

    fn write_now(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match &self.to {
            SinkKind::File(file) => file.write_all_at(bytes, at),
            SinkKind::Pipe(pipe) => {
                pipe.lock().unwrap_or_else(PoisonError::into_inner).write(bytes, at)
            }
        }
    }

    /// Whether written bytes can be read back.
    pub(super) fn is_readable(&self) -> bool {
        matches!(self.to, SinkKind::File(_))
    }

    /// Reads written bytes; fails for a pipe.
    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> Result<usize> {
        match &self.to {
            SinkKind::File(file) => {
                file.read_at(into, at).map_err(|error| io_error("read", &self.path, error))
            }
            SinkKind::Pipe(_) => Ok(0),
        }
    }

    /// Fails if the file system has less free space than this. Reserves nothing: the size is only claimed so far.
    pub(super) fn check_space(&self, length: u64) -> Result<()> {
        let SinkKind::File(file) = &self.to else { return Ok(()) };
        match insufficient_space(file, length) {
            Some(_) => Err(io_error("write", &self.path, rustix::io::Errno::NOSPC)),
            None => Ok(()),
        }
    }

    /// Ends the output at this length.
    pub(super) fn finish(&self, length: u64) -> Result<()> {
        let finished = match &self.to {
            SinkKind::File(file) => file.set_len(length),
            SinkKind::Pipe(pipe) => pipe.lock().unwrap_or_else(PoisonError::into_inner).out.flush(),
        };
        finished.map_err(|error| io_error("write", &self.path, error))
    }
}

impl PipeSink {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        // A gap between two entries is the padding of the last block.
        let gap = at.checked_sub(self.at).filter(|gap| *gap < BLOCK);
        let gap = gap.ok_or_else(|| io::Error::other("cannot write out of order to a pipe"))?;
        io::copy(&mut io::repeat(0).take(gap), &mut self.out)?;
        self.out.write_all(bytes)?;
        self.at = at + bytes.len() as u64;
        Ok(())
    }
}
