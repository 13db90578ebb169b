//! Space on a disk, asked before it is needed.

use std::os::fd::AsFd;

/// The bytes that are free on the file system of this file, where that is known and they are fewer than `bytes`.
///
/// Those reserved for root count: a wrong refusal would be worse than one that comes later. Some file systems say 0 of
/// everything, or have no free blocks to speak of because they grow; they are not believed.
pub(crate) fn too_little(file: impl AsFd, bytes: u64) -> Option<u64> {
    let found = rustix::fs::fstatvfs(file).ok()?;
    let free = found.f_bfree.saturating_mul(found.f_frsize);
    (found.f_blocks > 0 && found.f_bfree > 0 && bytes > free).then_some(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_unknown_is_not_refused() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(too_little(&file, 0), None);
        assert!(too_little(&file, u64::MAX).is_some());
        // The file systems of the kernel have no blocks.
        assert_eq!(too_little(std::fs::File::open("/proc/self/status").unwrap(), u64::MAX), None);
    }
}
