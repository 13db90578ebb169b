//! Headers of entries as they are written: the same for the same content, whoever writes it and when.

use tar::{EntryType, Header};

use super::tarball::BLOCK;

/// What ends a tar.
pub(super) const END: [u8; 1024] = [0; 1024];

/// The header of a regular file of root's, of one block or, for a long name, more.
pub(super) fn header(name: &str, size: u64, modified: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut own = plain(size, modified);
    if own.set_path(name).is_err() {
        let mut long = plain(name.len() as u64 + 1, 0);
        long.set_entry_type(EntryType::GNULongName);
        // What GNU tar calls it; it always fits.
        drop(long.set_path("././@LongLink"));
        long.set_cksum();
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(padded(bytes.len() as u64 + 1), 0);
        let cut: String = name.chars().take(99).collect();
        drop(own.set_path(cut));
    }
    own.set_cksum();
    bytes.extend_from_slice(own.as_bytes());
    bytes
}

fn plain(size: u64, modified: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified);
    header
}

/// So many bytes with what fills up the last block.
fn padded(bytes: u64) -> usize {
    usize::try_from(bytes.next_multiple_of(BLOCK)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_long_name_and_large_size_round_trip() {
        for length in [1, 99, 100, 101, 141, 600] {
            let name = "n".repeat(length);
            let tar = [header(&name, 3, 7), b"abc".to_vec(), vec![0; 509], END.to_vec()].concat();
            let mut archive = tar::Archive::new(tar.as_slice());
            let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
            let [entry] = entries.as_slice() else { panic!("one entry") };
            assert_eq!(*entry.path_bytes(), *name.as_bytes());
            assert_eq!((entry.size(), entry.header().mtime().unwrap()), (3, 7));
        }
        let large = header("a", 20 << 30, 0);
        assert_eq!(Header::from_byte_slice(&large).entry_size().unwrap(), 20 << 30);
    }
}
