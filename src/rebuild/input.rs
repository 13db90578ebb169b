//! Reads the uncompressed bytes of members.

use std::io::Read;

use super::bits::read_some;
use super::fault::other_plain_bytes;
use super::plain::Plain;
use crate::error::Result;

/// The uncompressed bytes of a member.
pub(super) struct Input<R> {
    pub(super) tar: R,
    /// Bytes of the member that are not read.
    pub(super) unread: u64,
}

impl<R: Read> Input<R> {
    /// Reads until the plain bytes of the member have this length, or are complete.
    pub(super) fn add(&mut self, plain: &mut Plain, until: usize) -> Result<()> {
        while self.unread > 0 && plain.len() < until {
            let length = plain.len();
            let most = usize::try_from(self.unread).unwrap_or(usize::MAX).min(until - length);
            let count = read_some(&mut self.tar, plain.grow(most))?;
            plain.truncate(length + count);
            if count == 0 {
                return Err(other_plain_bytes("fewer uncompressed bytes than were compressed"));
            }
            self.unread -= count as u64;
        }
        plain.is_complete = self.unread == 0;
        Ok(())
    }
}
