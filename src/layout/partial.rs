//! The file of a partial, and the list of its ranges beside it.
//!
//! As long as the bytes of a partial came in order, its length says how many there are, and there is no list. The list
//! `NAME.ranges` is created before the first byte beyond a gap is written. From then on each write is recorded when it is done, so
//! a killed process leaves no record without bytes. After a power failure there may be some: then the checksums of the records are
//! compared with the bytes. Whatever the list says, the digest of the blob decides. The lock on the partial is that of its list.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::io::files;
use super::records::{FREE, LINE, List, MAX_BYTES, Records, checksum};
use super::{blobs, io_error};
use crate::boot::boot_id;
use crate::content::BlobRanges;
use crate::digest::Digest;
use crate::error::Result;

const EXTENSION: &str = ".ranges";

/// An open partial, locked by its writer.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    path: PathBuf,
    mode: u32,
    /// `None` as long as all bytes were written in order and [`PartialFile::track`] was not called.
    ranges: Mutex<Option<Ranges>>,
}

#[derive(Debug)]
struct Ranges {
    records: Records,
    /// The list, once there are bytes beyond a gap.
    list: Option<File>,
}

impl PartialFile {
    /// Reads the list of a locked partial. Returns whether the machine was restarted since it was written.
    pub(super) fn open(file: File, path: &Path, mode: u32) -> Result<(Self, bool)> {
        let partial = Self { file, path: path.to_owned(), mode, ranges: Mutex::default() };
        let Some(List { records, boot, is_clean }) = read_list(path, partial.length()?) else {
            if list_path(path).symlink_metadata().is_ok() {
                partial.remove_list()?;
            }
            return Ok((partial, false));
        };
        let mut ranges = Ranges { records, list: None };
        if is_clean {
            ranges.list = Some(partial.open_list()?);
        } else {
            partial.replace_null_list(&mut ranges, &boot)?;
        }
        *partial.ranges() = Some(ranges);
        Ok((partial, boot != boot_id()))
    }

