//! The table of contents of an eStargz layer, as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::digest::Digest;
use crate::layer::{EntryKind, LayerEntry, Timestamp, name_in_tar};

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// The last second that RFC 3339 can express.
const LAST_SECOND: i64 = 253_402_300_799;

/// A part of a file that is compressed alone.
pub(super) struct Chunk {
    /// Position of its gzip member in the blob.
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// Collects the entries.
#[derive(Default)]
pub(super) struct TableWriter {
    /// The items, each with a comma before it.
    items: Vec<u8>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    link_name: Cow<'a, str>,
    #[serde(skip_serializing_if = "is_default")]
    mode: u32,
    #[serde(skip_serializing_if = "is_default")]
    uid: u32,
    #[serde(skip_serializing_if = "is_default")]
    gid: u32,
    #[serde(skip_serializing_if = "is_default")]
    offset: u64,
    #[serde(skip_serializing_if = "is_default")]
    dev_major: u32,
    #[serde(skip_serializing_if = "is_default")]
    dev_minor: u32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<Cow<'a, str>, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a Digest>,
    #[serde(skip_serializing_if = "is_default")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_default")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<&'a Digest>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TableWriter {
    /// Adds an entry of the tar, whose names are UTF-8. `digest` is that of its data.
    pub(super) fn add(
        &mut self,
        entry: &LayerEntry,
        digest: &Digest,
        chunks: &[Chunk],
    ) -> io::Result<()> {
        let name = name_in_tar(entry);
        let name = String::from_utf8_lossy(&name);
        let xattrs = entry
            .xattrs
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name), STANDARD.encode(value)));
        let item = Item {
            name: name.clone(),
            kind: kind(entry.kind),
            size: entry.size,
            modtime: rfc3339(entry.mtime),
            link_name: String::from_utf8_lossy(&entry.link),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            dev_major: entry.device.major,
            dev_minor: entry.device.minor,
            xattrs: xattrs.collect(),
            digest: (entry.kind == EntryKind::File).then_some(digest),
            ..Item::default()
        };
        let Some((first, others)) = chunks.split_first() else { return self.item(&item) };
        self.item(&item.with_chunk(first, 0))?;
        let mut position = first.size;
        for chunk in others {
            let item = Item { name: name.clone(), kind: "chunk", ..Item::default() };
            self.item(&item.with_chunk(chunk, position))?;
            position += chunk.size;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        self.items.push(b',');
        Ok(serde_json::to_writer(&mut self.items, item)?)
    }

    pub(super) fn finish(&self) -> Vec<u8> {
        let items = self.items.strip_prefix(b",").unwrap_or_default();
        [br#"{"version":1,"entries":["#, items, b"]}"].concat()
    }
}

impl<'a> Item<'a> {
    fn with_chunk(self, chunk: &'a Chunk, position: u64) -> Self {
        Self {
            offset: chunk.offset,
            chunk_offset: position,
            chunk_size: chunk.size,
            chunk_digest: Some(&chunk.digest),
            ..self
        }
    }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "dir",
        EntryKind::Symlink => "symlink",
        EntryKind::Hardlink => "hardlink",
        EntryKind::Character => "char",
        EntryKind::Block => "block",
        EntryKind::Fifo => "fifo",
        EntryKind::File | EntryKind::Whiteout | EntryKind::Opaque => "reg",
    }
}

/// The second in UTC; `None` for the epoch, as in tables of other writers, and for what RFC 3339 cannot express.
fn rfc3339(time: Timestamp) -> Option<String> {
    let seconds = time.seconds;
    if !(1..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    // Days since 0000-03-01, in eras of 400 years. A year begins in March, so that a leap day is its last.
    let (days, second) = (seconds / DAY + 719_468, seconds % DAY);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_rfc3339() {
        for (seconds, text) in [
            (1, Some("1970-01-01T00:00:01Z")),
            (951_782_399, Some("2000-02-28T23:59:59Z")),
            (951_782_400, Some("2000-02-29T00:00:00Z")),
            (1_767_225_599, Some("2025-12-31T23:59:59Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00Z")),
            (LAST_SECOND, Some("9999-12-31T23:59:59Z")),
            (0, None),
            (LAST_SECOND + 1, None),
            (i64::MAX, None),
        ] {
            let time = Timestamp { seconds, nanoseconds: 5 };
            assert_eq!(rfc3339(time).as_deref(), text, "{seconds}");
        }
    }
}
