//! The table of a tar: which bytes of the file are which entry. Nothing is extracted, and no name leads to a disk.
//!
//! Headers are hostile until they are read here: how many there are, how long they are and what they say is limited.
//! Where a PAX record and a header disagree, so that two readers would see different entries, the tar is refused
//! (CVE-2025-62518).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::io::{pread, retry_on_intr};
use tar::{EntryType, Header};

use super::names::{clean, resolve};
use crate::layer::pax;

/// Of a header, and what every entry is padded to.
pub(super) const BLOCK: u64 = 512;

/// Where the checksum stands in a header.
const CHECKSUM: Range<usize> = 148..156;

/// Entries that are listed.
const MOST: usize = 100_000;

/// Bytes of all their names together.
const MOST_NAMES: usize = 16 << 20;

/// Bytes of one entry that only says something about the next.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Bytes of a name.
const LONGEST_NAME: usize = 4096;

/// From here on a size does not fit into a header of the oldest kind, and a PAX record has it alone.
const BEYOND_OCTAL: u64 = 8 << 30;

/// Links that are followed from one to the next.
const LINKS: usize = 8;

/// An indexed tar.
#[derive(Debug)]
pub(super) struct Tarball {
    file: File,
    nodes: HashMap<String, Node>,
    /// Bytes of their names and of where links lead.
    names: usize,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Whether an earlier entry had the same name.
    again: bool,
}

#[derive(Debug)]
enum Kind {
    File(Range<u64>),
    /// The name of another entry; `None` where it leads out of the archive.
    Link(Option<String>),
    /// A device, a sparse file: nothing whose bytes could be read.
    Other,
}

/// Why an entry cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// There is none of that name.
    Missing,
    /// What is there cannot be used.
    Unusable(&'static str),
}

/// What the entries before an entry say about it.
#[derive(Default)]
struct Ahead {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax_path: Option<Vec<u8>>,
    pax_link: Option<Vec<u8>>,
    pax_size: Option<u64>,
    sparse: bool,
}

impl Tarball {
    /// Reads every header of the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what is no tar, or one that cannot be read in one way only.
    pub(super) fn index(file: File) -> io::Result<Self> {
        let mut tarball = Self { file, nodes: HashMap::new(), names: 0 };
        let length = tarball.file.metadata()?.len();
        if length == 0 {
            return Err(invalid("is empty"));
        }
        let mut at = 0;
        let mut ahead = Ahead::default();
        let mut count = 0;
        // Without the two empty blocks at its end a tar is as good (quay/claircore#683).
        while at < length {
            let Some(header) = tarball.header(at, length)? else { break };
            count += 1;
            if count > MOST {
                return Err(invalid("has more entries than are listed"));
            }
            let start = at + BLOCK;
            let size = ahead.size_of(&header)?;
            let padded =
                size.checked_next_multiple_of(BLOCK).and_then(|size| start.checked_add(size));
            let next = padded.ok_or_else(|| invalid("has an entry of an impossible size"))?;
            if start + size > length {
                return Err(invalid("is cut off"));
            }
            if !tarball.read_ahead(&header, start..start + size, &mut ahead)? {
                tarball.note(&header, start..start + size, std::mem::take(&mut ahead))?;
            }
            at = next;
        }
        Ok(tarball)
    }

    /// The header at this place; `None` for the empty block that ends a tar.
    fn header(&self, at: u64, length: u64) -> io::Result<Option<Header>> {
        let broken =
            if at == 0 { "is no tar" } else { "is damaged: what should be a header is none" };
        if length - at < BLOCK {
            return Err(invalid(if at == 0 { broken } else { "is cut off" }));
        }
        let mut header = Header::new_old();
        self.file.read_exact_at(header.as_mut_bytes(), at)?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The field of the sum itself counts as blank.
        let counted =
            |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
        let computed = bytes.iter().enumerate().map(counted).sum::<u32>();
        if header.cksum().ok() != Some(computed) {
            return Err(invalid(broken));
        }
        Ok(Some(header))
    }

