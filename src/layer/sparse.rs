//! Sparse files: the extents of a file that are stored.

use std::io;

use super::invalid::invalid;

/// Maximum extents of one file.
pub(super) const MAX_EXTENTS: usize = 1 << 16;

/// Largest size of a sparse file. A few stored bytes could still fill the disk of a program that copies the file.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// Checks the size of a file of which not all bytes are stored.
pub(super) fn check_file_size(size: u64) -> io::Result<()> {
    if size <= MAX_FILE_BYTES {
        Ok(())
    } else {
        Err(invalid("has a sparse file whose holes are too large"))
    }
}

/// Bytes of a file that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The stored extents of a sparse file.
#[derive(Debug)]
pub(super) struct SparseMap {
    pub(super) extents: Vec<Extent>,
    /// Bytes of the file, including holes.
    pub(super) size: u64,
}

impl SparseMap {
    pub(super) fn new(size: u64) -> Self {
        Self { extents: Vec::new(), size }
    }

    pub(super) fn extend(&mut self, more: Vec<Extent>) -> io::Result<()> {
        self.extents.extend(more);
        if self.extents.len() > MAX_EXTENTS {
            Err(invalid("has a sparse file with too many holes"))
        } else {
            Ok(())
        }
    }

    /// Checks that the extents are in order, inside the file, and together as long as the `stored` bytes.
    pub(super) fn check(&self, stored: u64) -> io::Result<()> {
        check_file_size(self.size)?;
        let mut end = 0;
        let mut sum = 0_u64;
        for extent in &self.extents {
            let next = extent.offset.checked_add(extent.length).filter(|next| *next <= self.size);
            let Some(next) = next.filter(|_| extent.offset >= end) else {
                return Err(invalid("has a sparse file with an invalid map"));
            };
            end = next;
            sum += extent.length;
        }
        if sum == stored { Ok(()) } else { Err(invalid("has a sparse file with an invalid map")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(extents: &[(u64, u64)], size: u64, stored: u64) -> Result<(), String> {
        let mut map = SparseMap::new(size);
        let extents = extents.iter().map(|&(offset, length)| Extent { offset, length }).collect();
        map.extend(extents).and_then(|()| map.check(stored)).map_err(|error| error.to_string())
    }

    #[test]
    fn sparse_map_overlapping_or_oversized_is_rejected() {
        check(&[], 10, 0).unwrap();
        check(&[(0, 4), (4, 0), (8, 2), (10, 0)], 10, 6).unwrap();
        for (extents, size, stored) in [
            (&[(0, 4)][..], 10, 5),
            (&[(0, 4)], 3, 4),
            (&[(4, 4), (0, 4)], 10, 8),
            (&[(0, 4), (3, 4)], 10, 8),
            (&[(u64::MAX, 2)], u64::MAX, 2),
            (&[(0, 1)], 1 << 40, 1),
        ] {
            assert!(check(extents, size, stored).unwrap_err().contains("sparse"), "{extents:?}");
        }
        assert!(check(&vec![(0, 0); MAX_EXTENTS + 1], 0, 0).unwrap_err().contains("too many"));
    }
}
