//! The index of a tar: the byte range of each entry. Nothing is extracted, and no name is used as a path.
//!
//! Headers are parsed by the reader of layers ([`crate::layer`]), which rejects what two readers would see differently.
//! A stream is spooled to a file while it is read, up to the end of the tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::io::{pread, retry_on_intr};

use super::names::{clean, resolve};
use super::spool::Spool;
use crate::control::Control;
use crate::file_cursor::{FileCursor, skip_bytes};
use crate::layer::{Content, Entries, EntryLimits, Located};
use crate::limits::BUFFER_SIZE;
use crate::progress::Phase;
use crate::tar_block::BLOCK_BYTES;

/// Size of a header; every entry is padded to a multiple of it.
pub(super) const BLOCK: u64 = BLOCK_BYTES as u64;

/// Maximum entries.
const MAX_ENTRIES: u64 = 100_000;

/// Maximum bytes of all names together.
const MAX_NAME_BYTES_TOTAL: usize = 16 << 20;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// Maximum links followed in a chain.
const MAX_SYMLINKS: usize = 8;

/// Maximum bytes read after the end of a tar in a stream, so that its writer can finish and its checksum is verified.
const MAX_TRAILING_BYTES: u64 = 16 << 20;

/// An indexed tar.
#[derive(Debug)]
pub(super) struct TarIndex {
    file: File,
    nodes: HashMap<String, TarEntry>,
}

#[derive(Debug)]
struct TarEntry {
    kind: TarEntryKind,
    /// Whether an earlier entry had the same name.
    is_duplicate: bool,
}

#[derive(Debug)]
enum TarEntryKind {
    File(Range<u64>),
    Directory,
    /// The name of another entry; `None` if it points outside the archive.
    Link(Option<String>),
    Sparse,
    /// A device or another type without bytes.
    Other,
}

/// Why an entry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryError {
    /// The archive has no entry of that name.
    Missing,
    /// The entry cannot be used, for this reason.
    Unusable(&'static str),
}

impl TarIndex {
    /// Reads all headers of the file, unless cancelled.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if it is not a tar or is ambiguous.
    pub(super) fn index(file: File, control: &Control) -> io::Result<Self> {
        let length = file.metadata()?.len();
        check_length(length)?;
        let reader = FileCursor::buffered(&file, length, control, Phase::Scan.what());
        let mut entries = Entries::passing(reader, skip_bytes, limits());
        let nodes = Table::default().read(&mut entries)?;
        Ok(Self { file, nodes })
    }

    /// Like [`TarIndex::index`], for a stream, which is spooled to a file up to the end of the tar.
    pub(super) fn spool(stream: impl Read, spool: Spool) -> io::Result<Self> {
        let both = Tee { stream, spool };
        let mut entries = Entries::new(BufReader::with_capacity(BUFFER_SIZE, both), limits());
        let nodes = Table::default().read(&mut entries);
        let Tee { stream, spool } = entries.into_reader().into_inner();
        let nodes = nodes.or_else(|error| match error.kind() {
            io::ErrorKind::InvalidData => check_length(spool.length()).and(Err(error)),
            _ => Err(error),
        })?;
        io::copy(&mut stream.take(MAX_TRAILING_BYTES), &mut io::sink())?;
        Ok(Self { file: spool.into_file(), nodes })
    }

    /// The byte range of this entry, following links; the last of several with that name.
    pub(super) fn find(&self, name: &str) -> Result<Range<u64>, EntryError> {
        self.follow(name, |_, _| Ok(()))
    }

    /// Like [`TarIndex::find`], for entries without a digest. Duplicate names and linked directories are errors,
    /// because readers resolve them differently.
    pub(super) fn find_unique(&self, name: &str) -> Result<Range<u64>, EntryError> {
        self.follow(name, |name, node| {
            if node.is_duplicate {
                return Err(EntryError::Unusable(
                    "appears twice, and other tools read one or the other",
                ));
            }
            let mut above = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
            let is_dir = |name: &str| {
                self.nodes.get(name).is_none_or(|node| matches!(node.kind, TarEntryKind::Directory))
            };
            if above.all(is_dir) {
                Ok(())
            } else {
                Err(EntryError::Unusable("its parent is not a directory"))
            }
        })
    }

    fn follow(
        &self,
        name: &str,
        check: impl Fn(&str, &TarEntry) -> Result<(), EntryError>,
    ) -> Result<Range<u64>, EntryError> {
        let out = EntryError::Unusable("points outside the archive");
        let mut name = clean(name).ok_or(out)?;
        for _ in 0..MAX_SYMLINKS {
            let node = self.nodes.get(&name).ok_or(EntryError::Missing)?;
            check(&name, node)?;
            match &node.kind {
                TarEntryKind::File(span) => return Ok(span.clone()),
                TarEntryKind::Link(Some(target)) => name.clone_from(target),
                TarEntryKind::Link(None) => return Err(out),
                TarEntryKind::Sparse => return Err(EntryError::Unusable("is a sparse file")),
                TarEntryKind::Directory | TarEntryKind::Other => {
                    return Err(EntryError::Unusable("is not a regular file"));
                }
            }
        }
        Err(EntryError::Unusable("is a link to a missing file"))
    }

    /// These bytes of the tar; the caller has limited their number.
    pub(super) fn bytes(&self, span: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(span.end - span.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, span.start)?;
        Ok(bytes)
    }

    /// Reads up to `into.len()` bytes at this offset.
    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(retry_on_intr(|| pread(&self.file, &mut *into, at))?)
    }
}

