//! The early bytes of a blob on their way to its reader, and what becomes of those that never get there.

use std::sync::Arc;

use super::early::{EarlyBytes, EarlyRange, EarlyStorage};
use crate::content::BlobRanges;
use crate::error::{Error, Result};
use crate::transfer::blob::counters::BlobCounters;

pub(in crate::transfer) struct Handover<'a> {
    pub(super) storage: EarlyStorage<'a>,
    counters: &'a BlobCounters,
    /// The bytes at the reader's position.
    early: EarlyRange,
    /// The first error of the target.
    write_error: Option<Error>,
}

impl<'a> Handover<'a> {
    pub(super) fn new(storage: EarlyStorage<'a>, counters: &'a BlobCounters) -> Self {
        Self { storage, counters, early: EarlyRange::new(0), write_error: None }
    }

    pub(super) fn keep_in(&mut self, file: Arc<dyn BlobRanges>) {
        self.storage.file = Some(file);
    }

    /// Makes a range the one to hand over.
    pub(super) fn begin(&mut self, early: EarlyRange) {
        self.early = early;
        let stored = self.early.store(&self.storage);
        self.record_write(stored);
    }

    /// The next early bytes at the reader's position.
    pub(in crate::transfer) fn next(&mut self) -> Option<EarlyBytes> {
        let bytes = self.early.pop(&self.storage);
        bytes.unwrap_or_else(|error| {
            self.record_write(Err(error));
            None
        })
    }

    pub(super) fn record_write(&mut self, result: Result<()>) {
        self.write_error = self.write_error.take().or(result.err());
    }

    pub(in crate::transfer) fn has_write_error(&self) -> bool {
        self.write_error.is_some()
    }

    /// Why the target has not got bytes before their turn, or could not give them back.
    pub(in crate::transfer) fn take_write_error(&mut self) -> Option<Error> {
        self.write_error.take()
    }

    /// Gives up what has not been handed over, and these ranges.
    pub(super) fn discard(&mut self, parts: impl Iterator<Item = EarlyRange>) {
        for mut early in self.take(parts) {
            if early.is_resumed() {
                self.counters.remove_resumed(early.length());
            } else {
                self.counters.add_resent(early.length());
            }
            early.discard(self.storage.window);
        }
    }

    /// The same where the target keeps what it has got for the next run.
    pub(super) fn end(&mut self, parts: impl Iterator<Item = EarlyRange>) {
        for mut early in self.take(parts) {
            let is_kept = self.storage.file.is_some() && early.store(&self.storage).is_ok();
            match (early.is_resumed(), is_kept) {
                (true, _) => {}
                (false, true) => self.counters.add_transferred(early.length()),
                (false, false) => self.counters.add_resent(early.length()),
            }
            early.discard(self.storage.window);
        }
    }

    fn take(&mut self, parts: impl Iterator<Item = EarlyRange>) -> Vec<EarlyRange> {
        let own = std::mem::replace(&mut self.early, EarlyRange::new(0));
        std::iter::once(own).chain(parts).collect()
    }
}
