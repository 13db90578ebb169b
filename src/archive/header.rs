//! Headers of archive entries: deterministic, independent of user and time.

use crate::tar_block::{BLOCK_BYTES, Dialect, NAME_BYTES, TarBlock, octal_or_binary};

/// The end of a tar: two empty blocks.
pub(super) const END: [u8; 1024] = [0; 1024];

/// The header of a regular file owned by root: one block, or more for a long name. Its length does not depend on the
/// size.
pub(super) fn header(name: &str, size: u64, modified: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut own = name.as_bytes();
    if own.len() > NAME_BYTES {
        // The type marks the entry with the whole name; its own name is conventional.
        block(b"@LongLink", b'L', own.len() as u64 + 1, 0, &mut bytes);
        bytes.extend_from_slice(own);
        bytes.resize((bytes.len() + 1).next_multiple_of(BLOCK_BYTES), 0);
        own = own.get(..NAME_BYTES - 1).unwrap_or_default();
    }
    block(own, b'0', size, modified, &mut bytes);
    bytes
}

fn block(name: &[u8], kind: u8, size: u64, modified: u64, into: &mut Vec<u8>) {
    TarBlock {
        name,
        mode: 0o644,
        uid: octal_or_binary(0, 8),
        gid: octal_or_binary(0, 8),
        size: octal_or_binary(size, 12),
        mtime: octal_or_binary(modified, 12),
        kind,
        link: b"",
        device: [Vec::new(), Vec::new()],
        prefix: b"",
    }
    .write(Dialect::Gnu, into);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tar::{EntryType, Header};

    use super::*;

    /// A block as written by the tar crate, which wrote the archives of earlier versions.
    fn by_crate(name: &str, kind: EntryType, size: u64, modified: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(modified);
        header.set_path(name).unwrap();
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn header_equals_header_of_tar_crate(
            name in "([a-z0-9]{1,3}/){0,2}[a-z]{1,160}",
            size in any::<u64>(),
            modified in any::<u64>(),
            shift in 0_u32..64,
        ) {
            let (size, modified) = (size >> shift, modified >> shift);
            let mut expected = Vec::new();
            if name.len() > NAME_BYTES {
                let length = name.len() as u64 + 1;
                expected.extend(by_crate("@LongLink", EntryType::GNULongName, length, 0));
                expected.extend(name.bytes());
                expected.resize((expected.len() + 1).next_multiple_of(BLOCK_BYTES), 0);
            }
            let own = if name.len() > NAME_BYTES { &name[..99] } else { &name };
            expected.extend(by_crate(own, EntryType::Regular, size, modified));
            prop_assert_eq!(header(&name, size, modified), expected);
        }
    }

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
