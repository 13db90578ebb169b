//! Reads a bolt database, of which containerd has several, without its lock and without changing it.
//!
//! A database is a tree of pages. A transaction never overwrites pages of the one before it, so what is read is consistent
//! if no other was committed meanwhile. Format: <https://github.com/etcd-io/bbolt/blob/main/internal/common/page.go>.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Maximum size of a database; it is read into memory.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Maximum depth of a tree of pages: each level has at least two branches.
const MAX_DEPTH: usize = 32;

/// How often a database that changes meanwhile is read again.
const ATTEMPTS: usize = 5;

const MAGIC: u32 = 0xed0c_daed;
const VERSION: u32 = 2;
const HEADER: usize = 16;
const ELEMENT: usize = 16;
/// Bytes of a meta page after its header that its checksum covers.
const META: usize = 56;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const BUCKET: u32 = 1;

/// The bytes of a database as of one transaction.
pub(super) struct Bolt {
    bytes: Vec<u8>,
    meta: Meta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    page_size: usize,
    root: u64,
    transaction: u64,
}

/// Keys and values, sorted by key.
#[derive(Clone, Copy)]
pub(super) struct Bucket<'a> {
    bolt: &'a Bolt,
    root: Root<'a>,
}

#[derive(Clone, Copy)]
enum Root<'a> {
    Page(u64),
    /// A small bucket is a page in the value of its parent.
    Inline(&'a [u8]),
}

/// A value.
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Bucket(Bucket<'a>),
}

impl Bolt {
    pub(super) fn read(file: &File) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let length = file.metadata()?.len();
            if length > MAX_FILE_BYTES {
                return Err(corrupt("is larger than the limit"));
            }
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            let meta = Meta::newest(&bytes)?;
            let mut start = vec![0; bytes.len().min(2 * meta.page_size)];
            file.read_exact_at(&mut start, 0)?;
            if Meta::newest(&start)? == meta {
                return Ok(Self { bytes, meta });
            }
        }
        Err(io::Error::other("changes while it is read"))
    }

    pub(super) fn root(&self) -> Bucket<'_> {
        Bucket { bolt: self, root: Root::Page(self.meta.root) }
    }

    fn page(&self, id: u64) -> io::Result<&[u8]> {
        let size = self.meta.page_size;
        let start = usize::try_from(id).ok().and_then(|id| id.checked_mul(size));
        let start = start.ok_or_else(|| corrupt("has a page outside"))?;
        let overflow = u32_at(self.bytes.get(start..).unwrap_or_default(), 12)?;
        let length = (overflow as usize).checked_add(1).and_then(|pages| pages.checked_mul(size));
        let end = length.and_then(|length| start.checked_add(length));
        let page = end.and_then(|end| self.bytes.get(start..end));
        page.ok_or_else(|| corrupt("has a page outside"))
    }
}

impl Meta {
    /// The meta page of the last transaction that was written whole.
    fn newest(bytes: &[u8]) -> io::Result<Self> {
        let first = Self::parse(bytes);
        // The second one is on the next page, whose size only a meta page tells.
        let sizes =
            first.map_or_else(|| (9..17).map(|n| 1 << n).collect(), |meta| vec![meta.page_size]);
        let second = sizes.into_iter().find_map(|size: usize| Self::parse(bytes.get(size..)?));
        let newest = [first, second].into_iter().flatten().max_by_key(|meta| meta.transaction);
        newest.ok_or_else(|| corrupt("is no bolt database"))
    }

    fn parse(page: &[u8]) -> Option<Self> {
        let meta = page.get(HEADER..)?;
        let (magic, version) = (u32_at(meta, 0).ok()?, u32_at(meta, 4).ok()?);
        let checksum = u64_at(meta, META).ok()?;
        if magic != MAGIC || version != VERSION || fnv_1a(meta.get(..META)?) != checksum {
            return None;
        }
        let page_size = usize::try_from(u32_at(meta, 8).ok()?).ok()?;
        if !page_size.is_power_of_two() || !(512..=1 << 16).contains(&page_size) {
            return None;
        }
        Some(Self { page_size, root: u64_at(meta, 16).ok()?, transaction: u64_at(meta, 48).ok()? })
    }
}

