//! Cuts a tar into the headers and the content of its entries.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead};
use std::ops::Range;

use super::fault::file_error;
use super::tar_file::TarFile;
use crate::control::Control;
use crate::error::Result;
use crate::file_cursor::skip_bytes;
use crate::layer::{Entries, EntryLimits, split};
use crate::limits::BUFFER_SIZE;

/// One entry of a tar. Hashes are of 64 bits and not cryptographic: what they lead to is proven afterwards.
pub(super) struct Span {
    /// Hash of its path.
    pub(super) path: u64,
    /// Hash of its directory, and its name without digits: `libssl.so.3.0.14` and `libssl.so.3.0.15` have the same.
    pub(super) stem: u64,
    /// Its header, and the extension headers before it.
    pub(super) header: Range<u64>,
    /// Its content with the padding.
    pub(super) content: Range<u64>,
}

/// Reads the entries of a tar, in order and without gaps. They end where the tar does, or where it is no tar any more.
///
/// # Errors
/// Those of reading the file, and [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
pub(super) fn spans<'a>(
    tar: &'a TarFile,
    control: &'a Control,
) -> impl Iterator<Item = Result<Span>> + use<'a> {
    let limits = EntryLimits::default();
    let mut entries = Entries::passing(tar.reader(control), skip_bytes, limits);
    std::iter::from_fn(move || next(&mut entries, tar.size()).transpose())
}

/// Returns the next entry of a tar of this size.
fn next(entries: &mut Entries<impl BufRead>, size: u64) -> Result<Option<Span>> {
    let found = match entries.next_span() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        found => found.map_err(|error| error.downcast().unwrap_or_else(file_error))?,
    };
    let Some(place) = found.filter(|place| place.content.start <= size) else { return Ok(None) };
    let (directory, name) = split(&place.path);
    let without_digits: Vec<u8> =
        name.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect();
    Ok(Some(Span {
        path: hash(&[&place.path]),
        stem: hash(&[directory, &without_digits]),
        header: place.header,
        content: place.content.start..place.content.end.min(size),
    }))
}

/// Hashes a range of a tar.
pub(super) fn hash_range(tar: &TarFile, range: &Range<u64>, buffer: &mut Vec<u8>) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(range.end - range.start);
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(BUFFER_SIZE);
        buffer.resize(length, 0);
        tar.read_exact_at(buffer, at)?;
        hasher.write(buffer);
        at += length as u64;
    }
    Ok(hasher.finish())
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}
