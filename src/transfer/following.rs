//! A blob while it arrives, as whoever inflates it wants it: a reader that waits for its bytes.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{pread, retry_on_intr};

use super::arrivals::Arrivals;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Bytes are told just before they are written.
const PAUSE: Duration = Duration::from_millis(1);

/// Opens the file that a blob grows in, and stays in when it is whole; `None` before there is one.
pub type OpenArriving = Box<dyn Fn(&Digest) -> Result<Option<File>> + Send>;

/// Reads a blob that a run moves to a file. Its bytes are not verified: what comes out of them must be. Now and then it
/// says [`io::ErrorKind::Interrupted`] while it waits.
pub struct Following {
    open: OpenArriving,
    blob: Descriptor,
    arrivals: Arc<Arrivals>,
    file: Option<File>,
    offset: u64,
    restarts: u32,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("blob", &self.blob.digest).finish_non_exhaustive()
    }
}

impl Following {
    /// Why nothing can be made of a blob whose first bytes were used before it was known that they are wrong.
    pub const CAME_WRONG: &str = "came wrong at first and was fetched again; run it again";

    /// Begins with the blob's first byte, whether it is there already or not.
    pub fn new(blob: Descriptor, arrivals: Arc<Arrivals>, open: OpenArriving) -> Self {
        Self { open, blob, arrivals, file: None, offset: 0, restarts: 0 }
    }

    fn fail(&self, why: &str) -> io::Error {
        let what = format!("layer {}", self.blob.digest);
        io::Error::other(Error::new(ErrorKind::Mismatch, what).because(why))
    }
}

impl Read for Following {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.blob.size.saturating_sub(self.offset);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..room).unwrap_or_default();
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let arrived = self.arrivals.blob(&self.blob.digest, self.offset);
            let Some(arrived) = arrived.map_err(io::Error::other)? else {
                return Err(io::ErrorKind::Interrupted.into());
            };
            if self.file.is_none() {
                self.file = (self.open)(&self.blob.digest).map_err(io::Error::other)?;
                self.restarts = arrived.restarts;
            }
            if self.restarts != arrived.restarts {
                return Err(self.fail(Self::CAME_WRONG));
            }
            if let Some(file) = &self.file {
                let read = retry_on_intr(|| pread(file, &mut *into, self.offset))?;
                if read > 0 {
                    self.offset += read as u64;
                    return Ok(read);
                }
                if arrived.whole {
                    return Err(self.fail("is shorter than it should be"));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}
