//! An entry of a table of contents, as both formats have it.

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::layer::invalid::invalid;
use crate::layer::raw_entry::{device_number, normalize, owner};
use crate::layer::{Device, EntryKind, LayerEntry, Timestamp};

/// Why a table is not used.
pub(super) enum TocError {
    /// It contradicts itself.
    Invalid(io::Error),
    /// It is of a kind that is not known here.
    Unknown,
}

impl From<io::Error> for TocError {
    fn from(error: io::Error) -> Self {
        Self::Invalid(error)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TocEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    link_name: String,
    mode: u32,
    pub(super) size: u64,
    uid: i64,
    gid: i64,
    modtime: Option<String>,
    dev_major: i64,
    dev_minor: i64,
    xattrs: Option<BTreeMap<String, String>>,
    /// Of the whole file.
    pub(super) digest: String,
    /// Where its compressed bytes begin in the layer, and where those of the file end; 0 if not said.
    pub(super) offset: u64,
    pub(super) end_offset: u64,
    /// Decompressed bytes before it at the offset.
    pub(super) inner_offset: u64,
    /// Position and length in the file; a length of 0 is the rest of the file.
    pub(super) chunk_offset: u64,
    pub(super) chunk_size: u64,
    pub(super) chunk_digest: String,
    pub(super) chunk_type: String,
}

impl TocEntry {
    /// The entry of the layer; `None` for one that is left out.
    pub(super) fn entry(&self) -> Result<Option<LayerEntry>, TocError> {
        // Go writes this character for bytes that are not UTF-8: the name is another one.
        if self.name.contains('\u{fffd}') || self.link_name.contains('\u{fffd}') {
            return Err(TocError::Unknown);
        }
        let kind = match &*self.kind {
            "dir" => EntryKind::Directory,
            // Readers of the tar see a directory there.
            "reg" if self.name.ends_with('/') && self.size == 0 => EntryKind::Directory,
            "reg" if self.name.ends_with('/') => {
                return Err(invalid("has a file whose name ends in a slash").into());
            }
            "reg" => EntryKind::File,
            "symlink" => EntryKind::Symlink,
            "hardlink" => EntryKind::Hardlink,
            "char" => EntryKind::Character,
            "block" => EntryKind::Block,
            "fifo" => EntryKind::Fifo,
            _ => return Err(TocError::Unknown),
        };
        let device = match kind {
            EntryKind::Character | EntryKind::Block => {
                device_number(self.dev_major, self.dev_minor)?
            }
            _ => Device::default(),
        };
        let xattrs = self.xattrs.iter().flatten().map(|(name, value)| {
            let value = STANDARD
                .decode(value)
                .map_err(|_| invalid("has a malformed extended attribute"))?;
            Ok((name.as_bytes().to_vec(), value))
        });
        Ok(normalize(LayerEntry {
            path: self.name.as_bytes().to_vec(),
            kind,
            mode: self.mode & 0o7777,
            uid: owner(Some(self.uid))?,
            gid: owner(Some(self.gid))?,
            mtime: mtime(self.modtime.as_deref()),
            size: self.size,
            link: self.link_name.as_bytes().to_vec(),
            device,
            xattrs: xattrs.collect::<io::Result<_>>()?,
        })?)
    }
}

/// A time that cannot be read is of no importance.
fn mtime(text: Option<&str>) -> Timestamp {
    let time = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let time = time.filter(|time| time.as_second() >= 0).unwrap_or_default();
    Timestamp {
        seconds: time.as_second(),
        nanoseconds: u32::try_from(time.subsec_nanosecond()).unwrap_or_default(),
    }
}