    fn ranges(&self) -> MutexGuard<'_, Option<Ranges>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> Result<u64> {
        let found = self.file.metadata().map_err(|error| io_error("read", &self.path, error))?;
        Ok(found.len())
    }

    /// Bytes from the first one on without a gap.
    pub(super) fn prefix(&self) -> Result<u64> {
        match &*self.ranges() {
            Some(ranges) => Ok(ranges.records.prefix()),
            None => self.length(),
        }
    }

    /// Whether it contains no bytes at all.
    pub(super) fn is_empty(&self) -> bool {
        match &*self.ranges() {
            Some(ranges) => ranges.records.is_empty(),
            None => self.length().is_ok_and(|length| length == 0),
        }
    }

    /// Forgets the ranges whose bytes do not have the recorded checksums.
    pub(super) fn check(&self) -> Result<()> {
        let mut ranges = self.ranges();
        let Some(ranges) = &mut *ranges else { return Ok(()) };
        let expected: Vec<_> = ranges.records.checksums().collect();
        for (range, sum) in expected {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
            let read = self.file.read_exact_at(&mut bytes, range.start);
            read.map_err(|error| io_error("read", &self.path, error))?;
            if checksum(&bytes) != sum {
                ranges.records.remove(&range);
            }
        }
        self.replace_null_list(ranges, &boot_id())
    }

    /// Makes [`BlobRanges`] possible.
    pub(super) fn track(&self, received: u64) {
        self.ranges()
            .get_or_insert_with(|| Ranges { records: Records::of_prefix(received), list: None });
    }

    pub(super) fn write(&self, position: u64, bytes: &[u8]) -> Result<()> {
        self.write_recorded(&mut self.ranges(), position, bytes)
    }

    fn write_recorded(
        &self,
        ranges: &mut Option<Ranges>,
        position: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let write = || {
            let written = self.file.write_all_at(bytes, position);
            written.map_err(|error| io_error("write", &self.path, error))
        };
        let Some(Ranges { records, list }) = ranges else { return write() };
        let record = |line: usize, text: &[u8]| {
            let Some(list) = &list else { return Ok(()) };
            let written = list.write_all_at(text, (LINE + line * LINE) as u64);
            written.map_err(|error| io_error("write", &list_path(&self.path), error))
        };
        for line in records.remove(&(position..position + bytes.len() as u64)) {
            record(line, &FREE)?;
        }
        write()?;
        records.add(position, bytes).map_or(Ok(()), |(line, text)| record(line, &text))
    }

    pub(super) fn clear(&self) -> Result<()> {
        self.file.set_len(0).map_err(|error| io_error("empty", &self.path, error))?;
        self.end_list()?;
        *self.ranges() = None;
        Ok(())
    }

    /// All bytes are there: from now on the length says so.
    pub(super) fn end_list(&self) -> Result<()> {
        match &*self.ranges() {
            Some(Ranges { list: Some(_), .. }) => self.remove_list(),
            _ => Ok(()),
        }
    }

    fn remove_list(&self) -> Result<()> {
        let path = list_path(&self.path);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn open_list(&self) -> Result<File> {
        let path = list_path(&self.path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(self.mode);
        blobs::open_regular_with(&path, &mut options)
            .map_err(|error| io_error("open", &path, error))
    }

    fn replace_null_list(&self, ranges: &mut Ranges, boot: &str) -> Result<()> {
        let list = match ranges.list.take() {
            Some(list) => list,
            None => self.open_list()?,
        };
        let text = ranges.records.renumbered_list(boot);
        list.write_all_at(&text, 0)
            .and_then(|()| list.set_len(text.len() as u64))
            .map_err(|error| io_error("write", &list_path(&self.path), error))?;
        ranges.list = Some(list);
        Ok(())
    }
}

impl BlobRanges for PartialFile {
    fn present(&self) -> Vec<Range<u64>> {
        let ranges = self.ranges();
        let spans = ranges.iter().flat_map(|ranges| ranges.records.spans());
        spans.filter(|span| span.start > 0).collect()
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()> {
        let mut ranges = self.ranges();
        if let Some(ranges) = ranges.as_mut().filter(|ranges| ranges.list.is_none()) {
            self.replace_null_list(ranges, &boot_id())?;
        }
        self.write_recorded(&mut ranges, position, bytes)
    }

    fn read_at(&self, range: Range<u64>) -> Result<Bytes> {
        blobs::read_at(&self.file, &range).map_err(|error| io_error("read", &self.path, error))
    }
}

/// `NAME.ranges`, the list of the ranges of a partial.
fn list_path(partial: &Path) -> PathBuf {
    let mut path = partial.as_os_str().to_owned();
    path.push(EXTENSION);
    path.into()
}

/// The list of a partial of this length; `None` without one, or if it is of no use.
fn read_list(partial: &Path, length: u64) -> Option<List> {
    let mut text = Vec::new();
    let list = blobs::open_regular(&list_path(partial)).ok()?;
    list.take(MAX_BYTES + 1).read_to_end(&mut text).ok()?;
    if text.len() as u64 > MAX_BYTES {
        return None;
    }
    Records::parse(&text, length).filter(|list| !list.records.is_empty())
}

/// Bytes of the blob that were received and are not verified.
pub(super) fn received_of(root: &Path, digest: &Digest) -> Result<u64> {
    let path = blobs::partial_path(root, digest)?;
    Ok(blobs::length(&path)?.map_or(0, |length| received(&path, length)))
}

/// Bytes of a partial of this length that are there.
fn received(partial: &Path, length: u64) -> u64 {
    read_list(partial, length).map_or(length, |list| list.records.total())
}

/// The partials of a layout, with the bytes that are there.
pub(super) fn partials(root: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = files(&root.join("ingest"))?;
    found.retain(|(path, _)| partial_of(path).is_none_or(|partial| !partial.exists()));
    for (path, bytes) in &mut found {
        *bytes = received(path, *bytes);
    }
    Ok(found)
}

/// Removes a partial together with its list.
pub(super) fn remove(partial: &Path) -> Result<()> {
    let removed = std::fs::remove_file(partial);
    removed.map_err(|error| io_error("remove", partial, error))?;
    drop(std::fs::remove_file(list_path(partial)));
    Ok(())
}

/// The partial that a list belongs to; `None` of other files.
fn partial_of(list: &Path) -> Option<PathBuf> {
    Some(list.to_str()?.strip_suffix(EXTENSION)?.into())
}
