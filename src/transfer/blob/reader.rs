//! The bytes of a blob in order. If a connection ends early, stalls or breaks, the blob is requested again at the position that was
//! reached. Ranges further ahead may arrive over connections of their own ([`Ahead`]). The caller verifies the bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use crate::content::{BlobRanges, BlobRequest, ByteStream, EndpointKind, Source};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorDetail, ErrorKind, Result, Side};
use crate::min_rate::{MIN_PROGRESS, MinimumRate, TOO_SLOW};
use crate::progress::Event;
use crate::retry::{Failures, warn_of_outage};
use crate::transfer::blob::context::TransferContext;
use crate::transfer::blob::counters::BlobCounters;
use crate::transfer::ranges::ahead::Ahead;
use crate::transfer::ranges::early::BytesLocation;
use crate::transfer::ranges::hosts::Permit;
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;

/// Reads a blob from a position to its end.
pub(in crate::transfer) struct ResumingReader<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    context: &'a TransferContext,
    counters: &'a BlobCounters,
    position: u64,
    body: Option<ByteStream<'a>>,
    ahead: Box<Ahead<'a>>,
    /// The permit of the own connection.
    permit: Option<Permit>,
    /// Bytes at the start of the current body that were delivered before, and are skipped.
    skip: u64,
    failures: Failures,
    /// The position of the last failure, and how many in a row came after less than [`MIN_PROGRESS`].
    failed_at: u64,
    poor_attempts: u32,
    responses: u32,
    failed: bool,
    /// Rate over all requests of the blob: a server that sends one byte per request must be found slow, too.
    min_rate: MinimumRate,
    /// Number of consecutive windows below the minimum rate. New bytes do not reset it.
    slow_windows: u32,
    is_too_slow: bool,
    last_location: BytesLocation,
    /// Delivered bytes that have not passed the throttle: bytes are written before the reader waits.
    unthrottled: u64,
}

impl<'a> ResumingReader<'a> {
    pub(in crate::transfer) fn new(
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        from: u64,
        context: &'a TransferContext,
        counters: &'a BlobCounters,
    ) -> Self {
        let mut ahead = Ahead::new(source, descriptor, &context.hosts, &context.received, counters);
        if context.limit.is_none() {
            // What arrives early could be received in vain.
            ahead.allow_split(from);
        }
        if context.throttle.is_none() {
            ahead.start_at(from);
        }
        Self {
            source,
            descriptor,
            context,
            counters,
            position: from,
            body: None,
            ahead: Box::new(ahead),
            permit: None,
            skip: 0,
            failures: Failures::default(),
            failed_at: from,
            poor_attempts: 0,
            responses: 0,
            failed: false,
            min_rate: MinimumRate::default(),
            slow_windows: 0,
            is_too_slow: false,
            last_location: BytesLocation::Memory,
            unthrottled: 0,
        }
    }

    /// Keeps bytes that arrive early in the partial, and does not request what is there.
    pub(in crate::transfer) fn with_ranges(mut self, ranges: Arc<dyn BlobRanges>) -> Self {
        self.ahead.keep_in(ranges);
        self
    }

    /// Waits for bytes before the position, which the target has, and receives those behind them meanwhile if it keeps what arrives
    /// early. Yields each time: reading and hashing never wait for anything, and would keep the connections from their turn.
    pub(in crate::transfer) async fn receive_during<F: Future>(&mut self, future: F) -> F::Output {
        self.ahead.drive(yield_now()).await;
        self.ahead.drive(future).await
    }

    /// Whether the target has the last chunk already.
    pub(in crate::transfer) fn is_stored(&self) -> bool {
        self.last_location != BytesLocation::Memory
    }

    /// Uses one connection only.
    pub(in crate::transfer) fn in_one_stream(mut self) -> Self {
        self.ahead.forbid_split();
        self
    }

    /// Whether the bytes came from several responses, so that a wrong digest may come from joining them.
    pub(in crate::transfer) fn was_resumed(&self) -> bool {
        self.responses > 1
    }

