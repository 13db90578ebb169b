//! Extension headers in front of an entry: PAX records and GNU long names. Spec: POSIX `pax`, "Extended Header".
//!
//! A layer is rejected if two of them, or one and the header, disagree: two readers would see different entries
//! (CVE-2025-62518).

use std::collections::HashMap;
use std::io;

use super::entry::Timestamp;
use super::header::text;
use super::invalid::invalid;
use super::pax;
use super::pax_sparse::{PaxSparse, SparseRecords};
use super::pax_value::{name, number, time};

/// Maximum bytes of one extension header.
pub(super) const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// The kernel's limits for name and value of an extended attribute, in bytes.
const MAX_XATTR_BYTES: (usize, usize) = (255, 64 << 10);

/// Sizes from here on do not fit into the octal field of a header: only a PAX record can hold them.
const BEYOND_OCTAL: u64 = 8 << 30;

/// Prefix of the keys of sparse-file records.
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";

/// The extensions read so far for the next entry.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    has_pax: bool,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: Option<SparseRecords>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extensions {
    /// Whether there was no extension header.
    pub(super) fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && !self.has_pax
    }

    /// Reads the bytes of a header of type `L` (long name) or `K` (long link).
    pub(super) fn read_long(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let long = if kind == b'L' { &mut self.long_name } else { &mut self.long_link };
        match long.replace(text(bytes).to_vec()) {
            None => Ok(()),
            Some(_) => Err(invalid("has conflicting names for one entry")),
        }
    }

    /// Reads the records of a header of type `x`.
    pub(super) fn read_pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.has_pax, true) {
            return Err(invalid("has two PAX headers for one entry"));
        }
        // The last of several records with one key wins.
        let mut xattrs = HashMap::new();
        for (key, value) in records(bytes)? {
            // An empty value unsets an earlier record.
            let is_set = !value.is_empty();
            match key {
                b"path" => self.path = is_set.then(|| name(value)).transpose()?,
                b"linkpath" => self.link = is_set.then(|| name(value)).transpose()?,
                b"size" => {
                    let size = is_set.then(|| number(value)).transpose()?;
                    self.size = size.and_then(|size| u64::try_from(size).ok());
                }
                b"uid" => self.uid = is_set.then(|| number(value)).transpose()?,
                b"gid" => self.gid = is_set.then(|| number(value)).transpose()?,
                b"mtime" => self.mtime = is_set.then(|| time(value)).transpose()?,
                key => {
                    if let Some(key) = key.strip_prefix(SPARSE_PREFIX) {
                        self.sparse.get_or_insert_default().read(key, value)?;
                    } else if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
                        if key.len() > MAX_XATTR_BYTES.0 || value.len() > MAX_XATTR_BYTES.1 {
                            return Err(invalid("has an extended attribute that is too large"));
                        }
                        xattrs.insert(name(key)?, value.to_vec());
                    }
                }
            }
        }
        self.xattrs = xattrs.into_iter().collect();
        self.xattrs.sort_unstable();
        Ok(())
    }

    /// Returns the stored bytes of an entry with this size in its header.
    pub(super) fn size(&self, in_header: u64) -> io::Result<u64> {
        match self.size {
            Some(size) if size != in_header && size < BEYOND_OCTAL => {
                Err(invalid("has conflicting sizes for one entry"))
            }
            Some(size) => Ok(size),
            None => Ok(in_header),
        }
    }

    /// Returns the sparse-file records. A name in them becomes the name of the entry.
    pub(super) fn take_sparse(&mut self) -> io::Result<Option<PaxSparse>> {
        let Some(records) = self.sparse.take() else { return Ok(None) };
        let mut sparse = records.validate()?;
        if let Some(name) = sparse.name.take() {
            self.path = Some(name);
        }
        Ok(Some(sparse))
    }

    /// Returns the name.
    pub(super) fn take_name(&mut self, in_header: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
        merge_pax_and_gnu(self.path.take(), self.long_name.take())
            .map(|name| name.unwrap_or_else(in_header))
    }

    /// Returns the link target.
    pub(super) fn take_link(&mut self, in_header: &[u8]) -> io::Result<Vec<u8>> {
        merge_pax_and_gnu(self.link.take(), self.long_link.take())
            .map(|link| link.unwrap_or_else(|| in_header.to_vec()))
    }
}

