//! An archive is written in one run: refuses a second one, and calls after its end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::content::FinishGuard;
use crate::error::{Error, ErrorKind, Result};

/// How far the only run of an archive target is.
#[derive(Debug, Default)]
pub(super) struct SingleRun {
    begun: AtomicBool,
    finished: FinishGuard,
}

impl SingleRun {
    /// # Errors
    /// [`ErrorKind::Unsupported`] the second time.
    pub(super) fn begin(&self, location: &str) -> Result<()> {
        if self.begun.swap(true, Ordering::AcqRel) {
            return Err(Error::new(ErrorKind::Unsupported, "write")
                .at(location)
                .with_reason("an archive is written in one run"));
        }
        Ok(())
    }

    /// # Errors
    /// [`ErrorKind::Unsupported`] after `finish`.
    pub(super) fn check(&self, location: &str) -> Result<()> {
        self.finished.check(location)
    }

    /// # Errors
    /// [`ErrorKind::Unsupported`] the second time.
    pub(super) fn finish(&self, location: &str) -> Result<()> {
        self.finished.finish(location)
    }
}
