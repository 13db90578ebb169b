//! Ends a run after a number of new bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result, Side};
use crate::size::size;

/// The bytes that all blobs of a run may still receive. Bytes that are received again do not count.
#[derive(Debug)]
pub(in crate::transfer) struct ByteLimit {
    max: u64,
    left: AtomicU64,
    /// Number of reservations.
    reserved: AtomicUsize,
    /// Largest reservation that was refused.
    refused: AtomicU64,
    /// The limit of the run, if this one is for a blob.
    run: Option<Arc<ByteLimit>>,
}

/// Bytes of one blob that were taken in advance. They are given back unless they are spent.
#[derive(Debug)]
pub(in crate::transfer) struct Reservation {
    run: Arc<ByteLimit>,
    own: Arc<ByteLimit>,
}

impl Reservation {
    /// The limit for a blob of which each byte is kept that arrives within it.
    pub(in crate::transfer) fn limit(&self) -> Arc<ByteLimit> {
        Arc::clone(&self.own)
    }

    pub(in crate::transfer) fn spend(self) {
        self.own.left.store(0, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.run.left.fetch_add(self.own.left.load(Ordering::Relaxed), Ordering::Relaxed);
        self.run.reserved.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ByteLimit {
    pub(in crate::transfer) fn new(max: u64) -> Self {
        let (reserved, refused) = (AtomicUsize::default(), AtomicU64::default());
        Self { max, left: AtomicU64::new(max), reserved, refused, run: None }
    }

    /// Takes bytes that are of no use unless all of them arrive in this run.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`] if fewer are left.
    pub(in crate::transfer) fn reserve(
        self: &Arc<Self>,
        what: &str,
        bytes: u64,
    ) -> Result<Reservation> {
        self.reserve_if(what, bytes, |left| (left >= bytes).then_some(bytes))
    }

    /// Takes the `rest` of a blob of which whole chunks are kept, or as many chunks as are left.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`] if less than a chunk is left.
    pub(in crate::transfer) fn reserve_chunks(
        self: &Arc<Self>,
        what: &str,
        chunk: u64,
        rest: u64,
    ) -> Result<Reservation> {
        let chunks = |left: u64| if left >= rest { rest } else { left - left % chunk.max(1) };
        self.reserve_if(what, chunk, |left| Some(chunks(left)).filter(|bytes| *bytes > 0))
    }

    /// Takes what `wanted` returns for the bytes that are left; refused are at least `least`.
    fn reserve_if(
        self: &Arc<Self>,
        what: &str,
        least: u64,
        wanted: impl Fn(u64) -> Option<u64>,
    ) -> Result<Reservation> {
        let reservation = self.hold();
        let take = |left: u64| Some(left - wanted(left)?);
        let Ok(before) = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) else {
            self.refused.fetch_max(least, Ordering::Relaxed);
            return Err(self.error(what));
        };
        reservation.own.left.store(wanted(before).unwrap_or_default(), Ordering::Relaxed);
        Ok(reservation)
    }

    /// Keeps the run from ending while a blob is opened at the target: an upload session would stay open.
    pub(in crate::transfer) fn hold(self: &Arc<Self>) -> Reservation {
        self.reserved.fetch_add(1, Ordering::Relaxed);
        let own = Self { run: Some(Arc::clone(self)), ..Self::new(0) };
        Reservation { run: Arc::clone(self), own: Arc::new(own) }
    }

    /// Whether blobs are on their way that would be lost if they were stopped.
    pub(in crate::transfer) fn has_reservations(&self) -> bool {
        self.reserved.load(Ordering::Relaxed) > 0
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
        if let Some(run) = &self.run {
            return run.reason();
        }
        let spent = self.max.saturating_sub(self.left.load(Ordering::Relaxed));
        let stopped = format!("stopped after {} of new data", size(spent));
        match self.refused.load(Ordering::Relaxed) {
            0 => stopped,
            bytes => {
                format!("{stopped}; a layer of {} is larger than what is left", size(bytes))
            }
        }
    }

    pub(in crate::transfer) fn hint(&self) -> String {
        match self.refused.load(Ordering::Relaxed) {
            bytes if bytes > self.max => format!("pass `--max-bytes {bytes}` or more"),
            _ => "run the command again to continue".to_owned(),
        }
    }

    /// # Errors
    /// [`ErrorKind::Stopped`] if nothing is left.
    pub(in crate::transfer) fn check(&self, what: &str) -> Result<()> {
        if self.left.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        Err(self.error(what))
    }

    fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Stopped, what).with_side(Side::Local).with_reason(self.reason())
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

    #[test]
    fn byte_limit_reservation_is_given_back_unless_spent() {
        let limit = Arc::new(ByteLimit::new(10));
        limit.reserve("a", 6).unwrap().spend();
        assert!(!limit.has_reservations());
        let reserved = limit.reserve("b", 4).unwrap();
        assert!(limit.has_reservations() && limit.check("c").is_err());
        drop(reserved);
        let refused = limit.reserve("c", 5).unwrap_err();
        let reason = "stopped after 6 B of new data; a layer of 5 B is larger than what is left";
        assert_eq!((refused.kind(), refused.reason()), (ErrorKind::Stopped, reason));
        assert!(limit.hint().starts_with("run"), "it fits into the next run");
        let chunks = limit.reserve_chunks("e", 3, 7).unwrap();
        let own = chunks.limit();
        assert_eq!(own.take(Bytes::from_static(b"four bytes")).len(), 3, "one chunk of 3 is left");
        assert!(own.check("e").unwrap_err().reason().starts_with("stopped after 9 B"));
        drop(chunks);
        assert_eq!(limit.take(Bytes::from_static(b"ab")).len(), 1, "the chunk is spent");
        limit.reserve("d", 11).unwrap_err();
        assert!(limit.hint().starts_with("pass `--max-bytes 11`"), "{}", limit.hint());
    }
}
