//! Finds the headers and contents of a tar's entries in old tars.

use std::collections::HashMap;
use std::ops::Range;

use super::limits::MAX_ENTRIES;
use super::ops::Part;
use super::spans::{Span, hash_range, spans};
use super::tar_file::TarFile;
use crate::control::Control;
use crate::error::{Error, Result};

/// An old tar of which less than one in this many bytes is of use is not used: the recipient has to decompress all of it.
const MIN_USED_DIVISOR: u64 = 256;

/// A part of the new tar, and what old tars have of it.
pub(super) struct Segment {
    pub(super) range: Range<u64>,
    pub(super) found: Found,
}

#[derive(Clone, Copy)]
pub(super) enum Found {
    /// The same bytes.
    Same(Part),
    /// Bytes that are probably alike.
    Like(Part),
    Nothing,
}

impl Found {
    fn part(self) -> Option<Part> {
        match self {
            Self::Same(part) | Self::Like(part) => Some(part),
            Self::Nothing => None,
        }
    }
}

/// A range of an old tar, and the hash of its bytes.
#[derive(Clone, Copy)]
struct Hashed {
    part: Part,
    hash: u64,
}

/// The entries of old tars by what may be looked for.
#[derive(Default)]
pub(super) struct OldEntries {
    /// The header and the content of each entry.
    entries: Vec<[Hashed; 2]>,
    by_bytes: HashMap<u64, Part>,
    by_path: HashMap<u64, usize>,
    by_stem: HashMap<u64, usize>,
}

impl OldEntries {
    /// Of entries with one path, the last one of the last layer counts, which is what the image shows. Entries after the first
    /// `max` are not found.
    pub(super) fn new(old: &[TarFile], max: usize, control: &Control) -> Result<Self> {
        let mut index = Self::default();
        let mut buffer = Vec::new();
        for (layer, tar) in old.iter().enumerate() {
            for span in spans(tar, control).take(max - index.entries.len()) {
                let Span { path, stem, header, content } = span?;
                let mut hashed = |range: Range<u64>| {
                    let hash = hash_range(tar, &range, &mut buffer)?;
                    let length = range.end - range.start;
                    Ok::<_, Error>(Hashed {
                        part: Part { layer, offset: range.start, length },
                        hash,
                    })
                };
                let entry = [hashed(header)?, hashed(content)?];
                for Hashed { part, hash } in entry {
                    index.by_bytes.entry(hash).or_insert(part);
                }
                index.by_path.insert(path, index.entries.len());
                index.by_stem.insert(stem, index.entries.len());
                index.entries.push(entry);
            }
        }
        Ok(index)
    }

    /// The headers and contents of the new tar, in order and without gaps, up to where it is no tar, or has too many entries.
    pub(super) fn find(&self, new: &TarFile, control: &Control) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut buffer = Vec::new();
        for span in spans(new, control).take(MAX_ENTRIES) {
            let span = span?;
            let at = self.by_path.get(&span.path).or_else(|| self.by_stem.get(&span.stem));
            let like = at.and_then(|at| self.entries.get(*at));
            let [header, content] = like.map_or([None; 2], |entry| entry.map(Some));
            for (range, like) in [(span.header, header), (span.content, content)] {
                if range.is_empty() {
                    continue;
                }
                let hash = hash_range(new, &range, &mut buffer)?;
                segments.push(Segment { found: self.look_up(hash, &range, like), range });
            }
        }
        Ok(segments)
    }

    fn look_up(&self, hash: u64, range: &Range<u64>, like: Option<Hashed>) -> Found {
        let length = range.end - range.start;
        // What the counterpart has is next to what was copied before, and needs no operation of its own.
        let same = like.filter(|like| like.hash == hash).map(|like| like.part);
        let same = same.or_else(|| self.by_bytes.get(&hash).copied());
        match (same.filter(|part| part.length == length), like) {
            (Some(part), _) => Found::Same(part),
            (None, Some(like)) if like.part.length > 0 => Found::Like(like.part),
            (None, _) => Found::Nothing,
        }
    }
}

/// Forgets what was found in tars of which little is of use.
pub(super) fn drop_little_used(segments: &mut [Segment], old: &[TarFile]) {
    let mut used: HashMap<usize, u64> = HashMap::new();
    for part in segments.iter().filter_map(|segment| segment.found.part()) {
        *used.entry(part.layer).or_default() += part.length;
    }
    let is_little_used = |part: Part| {
        let size = old.get(part.layer).map_or(0, TarFile::size);
        used.get(&part.layer).is_none_or(|bytes| *bytes < size / MIN_USED_DIVISOR)
    };
    for segment in segments {
        if segment.found.part().is_some_and(is_little_used) {
            segment.found = Found::Nothing;
        }
    }
}