/// Checks that a global header does not change names or sizes of entries. Its other records are ignored, as in Go's
/// reader, which reads most images.
pub(super) fn check_global(bytes: &[u8]) -> io::Result<()> {
    if records(bytes)?.iter().any(|(key, _)| *key == b"size" || key.starts_with(SPARSE_PREFIX)) {
        return Err(invalid("sets a size in a global PAX header"));
    }
    Ok(())
}

fn records(bytes: &[u8]) -> io::Result<Vec<(&[u8], &[u8])>> {
    pax::records(bytes).ok_or_else(|| invalid("has a malformed PAX header"))
}

fn merge_pax_and_gnu(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(invalid("has conflicting names for one entry")),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> Vec<u8> {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        format!("{length}{rest}").into_bytes()
    }

    fn pax(records: &[(&str, &str)]) -> Result<Extensions, String> {
        let bytes: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut extensions = Extensions::default();
        extensions.read_pax(&bytes).map(|()| extensions).map_err(|error| error.to_string())
    }

    #[test]
    fn pax_mtime_has_nanoseconds_and_starts_in_1970() {
        for (text, seconds, nanoseconds) in [
            ("1", 1, 0),
            ("1700000000.25", 1_700_000_000, 250_000_000),
            ("1.123456789123", 1, 123_456_789),
            ("1.", 1, 0),
            ("-1.5", 0, 0),
        ] {
            let time = pax(&[("mtime", text)]).unwrap().mtime.unwrap();
            assert_eq!(time, Timestamp { seconds, nanoseconds }, "{text}");
        }
        for text in [".", "-", "1.x", "1e5", "--1", "99999999999999999999", " 1"] {
            assert!(pax(&[("mtime", text)]).is_err(), "{text}");
        }
    }

    #[test]
    fn pax_last_record_wins_and_empty_value_unsets() {
        let twice =
            [("path", "a"), ("path", "b"), ("uid", "1"), ("uid", ""), ("SCHILY.xattr.user.a", "1")];
        let mut extensions = pax(&[&twice[..], &[("SCHILY.xattr.user.a", "2")]].concat()).unwrap();
        assert_eq!(extensions.take_name(|| b"own".to_vec()).unwrap(), b"b");
        assert_eq!(extensions.uid, None);
        assert_eq!(extensions.xattrs, [(b"user.a".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn pax_and_gnu_conflict_is_rejected() {
        let extensions = pax(&[("size", "10"), ("path", "a"), ("linkpath", "l")]).unwrap();
        assert_eq!(extensions.size(10).unwrap(), 10);
        assert!(extensions.size(0).unwrap_err().to_string().contains("conflicting sizes"));
        assert_eq!(pax(&[("size", "8589934592")]).unwrap().size(0).unwrap(), 8 << 30);
        let mut both = extensions;
        both.read_long(b'L', b"b\0").unwrap();
        assert!(both.take_name(Vec::new).is_err() && both.read_long(b'L', b"b\0").is_ok());
        assert!(both.read_long(b'L', b"b\0").is_err() && both.read_pax(b"").is_err());
        for records in [
            [("path", "a\0b")],
            [("size", "-1")],
            [("size", "+1")],
            [("size", "9223372036854775808")],
            [("GNU.sparse.major", "x")],
        ] {
            assert!(pax(&records).is_err(), "{records:?}");
        }
        check_global(&record("comment", "abc")).unwrap();
        check_global(&record("path", "ignored")).unwrap();
        assert!(check_global(&record("size", "1")).is_err());
        assert!(check_global(&record("GNU.sparse.name", "a")).is_err());
    }

    #[test]
    fn xattr_over_kernel_limit_is_rejected() {
        let (name, value) = ("n".repeat(260), "v".repeat((64 << 10) + 1));
        assert!(pax(&[(&format!("SCHILY.xattr.{name}"), "")]).unwrap_err().contains("too large"));
        assert!(pax(&[("SCHILY.xattr.user.a", &value)]).unwrap_err().contains("too large"));
        assert!(pax(&[("SCHILY.xattr.user.a", &value[1..])]).is_ok());
    }
}
