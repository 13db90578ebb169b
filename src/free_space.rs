//! Whether a disk has space: before a large write, and after a failed one.

use std::io;
use std::os::fd::AsFd;
#[cfg(feature = "cli")]
use std::path::Path;

/// Returns the free bytes of the file's file system if they are fewer than `bytes`; `None` if there is enough or it is
/// unknown.
///
/// Blocks reserved for root count as free: a false error would be worse than a late one. File systems that report 0 for
/// everything, or that grow on demand, are ignored.
pub(crate) fn insufficient_space(file: impl AsFd, bytes: u64) -> Option<u64> {
    let found = rustix::fs::fstatvfs(file).ok()?;
    let free = found.f_bfree.saturating_mul(found.f_frsize);
    (found.f_blocks > 0 && found.f_bfree > 0 && bytes > free).then_some(free)
}

/// Whether a write failed because the disk, or the user's share of it, has no space or no inodes left.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns the bytes that may still be written below the path, which need not exist; `None` if that is unknown.
#[cfg(feature = "cli")]
pub(crate) fn available_space(path: &Path) -> Option<u64> {
    // A relative path without a directory is one of the working directory.
    let parents = path.ancestors().filter(|path| !path.as_os_str().is_empty());
    let found = parents.chain([Path::new(".")]).find_map(|path| rustix::fs::statvfs(path).ok())?;
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn disk_full_of_device_or_quota_is_recognized() {
        for full in [Errno::NOSPC, Errno::DQUOT] {
            assert!(is_disk_full(&full.into()), "{full}");
        }
        assert!(!is_disk_full(&Errno::IO.into()));
    }

    #[test]
    fn free_space_unknown_is_not_refused() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(insufficient_space(&file, 0), None);
        assert!(insufficient_space(&file, u64::MAX).is_some());
        // Kernel file systems have no blocks.
        assert_eq!(
            insufficient_space(std::fs::File::open("/proc/self/status").unwrap(), u64::MAX),
            None
        );
    }
}
