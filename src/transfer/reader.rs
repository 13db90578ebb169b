//! The bytes of a blob in order, healed: where a connection ends early, stalls or breaks, it is reopened at the position
//! reached. What it gives is not verified; that is for the caller, who sees every byte.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::progress::{Event, NoProgress, Progress};
use super::tally::BlobCounters;
use super::throttle::Throttle;
use crate::content::{BlobRequest, ByteStream, Source};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::min_rate::{MinimumRate, TOO_SLOW};
use crate::retry::{Failures, RetryPolicy, announce};
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;

/// What every reader of a run shares.
pub(super) struct TransferContext {
    pub(super) policy: RetryPolicy,
    pub(super) idle: Duration,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) throttle: Option<Throttle>,
}

impl TransferContext {
    /// For reading again what was told already.
    pub(super) fn without_progress(&self) -> Self {
        Self {
            policy: self.policy,
            idle: self.idle,
            progress: Arc::new(NoProgress),
            throttle: None,
        }
    }
}

/// A blob's bytes from some position to the end.
pub(super) struct ResumingReader<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    care: &'a TransferContext,
    tally: &'a BlobCounters,
    position: u64,
    body: Option<ByteStream<'static>>,
    /// Bytes of the current body that were delivered already and are skipped.
    skip: u64,
    failures: Failures,
    openings: u32,
    gave_up: bool,
    /// Of all openings together: a server that gives a byte to each would never be found slow.
    pace: MinimumRate,
    /// Windows in a row that were too slow: failures that new bytes do not make good.
    slow: u32,
    lagging: bool,
    /// Bytes that were given away and did not pass the throttle: what has arrived is kept before there is a wait.
    unpaid: u64,
}

impl<'a> ResumingReader<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        from: u64,
        care: &'a TransferContext,
        tally: &'a BlobCounters,
    ) -> Self {
        Self {
            source,
            descriptor,
            care,
            tally,
            position: from,
            body: None,
            skip: 0,
            failures: Failures::default(),
            openings: 0,
            gave_up: false,
            pace: MinimumRate::default(),
            slow: 0,
            lagging: false,
            unpaid: 0,
        }
    }

    /// Whether the bytes came from more than one answer, so that a wrong digest may be the seam's fault.
    pub(super) fn was_resumed(&self) -> bool {
        self.openings > 1
    }

    /// Whether the source failed for good: then nothing is known against the bytes that came.
    pub(super) fn has_failed(&self) -> bool {
        self.gave_up
    }

    /// The next bytes, never none of them; `None` at the blob's end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(throttle) = &self.care.throttle {
            throttle.acquire(std::mem::take(&mut self.unpaid)).await;
        }
        if std::mem::take(&mut self.lagging) && self.position < self.descriptor.size {
            self.failures = Failures::counted(self.slow - 1);
            self.reconnect(self.connection_error(TOO_SLOW)).await?;
        }
        loop {
            let asked = Instant::now();
            let next = self.try_next().await;
            let bytes = next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
            if let Some(enough) = self.pace.record(bytes as u64, asked.elapsed()) {
                self.slow = if enough { 0 } else { self.slow + 1 };
                // A disk on this machine is not quicker where it is asked once more.
                self.lagging = !enough && !self.source.endpoint().kind.is_local();
            }
            match next {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    self.failures = Failures::default();
                    self.unpaid = piece.len() as u64;
                    self.position += piece.len() as u64;
                    self.tally.add_transferred(piece.len() as u64);
                    let event = Event::BlobAdvanced {
                        digest: &self.descriptor.digest,
                        position: self.position,
                    };
                    self.care.progress.on_event(&event);
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let healed = self.reconnect(error).await;
                    self.gave_up = healed.is_err();
                    healed?;
                }
            }
        }
    }

    /// The next bytes of the current body, which is opened first if necessary; `None` at the end of the blob.
    async fn try_next(&mut self) -> Result<Option<Bytes>> {
        if self.body.is_none() {
            if self.position == self.descriptor.size && self.openings > 0 {
                return Ok(None);
            }
            self.openings += 1;
            let body =
                self.source.open_blob(BlobRequest::from(self.descriptor, self.position)).await?;
            self.skip = self.position.saturating_sub(body.start);
            self.body = Some(body.stream);
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let piece = match tokio::time::timeout(self.care.idle, body.next()).await {
            Err(_) => {
                return Err(self.connection_error(&format!(
                    "no data received for {} s",
                    self.care.idle.as_secs_f32()
                )));
            }
            Ok(Some(piece)) => piece?,
            Ok(None) if self.position >= self.descriptor.size => return Ok(None),
            Ok(None) => return Err(self.connection_error("response ended early")),
        };
        Ok(Some(self.skip_delivered(piece)))
    }

    fn skip_delivered(&mut self, mut piece: Bytes) -> Bytes {
        let known = self.skip.min(piece.len() as u64);
        self.skip -= known;
        self.tally.add_resent(known);
        piece.advance(usize::try_from(known).unwrap_or(usize::MAX));
        piece
    }

    /// Waits before the body is opened again, or gives the error back where that is no use.
    async fn reconnect(&mut self, error: Error) -> Result<()> {
        self.body = None;
        if self.position == self.descriptor.size && error.is_transient() && self.openings > 0 {
            return Ok(());
        }
        let error = self.with_position(error).with_side(Side::Source);
        let (delay, error) = self.care.policy.backoff(&mut self.failures, error)?;
        announce(&self.care.policy, &error);
        let digest = &self.descriptor.digest;
        self.care.progress.on_event(&Event::Retrying { digest, delay, error: &error });
        tracing::info!(
            "{}; resuming at byte {} in {} ms",
            error.chain(),
            self.position,
            delay.as_millis()
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn with_position(&self, error: Error) -> Error {
        // Of what is on this machine the error says how much there is.
        if self.position == 0 || self.source.endpoint().kind.is_local() {
            return error;
        }
        let why =
            format!("{}, at byte {} of {}", error.reason(), self.position, self.descriptor.size);
        error.with_reason(why)
    }

    fn connection_error(&self, why: &str) -> Error {
        let what = format!("blob {}", self.descriptor.digest);
        let error = |kind| Error::new(kind, &what).at(&self.source.endpoint().location);
        if self.source.endpoint().kind.is_local() {
            let (there, size) = (self.position, self.descriptor.size);
            let why = format!("is corrupt: expected {size} bytes, got {there}");
            return error(ErrorKind::Mismatch).with_reason(why);
        }
        error(ErrorKind::Transport).with_reason(why).transient(None)
    }
}
