//! Copies the data of entries.

use std::io::{self, BufRead};

use super::layer_tar::zeros;
use crate::blob_file::spool_failed;
use crate::error::Result;
use crate::image_layers::failed;
use crate::layer::Entries;

/// Maximum bytes of holes that are written as zeros: a few bytes can declare exabytes.
const MAX_HOLE_BYTES: u64 = 1 << 30;

/// Copies the data of the entries of a tar, with zeros for their holes.
pub(super) struct DataCopier<'a> {
    /// The name of the tar in errors.
    tar: &'a str,
    holes: u64,
}

impl<'a> DataCopier<'a> {
    pub(super) fn new(tar: &'a str) -> Self {
        Self { tar, holes: 0 }
    }

    /// Passes the data of the current entry to `sink`, which writes to a temporary file.
    ///
    /// # Errors
    /// Those of both, and for a tar with more than a gigabyte of holes.
    pub(super) fn copy<R: BufRead>(
        &mut self,
        entries: &mut Entries<R>,
        path: &str,
        size: u64,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<()> {
        let mut end = 0;
        loop {
            let data = entries.next_data().map_err(|error| failed(self.tar, path, error))?;
            let (offset, bytes) = data.unwrap_or((size, &[]));
            self.holes = self.holes.saturating_add(offset - end);
            if self.holes > MAX_HOLE_BYTES {
                let reason = format!("has more than {MAX_HOLE_BYTES} bytes of holes");
                return Err(failed(self.tar, path, io::Error::other(reason)));
            }
            zeros(offset - end, &mut sink).map_err(spool_failed)?;
            if data.is_none() {
                return Ok(());
            }
            sink(bytes).map_err(spool_failed)?;
            end = offset + bytes.len() as u64;
        }
    }
}
