//! How long a reader has waited for its source.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hosts::Host;
use super::waiting::Phase;

/// The clock of a reader. It stands still while the reader does not wait for its source.
pub(super) struct WaitClock {
    host: Option<Arc<Host>>,
    phase: Option<Phase>,
    waited: Duration,
    since: Instant,
}

impl WaitClock {
    pub(super) fn new(host: Option<Arc<Host>>) -> Self {
        Self { host, phase: None, waited: Duration::ZERO, since: Instant::now() }
    }

    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
        self.enter(Some(Phase::Waiting));
    }

    pub(super) fn end(&mut self) {
        self.waited = self.now();
        self.enter(Some(Phase::Busy));
    }

    /// The time, while the reader waits.
    pub(super) fn now(&self) -> Duration {
        self.waited + self.since.elapsed()
    }

    /// The time, while it does not.
    pub(super) fn stopped(&self) -> Duration {
        self.waited
    }

    fn enter(&mut self, phase: Option<Phase>) {
        if let Some(host) = &self.host {
            host.change_reader(self.phase, phase);
            self.phase = phase;
        }
    }
}

impl Drop for WaitClock {
    fn drop(&mut self) {
        self.enter(None);
    }
}