impl<'a> Bucket<'a> {
    /// All keys with their values, in their order.
    pub(super) fn entries(self) -> io::Result<Vec<(&'a [u8], Value<'a>)>> {
        let mut entries = Vec::new();
        let mut budget = self.bolt.bytes.len() / self.bolt.meta.page_size;
        match self.root {
            Root::Page(id) => self.walk(id, 0, &mut budget, &mut entries)?,
            Root::Inline(page) => self.leaf(page, &mut entries)?,
        }
        Ok(entries)
    }

    /// The bucket with this key, if it exists.
    pub(super) fn bucket(self, key: &str) -> io::Result<Option<Self>> {
        let found = self.entries()?.into_iter().find(|(own, _)| *own == key.as_bytes());
        Ok(found.and_then(|(_, value)| match value {
            Value::Bucket(bucket) => Some(bucket),
            Value::Bytes(_) => None,
        }))
    }

    /// The value of this key, if it exists.
    pub(super) fn value(self, key: &str) -> io::Result<Option<&'a [u8]>> {
        let found = self.entries()?.into_iter().find(|(own, _)| *own == key.as_bytes());
        Ok(found.and_then(|(_, value)| match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Bucket(_) => None,
        }))
    }

    /// Visits each page once: a damaged file may lead round in circles.
    fn walk(
        self,
        id: u64,
        depth: usize,
        budget: &mut usize,
        entries: &mut Vec<(&'a [u8], Value<'a>)>,
    ) -> io::Result<()> {
        *budget = budget.checked_sub(1).ok_or_else(|| corrupt("has a page twice"))?;
        if depth > MAX_DEPTH {
            return Err(corrupt("has too many levels"));
        }
        let page = self.bolt.page(id)?;
        match u16_at(page, 8)? {
            LEAF => self.leaf(page, entries),
            BRANCH => {
                for index in 0..usize::from(u16_at(page, 10)?) {
                    let element = HEADER + index * ELEMENT;
                    self.walk(u64_at(page, element + 8)?, depth + 1, budget, entries)?;
                }
                Ok(())
            }
            _ => Err(corrupt("has a page of the wrong kind")),
        }
    }

    fn leaf(self, page: &'a [u8], entries: &mut Vec<(&'a [u8], Value<'a>)>) -> io::Result<()> {
        for index in 0..usize::from(u16_at(page, 10)?) {
            let element = HEADER + index * ELEMENT;
            let [flags, position, key, value] =
                [0, 4, 8, 12].map(|field| u32_at(page, element + field));
            let start = element.saturating_add(position? as usize);
            let middle = start.saturating_add(key? as usize);
            let end = middle.saturating_add(value? as usize);
            let outside = || corrupt("has a value outside of its page");
            let key = page.get(start..middle).ok_or_else(outside)?;
            let value = page.get(middle..end).ok_or_else(outside)?;
            let value = if flags? & BUCKET == 0 {
                Value::Bytes(value)
            } else {
                let root = match u64_at(value, 0)? {
                    0 => Root::Inline(value.get(HEADER..).ok_or_else(outside)?),
                    id => Root::Page(id),
                };
                Value::Bucket(Bucket { bolt: self.bolt, root })
            };
            entries.push((key, value));
        }
        Ok(())
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    let found = at.checked_add(N).and_then(|end| bytes.get(at..end));
    found.and_then(|found| found.try_into().ok()).ok_or_else(|| corrupt("ends early"))
}

// Bolt writes numbers as the machine has them, and all machines that run containerd are little-endian but s390x.
fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    bytes_at(bytes, at).map(u64::from_ne_bytes)
}

fn fnv_1a(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn corrupt(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