    /// Keeps what an entry says about the next one; tells whether it is such an entry.
    fn read_ahead(&self, header: &Header, span: Range<u64>, ahead: &mut Ahead) -> io::Result<bool> {
        if !is_ahead(header) {
            return Ok(false);
        }
        let kind = header.entry_type();
        if span.end - span.start > LONGEST_EXTENSION {
            return Err(invalid("has a header that is too large"));
        }
        let mut bytes = self.bytes(span)?;
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
            let long =
                if kind.is_gnu_longname() { &mut ahead.long_name } else { &mut ahead.long_link };
            *long = Some(bytes);
        } else {
            let global = kind.is_pax_global_extensions();
            ahead.read_pax(&bytes, global)?;
        }
        Ok(true)
    }

    fn note(&mut self, header: &Header, span: Range<u64>, ahead: Ahead) -> io::Result<()> {
        let own_name = || header.path_bytes().into_owned();
        let name = ahead.pax_path.or(ahead.long_name).unwrap_or_else(own_name);
        if name.len() > LONGEST_NAME {
            return Err(invalid("has a name that is too long"));
        }
        // A name that is no text, or leads out of the archive, is nobody's: nothing can ask for it.
        let Some(name) = std::str::from_utf8(&name).ok().and_then(clean) else { return Ok(()) };
        let target = || {
            let own = header.link_name_bytes().map(std::borrow::Cow::into_owned);
            ahead.pax_link.clone().or(ahead.long_link.clone()).or(own).unwrap_or_default()
        };
        let kind = match header.entry_type() {
            EntryType::Directory => return Ok(()),
            _ if ahead.sparse => Kind::Other,
            EntryType::Regular | EntryType::Continuous => Kind::File(span),
            EntryType::Symlink => {
                Kind::Link(std::str::from_utf8(&target()).ok().and_then(|to| resolve(&name, to)))
            }
            EntryType::Link => Kind::Link(std::str::from_utf8(&target()).ok().and_then(clean)),
            _ => Kind::Other,
        };
        self.names += name.len();
        if let Kind::Link(Some(target)) = &kind {
            self.names += target.len();
        }
        if self.names > MOST_NAMES {
            return Err(invalid("has names that are too long together"));
        }
        let again = self.nodes.contains_key(&name);
        self.nodes.insert(name, Node { kind, again });
        Ok(())
    }

    /// Where the bytes of this entry are, links followed; the last of several with that name.
    pub(super) fn find(&self, name: &str) -> Result<Range<u64>, Lack> {
        let out = Lack::Unusable("leads out of the archive");
        let mut name = clean(name).ok_or(out)?;
        for _ in 0..LINKS {
            match &self.nodes.get(&name).ok_or(Lack::Missing)?.kind {
                Kind::File(span) => return Ok(span.clone()),
                Kind::Link(Some(target)) => name.clone_from(target),
                Kind::Link(None) => return Err(Lack::Unusable("leads out of the archive")),
                Kind::Other => return Err(Lack::Unusable("is not a regular file")),
            }
        }
        Err(Lack::Unusable("is a link that leads nowhere"))
    }

    /// As [`Tarball::find`], for what nothing but its name vouches for: of two with one name each reader may take another.
    pub(super) fn find_only(&self, name: &str) -> Result<Range<u64>, Lack> {
        let span = self.find(name)?;
        let again =
            clean(name).and_then(|name| self.nodes.get(&name)).is_some_and(|node| node.again);
        if again { Err(Lack::Unusable("is there twice")) } else { Ok(span) }
    }

    /// These bytes of the tar; the caller has limited how many.
    pub(super) fn bytes(&self, span: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(span.end - span.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, span.start)?;
        Ok(bytes)
    }

    /// At most so many bytes as `into` holds, from this place on.
    pub(super) fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(retry_on_intr(|| pread(&self.file, &mut *into, at))?)
    }
}

impl Ahead {
    /// Size of the entry behind this header.
    fn size_of(&self, header: &Header) -> io::Result<u64> {
        match header.entry_type() {
            // These have no bytes, whatever the header says; other readers see it so too.
            EntryType::Symlink
            | EntryType::Link
            | EntryType::Directory
            | EntryType::Fifo
            | EntryType::Char
            | EntryType::Block => return Ok(0),
            // It can have more headers, which not every reader looks for.
            EntryType::GNUSparse => return Err(invalid("has a sparse file, which no image needs")),
            _ => {}
        }
        let own = header.entry_size()?;
        // What stands ahead is about the entry, not about other headers ahead of it.
        match self.pax_size.filter(|_| !is_ahead(header)) {
            Some(size) if size != own && size < BEYOND_OCTAL => {
                Err(invalid("says two sizes of one entry"))
            }
            Some(size) => Ok(size),
            None => Ok(own),
        }
    }

    fn read_pax(&mut self, records: &[u8], global: bool) -> io::Result<()> {
        let records = pax::records(records);
        for (key, value) in records.ok_or_else(|| invalid("has a malformed PAX header"))? {
            if global && matches!(key, b"path" | b"linkpath" | b"size") {
                return Err(invalid("gives many entries one name or size"));
            }
            match key {
                b"path" => self.pax_path = Some(value.to_vec()),
                b"linkpath" => self.pax_link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.pax_size = Some(size.ok_or_else(|| invalid("has a malformed PAX size"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether it only says something about the next entry, or about all.
fn is_ahead(header: &Header) -> bool {
    matches!(
        header.entry_type(),
        EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader
    )
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
