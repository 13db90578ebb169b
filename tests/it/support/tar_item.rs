//! Layer tars built entry by entry, valid or not.

use std::fmt;

/// An entry of a layer.
#[derive(Clone)]
pub(crate) struct TarItem {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(String, Vec<u8>)>,
    bytes: Vec<u8>,
    /// A wrong size for the header.
    size: Option<u64>,
}

impl fmt::Debug for TarItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (char::from(self.kind), self.name.escape_ascii());
        write!(f, "{kind} {name} -> {} {:o}", self.link.escape_ascii(), self.mode)
    }
}

impl TarItem {
    /// Creates an entry of this type, owned by root, with a fixed mtime.
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            kind,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: 0o644,
            owner: (0, 0),
            mtime: 1_600_000_000,
            device: (0, 0),
            pax: Vec::new(),
            bytes: Vec::new(),
            size: None,
        }
    }

    pub(crate) fn file(name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        Self { bytes: bytes.as_ref().to_vec(), ..Self::new(b'0', name) }
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        Self { mode: 0o755, ..Self::new(b'5', name) }
    }

    pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), mode: 0o777, ..Self::new(b'2', name) }
    }

    pub(crate) fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(b'1', name) }
    }

    pub(crate) fn device(kind: u8, name: &str, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(kind, name) }
    }

    /// Creates a whiteout of this path.
    pub(crate) fn whiteout(path: &str) -> Self {
        let (dir, name) = path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
        let slash = if dir.is_empty() { "" } else { "/" };
        Self::file(format!("{dir}{slash}.wh.{name}"), "")
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    pub(crate) fn mtime(mut self, mtime: u64) -> Self {
        self.mtime = mtime;
        self
    }

    /// Adds a PAX record.
    pub(crate) fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Sets a wrong size in the header.
    pub(crate) fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    fn write(&self, tar: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let records: Vec<u8> =
                self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            Self { bytes: records, ..Self::new(b'x', "pax") }.write(tar);
        }
        for (kind, text) in [(b'L', &self.name), (b'K', &self.link)] {
            if text.len() > 100 {
                let bytes = [text, &[0][..]].concat();
                Self { bytes, ..Self::new(kind, "././@LongLink") }.write(tar);
            }
        }
        let mut header = tar::Header::new_gnu();
        let field = |field: &mut [u8], text: &[u8]| {
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
        };
        // Written directly: the library refuses paths that lead out of the archive.
        field(&mut header.as_old_mut().name, &self.name);
        field(&mut header.as_old_mut().linkname, &self.link);
        header.as_old_mut().linkflag = [self.kind];
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(self.mtime);
        header.set_size(self.size.unwrap_or(self.bytes.len() as u64));
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(&self.bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
}

/// Encodes a PAX record, which begins with its length.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [format!(" {key}=").as_bytes(), value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// Returns the tar of these entries without its trailer.
pub(crate) fn tar_without_trailer(items: &[TarItem]) -> Vec<u8> {
    let mut tar = Vec::new();
    for item in items {
        item.write(&mut tar);
    }
    tar
}

/// Returns the tar of these entries.
pub(crate) fn tar(items: &[TarItem]) -> Vec<u8> {
    let mut tar = tar_without_trailer(items);
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Returns a tar, without trailer, of an old GNU sparse file with these extents and this size.
pub(crate) fn sparse(name: &str, extents: &[(u64, u64)], size: u64, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar_without_trailer(&[TarItem::new(b'S', name).size(bytes.len() as u64)]);
    let put = |block: &mut [u8], at: usize, number: u64| {
        block[at..at + 11].copy_from_slice(format!("{number:011o}").as_bytes());
    };
    put(&mut tar, 483, size);
    let (first, more) = extents.split_at(extents.len().min(4));
    let mut block = [0; 512];
    for (row, (offset, length)) in first.iter().enumerate() {
        put(&mut tar, 386 + 24 * row, *offset);
        put(&mut tar, 398 + 24 * row, *length);
    }
    for (row, (offset, length)) in more.iter().enumerate() {
        put(&mut block, 24 * row, *offset);
        put(&mut block, 24 * row + 12, *length);
    }
    tar[482] = u8::from(!more.is_empty());
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|&byte| u32::from(byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    if !more.is_empty() {
        tar.extend_from_slice(&block);
    }
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar
}
