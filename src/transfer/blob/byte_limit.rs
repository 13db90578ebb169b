//! Ends a run after a number of new bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::size::size;

/// The bytes that all blobs of a run may still receive. Bytes that are received again do not count.
#[derive(Debug)]
pub(in crate::transfer) struct ByteLimit {
    max: u64,
    left: AtomicU64,
}

impl ByteLimit {
    pub(in crate::transfer) fn new(max: u64) -> Self {
        Self { max, left: AtomicU64::new(max) }
    }

    /// Shortens the bytes to what is left, and takes that.
    pub(in crate::transfer) fn take(&self, mut bytes: Bytes) -> Bytes {
        let wanted = bytes.len() as u64;
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let left = left.unwrap_or_else(|unchanged| unchanged);
        bytes.truncate(usize::try_from(left.min(wanted)).unwrap_or(usize::MAX));
        bytes
    }

    pub(in crate::transfer) fn reason(&self) -> String {
        format!("stopped after {} of new data", size(self.max))
    }

    /// # Errors
    /// [`ErrorKind::Stopped`] if nothing is left.
    pub(in crate::transfer) fn check(&self, what: &str) -> Result<()> {
        if self.left.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Stopped, what).with_side(Side::Local).with_reason(self.reason()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_limit_gives_no_more_than_its_bytes() {
        let limit = ByteLimit::new(5);
        let take = |length: usize| limit.take(Bytes::from(vec![0; length])).len();
        assert_eq!([take(3), take(3), take(1)], [3, 2, 0]);
        assert_eq!(limit.check("blob").unwrap_err().kind(), ErrorKind::Stopped);
    }
}