/// Distinguishes a file shorter than any tar from a truncated tar.
fn check_length(length: u64) -> io::Result<()> {
    match length {
        0 => Err(invalid("is empty")),
        1..BLOCK => Err(invalid("is not a tar")),
        _ => Ok(()),
    }
}

/// The entries read so far.
#[derive(Default)]
struct Table {
    nodes: HashMap<String, TarEntry>,
    /// Bytes of all names and link targets.
    names: usize,
}

impl Table {
    fn read(
        mut self,
        entries: &mut Entries<impl BufRead>,
    ) -> io::Result<HashMap<String, TarEntry>> {
        let mut empty = true;
        while let Some(entry) = entries.next_located()? {
            empty = false;
            self.note(entry)?;
        }
        if empty { Err(invalid("is a tar without entries")) } else { Ok(self.nodes) }
    }

    fn note(&mut self, entry: Located) -> io::Result<()> {
        if entry.name.len() > MAX_NAME_BYTES {
            return Err(invalid("has a name that is too long"));
        }
        // Skip a name that is not UTF-8 or points outside the archive: no lookup can match it.
        let text = |name: Vec<u8>| String::from_utf8(name).ok();
        let Some(name) = text(entry.name).and_then(|name| clean(&name)) else { return Ok(()) };
        let kind = match entry.content {
            Content::File(span) => TarEntryKind::File(span),
            Content::Directory => TarEntryKind::Directory,
            Content::Symlink(to) => TarEntryKind::Link(text(to).and_then(|to| resolve(&name, &to))),
            Content::Hardlink(to) => TarEntryKind::Link(text(to).and_then(|to| clean(&to))),
            Content::Sparse => TarEntryKind::Sparse,
            Content::Other => TarEntryKind::Other,
        };
        self.names += name.len();
        if let TarEntryKind::Link(Some(target)) = &kind {
            self.names += target.len();
        }
        if self.names > MAX_NAME_BYTES_TOTAL {
            return Err(invalid("has names that are too long together"));
        }
        let again = self.nodes.contains_key(&name);
        self.nodes.insert(name, TarEntry { kind, is_duplicate: again });
        Ok(())
    }
}

/// Copies a stream to the spool while reading it.
struct Tee<R> {
    stream: R,
    spool: Spool,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.spool.write(into.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}

fn limits() -> EntryLimits {
    EntryLimits::default().entries(MAX_ENTRIES)
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::super::header::{END, header};
    use super::*;
    use crate::file_cursor::WINDOW_BYTES;

    /// An endless input that counts the bytes read from it.
    struct Endless<R> {
        first: R,
        then: u8,
        read: u64,
    }

    impl<R: Read> Read for Endless<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.first.read(into)?;
            let read = if read > 0 { read } else { io::repeat(self.then).read(into)? };
            self.read += read as u64;
            Ok(read)
        }
    }

    /// The result of spooling `first` followed by an endless stream, and the number of bytes read.
    fn spooled(first: &[u8], then: u8) -> (io::Result<TarIndex>, u64) {
        let mut endless = Endless { first, then, read: 0 };
        let spool = Spool::new_in(&std::env::temp_dir()).unwrap();
        (TarIndex::spool(&mut endless, spool), endless.read)
    }

    #[test]
    fn stream_without_tar_header_fails_early() {
        let tar = [header("a", 3, 7), b"abc".to_vec(), vec![0; 509]].concat();
        for (first, then, reason) in [
            (&b""[..], 0, "a tar without entries"),
            (b"", b'x', "is not a tar"),
            (b"<!DOCTYPE html>", b' ', "is not a tar"),
            (&tar, b'x', "invalid tar header"),
        ] {
            let (spooled, read) = spooled(first, then);
            let refusal = spooled.unwrap_err();
            assert!(refusal.to_string().contains(reason), "no `{reason}` in: {refusal}");
            assert!(read <= 1 << 20, "{reason}: {read} bytes were read");
        }
    }

    #[test]
    fn stream_after_end_of_tar_is_not_spooled() {
        let tar = [header("a", 3, 7), b"abc".to_vec(), vec![0; 509], END.to_vec()].concat();
        for then in [0, b'x'] {
            let (spooled, read) = spooled(&tar, then);
            let tarball = spooled.unwrap();
            assert_eq!(tarball.bytes(tarball.find("a").unwrap()).unwrap(), b"abc");
            assert!(
                read <= MAX_TRAILING_BYTES + (1 << 20)
                    && tarball.file.metadata().unwrap().len() <= 1 << 20
            );
        }
    }

    #[test]
    fn index_finds_entries_of_any_size() {
        let mut tar = Vec::new();
        let sizes = [0, 1, 511, 512, 513, 3 * WINDOW_BYTES, 70_000];
        for (letter, size) in (b'a'..).zip(sizes) {
            tar.extend(header(&char::from(letter).to_string(), size as u64, 0));
            tar.extend(std::iter::repeat_n(letter, size));
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend(END);
        let mut spool = Spool::new_in(&std::env::temp_dir()).unwrap();
        spool.write(&tar).unwrap();
        let tarball = TarIndex::index(spool.into_file(), &Control::default()).unwrap();
        for (letter, size) in (b'a'..).zip(sizes) {
            let span = tarball.find_unique(&format!("./{}", char::from(letter))).unwrap();
            assert_eq!(tarball.bytes(span).unwrap(), vec![letter; size]);
        }
    }
}