    /// Whether the source failed for good. The bytes that arrived before may be correct.
    pub(in crate::transfer) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns the next bytes, never an empty chunk; `None` at the end of the blob.
    pub(in crate::transfer) async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(throttle) = &self.context.throttle {
            let arrived = std::mem::take(&mut self.unthrottled) + self.ahead.take_arrived();
            throttle.acquire(arrived).await;
        }
        if std::mem::take(&mut self.is_too_slow) && self.position < self.descriptor.size {
            self.failures = Failures::counted(self.slow_windows - 1);
            Box::pin(self.reconnect(self.connection_error(TOO_SLOW))).await?;
        }
        loop {
            let started = Instant::now();
            let next = self.try_next().await;
            if let Some(error) = self.ahead.handover.take_write_error() {
                return Err(error);
            }
            let bytes = next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len);
            // Time in which the host is known to be down does not count as slow.
            let is_down = next.as_ref().is_err_and(|error| error.outage().is_some());
            let waited = if is_down { Duration::ZERO } else { started.elapsed() };
            self.record_rate(bytes as u64, waited);
            match next {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => {
                    self.failures = Failures::default();
                    self.position += chunk.len() as u64;
                    if self.last_location != BytesLocation::TargetFromEarlierRun {
                        self.counters.add_transferred(chunk.len() as u64);
                    }
                    let event = Event::BlobAdvanced {
                        digest: &self.descriptor.digest,
                        position: self.position,
                    };
                    self.context.progress.on_event(&event);
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    let reconnected = Box::pin(self.reconnect(error)).await;
                    self.failed = reconnected.is_err();
                    reconnected?;
                }
            }
        }
    }

    /// Returns the next bytes, of a range that has arrived or of the current body, which is requested first if necessary; `None`
    /// at the end of the blob.
    async fn try_next(&mut self) -> Result<Option<Bytes>> {
        if self.position < self.descriptor.size {
            self.context.check_limit(self.descriptor.digest.as_str())?;
        }
        loop {
            if let Some(early) = self.ahead.handover.next() {
                self.last_location = early.location;
                // Other ranges go on meanwhile. Their connections are tasks of their own, which would wait while the caller hashes.
                self.ahead.drive(yield_now()).await;
                return Ok(Some(early.bytes));
            }
            self.last_location = BytesLocation::Memory;
            if self.ahead.handover.has_write_error() {
                return Ok(None);
            }
            if self.body.is_none() {
                if self.position == self.descriptor.size && self.responses > 0 {
                    return Ok(None);
                }
                self.responses += 1;
                match self.ahead.take(self.position) {
                    Some(taken) => {
                        // The own connection has ended.
                        (self.body, self.permit) = taken.connection.unzip();
                        continue;
                    }
                    None => Box::pin(self.open()).await?,
                }
            }
            if let Some(chunk) = self.receive().await? {
                return Ok(Some(chunk));
            }
            if self.position >= self.descriptor.size {
                return Ok(None);
            }
            self.body = None;
        }
    }

    /// Requests the blob from the position on.
    async fn open(&mut self) -> Result<()> {
        if self.permit.is_none() {
            self.permit = self.ahead.connect().await;
        }
        let range = self.ahead.begin(self.position);
        let request = BlobRequest::starting_at(self.descriptor, self.position).range(range);
        let began = Instant::now();
        let body = self.ahead.drive(self.source.open_blob(request)).await?;
        if let Some(host) = self.ahead.host() {
            host.record_round_trip(began.elapsed());
            if body.announces_ranges {
                host.confirm_ranges();
            }
        }
        if body.start < self.position {
            self.ahead.replace_by_whole();
        }
        self.skip = self.position.saturating_sub(body.start);
        self.body = Some(body.stream);
        Ok(())
    }

    /// Returns the next bytes of the current body; `None` at its end, where the next range begins, or if it is too slow.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let end = self.ahead.end();
        let Some(body) =
            self.body.as_mut().filter(|_| self.position < end || end == self.descriptor.size)
        else {
            return Ok(None);
        };
        let next = tokio::time::timeout(self.context.idle, body.next());
        let chunk = match self.ahead.drive_body(next).await {
            None => {
                tracing::info!(
                    "blob {} is slow at byte {}, requesting it again",
                    self.descriptor.digest,
                    self.position
                );
                return Ok(None);
            }
            Some(Err(_)) => {
                return Err(self.connection_error(&format!(
                    "no data received for {} s",
                    self.context.idle.as_secs_f32()
                )));
            }
            Some(Ok(Some(chunk))) => chunk?,
            Some(Ok(None)) if self.position >= self.ahead.end() => return Ok(None),
            Some(Ok(None)) => return Err(self.connection_error("response ended early")),
        };
        let length = chunk.len() as u64;
        self.context.received.fetch_add(length, Ordering::Relaxed);
        self.unthrottled += length;
        let new = self.skip_delivered(chunk);
        let chunk = self.context.take_within_limit(self.cut(new));
        if let Some(host) = self.ahead.host() {
            host.record_bytes(chunk.len() as u64);
        }
        self.ahead.advance(self.position + chunk.len() as u64);
        Ok(Some(chunk))
    }

    /// Discards what the next range contains, too. Nothing at the end of the blob: the caller must see a blob that is too long.
    fn cut(&mut self, mut chunk: Bytes) -> Bytes {
        let end = self.ahead.end();
        let left = usize::try_from(end - self.position.min(end)).unwrap_or(usize::MAX);
        if end < self.descriptor.size && chunk.len() > left {
            self.counters.add_resent((chunk.len() - left) as u64);
            chunk.truncate(left);
        }
        chunk
    }

    fn skip_delivered(&mut self, mut chunk: Bytes) -> Bytes {
        let delivered = self.skip.min(chunk.len() as u64);
        self.skip -= delivered;
        self.counters.add_resent(delivered);
        chunk.advance(usize::try_from(delivered).unwrap_or(usize::MAX));
        chunk
    }

    fn record_rate(&mut self, bytes: u64, waited: Duration) {
        if let Some(enough) = self.min_rate.record(bytes, waited) {
            self.slow_windows = if enough { 0 } else { self.slow_windows + 1 };
            // Reading a local disk again would not be faster.
            self.is_too_slow = !enough && !self.source.endpoint().kind.is_local();
        }
    }

    /// Waits before the next request, or returns the error if another attempt is pointless.
    async fn reconnect(&mut self, error: Error) -> Result<()> {
        self.body = None;
        self.ahead.pause();
        if let Some(host) = self.ahead.host() {
            host.record_failure(&error);
        }
        if self.position == self.descriptor.size && error.is_transient() && self.responses > 0 {
            return Ok(());
        }
        let is_poor = self.position - self.failed_at < MIN_PROGRESS;
        self.poor_attempts = if is_poor { self.poor_attempts + 1 } else { 0 };
        self.failed_at = self.position;
        let error = self.with_position(error).with_side(Side::Source);
        let (mut delay, error) = self.context.policy.backoff(&mut self.failures, error)?;
        if error.outage().is_none() && error.retry_after().is_none() {
            delay = delay.max(self.context.policy.delay(self.poor_attempts));
            self.record_rate(0, delay);
        }
        warn_of_outage(&self.context.policy, &error);
        let digest = &self.descriptor.digest;
        self.context.progress.on_event(&Event::Retrying { digest, delay, error: &error });
        tracing::info!(
            "{}; resuming at byte {} in {} ms",
            error.chain(),
            self.position,
            delay.as_millis()
        );
        self.ahead.drive(tokio::time::sleep(delay)).await;
        Ok(())
    }

    fn with_position(&self, error: Error) -> Error {
        // Errors of local sources already contain the number of bytes.
        if self.position == 0 || self.source.endpoint().kind.is_local() {
            return error;
        }
        let reason =
            format!("{}, at byte {} of {}", error.reason(), self.position, self.descriptor.size);
        error.with_reason(reason)
    }

    fn connection_error(&self, reason: &str) -> Error {
        let what = format!("blob {}", self.descriptor.digest);
        let error = |kind| Error::new(kind, &what).at(&self.source.endpoint().location);
        if self.source.endpoint().kind.is_local() {
            let (length, size) = (self.position, self.descriptor.size);
            let reason = format!("is corrupt: expected {size} bytes, got {length}");
            return of_layout(self.source, error(ErrorKind::Mismatch).with_reason(reason));
        }
        error(ErrorKind::Transport).with_reason(reason).transient(None)
    }
}

/// Wrong bytes of a layout can be repaired.
pub(super) fn of_layout(source: &dyn Source, error: Error) -> Error {
    let is_layout = source.endpoint().kind == EndpointKind::Layout;
    if is_layout && error.kind() == ErrorKind::Mismatch {
        return error.with_detail(ErrorDetail::DamagedBlob);
    }
    error
}
