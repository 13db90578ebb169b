//! The ranges of a blob beyond the position of its reader: requested, received, and handed over in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future;
use tokio::time::{Instant, Interval, interval};

use super::clock::WaitClock;
use super::early::EarlyStorage;
use super::grants::{self, Span};
use super::handover::Handover;
use super::hosts::{Host, Hosts, Permit};
use super::pace::Pace;
use super::part::{Part, Received};
use super::request;
use crate::content::{BlobRanges, ByteStream, Source};
use crate::descriptor::Descriptor;
use crate::transfer::blob::counters::BlobCounters;

/// How often further connections are asked for.
const GROWTH_INTERVAL: Duration = Duration::from_millis(50);

/// Minimum missing bytes for which a slow connection is replaced.
const MIN_TAKEOVER: u64 = 1 << 20;

/// Ranges are shorter at the end of a blob, so that all connections end at about the same time.
const MIN_LAST_RANGE: u64 = 2 << 20;

/// Delay after a range that failed before its first byte; doubles with each further one.
const FAILURE_DELAY: Duration = Duration::from_millis(250);
const MAX_FAILURES: u32 = 6;

/// The ranges of one blob.
pub(in crate::transfer) struct Ahead<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    host: Option<Arc<Host>>,
    received: &'a AtomicU64,
    counters: &'a BlobCounters,
    /// Unset if the blob is not split.
    splitting: Option<Splitting>,
    /// What the reader receives itself.
    own: Span,
    /// Whether that is on its way.
    is_receiving: bool,
    own_pace: Pace,
    own_is_slow: bool,
    clock: WaitClock,
    pub(in crate::transfer) handover: Handover<'a>,
    /// In order.
    parts: VecDeque<Part<'a>>,
    /// Bytes that have arrived early since they were last asked for.
    arrived: u64,
}

/// A range that is the reader's own from now on. What has arrived of it is handed over first.
pub(in crate::transfer) struct Taken<'a> {
    pub(in crate::transfer) connection: Option<(ByteStream<'a>, Permit)>,
}

struct Splitting {
    id: u64,
    /// Whether what is missing is large enough for further connections.
    may_grow: bool,
    next_growth: Instant,
    /// Failures in a row without a byte.
    failures: u32,
    /// The reader is polled this often, even if nothing arrives.
    ticks: Interval,
}

impl<'a> Ahead<'a> {
    pub(in crate::transfer) fn new(
        source: &'a dyn Source,
        descriptor: &'a Descriptor,
        hosts: &'a Hosts,
        received: &'a AtomicU64,
        counters: &'a BlobCounters,
    ) -> Self {
        let place = EarlyStorage { window: &hosts.window, file: None, size: descriptor.size };
        let host = hosts.get(source.endpoint());
        Self {
            source,
            descriptor,
            clock: WaitClock::new(host.clone()),
            host,
            received,
            counters,
            splitting: None,
            own: Span::new(&(0..descriptor.size)),
            is_receiving: false,
            own_pace: Pace::new(Duration::ZERO),
            own_is_slow: false,
            handover: Handover::new(place, counters),
            parts: VecDeque::new(),
            arrived: 0,
        }
    }

    /// Keeps early bytes in the partial of the target, too, and uses those that are there.
    pub(in crate::transfer) fn keep_in(&mut self, file: Arc<dyn BlobRanges>) {
        self.parts = file.present().iter().map(Part::resumed).collect();
        self.handover.keep_in(file);
    }

    pub(in crate::transfer) fn host(&self) -> Option<&Host> {
        self.host.as_deref()
    }

    /// Returns a connection for the reader itself. Ranges may hold all of them while they wait for the window, which only the reader
    /// empties: then the last range of this blob gives its own up.
    pub(in crate::transfer) async fn connect(&mut self) -> Option<Permit> {
        let host = self.host.clone()?;
        match host.try_connect().or_else(|| self.give_up_last()) {
            None => host.connect().await,
            permit => permit,
        }
    }

    fn give_up_last(&mut self) -> Option<Permit> {
        let index = self.parts.iter().rposition(Part::is_connected)?;
        let part = self.parts.get_mut(index)?;
        let permit = part.give_up();
        if part.early() == 0 {
            self.remove_empty(index);
        }
        permit
    }

    /// Allows further connections, and other connections in place of slow ones, if what is missing from this position is large
    /// enough.
    pub(in crate::transfer) fn allow_split(&mut self, position: u64) {
        let missing = self.descriptor.size.saturating_sub(position);
        let host = self.host.as_ref().filter(|_| missing >= MIN_TAKEOVER);
        self.splitting = host.map(|host| Splitting {
            id: host.next_id(),
            may_grow: missing >= grants::MIN_SPLIT,
            next_growth: Instant::now(),
            failures: 0,
            ticks: interval(GROWTH_INTERVAL * 2),
        });
    }

    /// Requests what is missing over one connection.
    pub(in crate::transfer) fn forbid_split(&mut self) {
        self.splitting = None;
    }

    /// Returns what the reader has to request at its position, where [`Ahead::take`] has nothing.
    pub(in crate::transfer) fn begin(&mut self, position: u64) -> Range<u64> {
        if self.host.as_ref().is_some_and(|host| host.are_ranges_refused()) {
            self.discard();
        }
        let host = self.host.clone().filter(|_| self.splitting.is_some());
        let size = self.descriptor.size;
        let mut end = self.parts.front().map_or(size, |part| part.span.start);
        if let Some(host) = host.filter(|host| host.is_split()) {
            // A request for all would be cut soon, which costs a connection.
            end = grants::cut(position..end, host.range_length(self.handover.place.limit())).end;
        }
        self.own = Span::new(&(position..end));
        self.is_receiving = false;
        self.own_pace = if std::mem::take(&mut self.own_is_slow) {
            self.own_pace.of_next(self.clock.stopped())
        } else {
            Pace::new(self.clock.stopped())
        };
        position..end
    }

    /// The reader's own body is all of the blob, whatever was requested.
    pub(in crate::transfer) fn replace_by_whole(&mut self) {
        if let Some(host) = &self.host {
            host.refuse_ranges();
        }
        self.discard();
        (self.own.end, self.own.requested) = (self.descriptor.size, self.descriptor.size);
    }

    /// Where the reader's own body ends or is cut.
    pub(in crate::transfer) fn end(&self) -> u64 {
        self.own.end
    }

    /// The reader has received its own body up to this position.
    pub(in crate::transfer) fn advance(&mut self, position: u64) {
        self.own_pace.record(position - self.own.reached);
        self.own.reached = position;
        self.is_receiving = true;
    }

    /// The reader's own body has failed.
    pub(in crate::transfer) fn pause(&mut self) {
        self.is_receiving = false;
    }

    /// Removes and returns the range that begins at the reader's position, with the bytes received so far; `None` without one.
    pub(in crate::transfer) fn take(&mut self, position: u64) -> Option<Taken<'a>> {
        self.parts.front().filter(|part| part.span.start == position)?;
        let part = self.parts.pop_front()?;
        (self.own, self.own_pace) = (part.span, part.pace);
        self.is_receiving = part.is_connected();
        let (early, connection) = part.into_parts();
        self.handover.begin(early);
        Some(Taken { connection })
    }

    /// Bytes that have arrived early since the last call.
    pub(in crate::transfer) fn take_arrived(&mut self) -> u64 {
        std::mem::take(&mut self.arrived)
    }

    /// Waits for `future`, and receives the ranges meanwhile.
    pub(in crate::transfer) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        self.clock.begin();
        let output = future::poll_fn(|context| {
            self.poll(context);
            future.as_mut().poll(context)
        });
        let output = output.await;
        self.clock.end();
        output
    }

    /// Waits for bytes of the reader's own body, as [`Ahead::drive`]; `None` if they come so much slower than those of other
    /// connections that the body has to be requested again.
    pub(in crate::transfer) async fn drive_body<F: Future>(
        &mut self,
        bytes: F,
    ) -> Option<F::Output> {
        let mut bytes = pin!(bytes);
        self.clock.begin();
        let output = future::poll_fn(|context| {
            self.poll(context);
            match bytes.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.own_is_slow => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let output = output.await;
        self.clock.end();
        output
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let Some(splitting) = &mut self.splitting else { return };
        let mut is_due = false;
        while splitting.ticks.poll_tick(context).is_ready() {
            is_due = true;
        }
        let now = self.clock.now();
        if is_due {
            self.replace_slow(now);
        }
        self.grow(now);
        let mut index = 0;
        while let Some(part) = self.parts.get_mut(index) {
            let (received, stored) = part.receive(&self.handover.place, now, context);
            let is_empty = part.early() == 0;
            self.record(&received, is_empty);
            self.handover.record_write(stored);
            if received.has_ended && is_empty {
                self.remove_empty(index);
            } else {
                index += 1;
            }
        }
    }

    /// Requests again what comes much slower than other connections of the host.
    fn replace_slow(&mut self, now: Duration) {
        let Some(host) = self.host.as_ref().filter(|host| !host.are_ranges_refused()) else {
            return;
        };
        let Some(average) = host.average_rate() else { return };
        let round_trip = host.round_trip();
        self.own_is_slow = self.is_receiving && self.own_pace.is_too_slow(now, average, round_trip);
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get_mut(index) else { return };
            if !part.is_too_slow(now, average, round_trip) {
                continue;
            }
            let rest = part.span.reached..part.span.end;
            tracing::info!(
                "blob {}: range {rest:?} is slow, requesting it again",
                self.descriptor.digest
            );
            let stream = request::range(self.source, self.descriptor, self.host.clone(), rest);
            if let Some(part) = self.parts.get_mut(index) {
                part.replace(stream, now);
            }
        }
    }

    fn record(&mut self, received: &Received, is_empty: bool) {
        let bytes = received.bytes + received.excess;
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.counters.add_resent(received.excess);
        self.arrived += bytes;
        let (Some(host), Some(splitting)) = (&self.host, &mut self.splitting) else { return };
        if received.bytes > 0 {
            host.record_bytes(received.bytes);
            splitting.failures = 0;
        }
        if let Some(error) = &received.failure {
            tracing::info!("{}; requesting the rest of the range again", error.chain());
            host.record_failure(error);
        }
        if received.has_ended && is_empty {
            splitting.failures = (splitting.failures + 1).min(MAX_FAILURES);
            let delay = FAILURE_DELAY * 2_u32.pow(splitting.failures - 1);
            splitting.next_growth = Instant::now() + delay;
        } else if received.has_ended {
            // Its connection is free.
            splitting.next_growth = splitting.next_growth.min(Instant::now());
        }
    }

    /// Removes a part without bytes. The body before it need not be cut any more.
    fn remove_empty(&mut self, index: usize) {
        self.parts.remove(index);
        let next = self.parts.get(index).map_or(self.descriptor.size, |part| part.span.start);
        let before = match index.checked_sub(1) {
            None => Some(&mut self.own).filter(|_| self.is_receiving),
            Some(before) => self.parts.get_mut(before).and_then(|part| {
                let is_connected = part.is_connected();
                Some(&mut part.span).filter(|_| is_connected)
            }),
        };
        if let Some(span) = before.filter(|span| span.left() > 0) {
            span.end = span.requested.min(next);
        }
    }

    /// Requests further ranges, over as many connections as the host allows.
    fn grow(&mut self, waited: Duration) {
        let (Some(host), Some(splitting)) = (self.host.clone(), &mut self.splitting) else {
            return;
        };
        let now = Instant::now();
        if now < splitting.next_growth || !self.is_receiving || !splitting.may_grow {
            return;
        }
        splitting.next_growth = now + GROWTH_INTERVAL;
        let id = splitting.id;
        while self.handover.place.has_room() {
            let parts = self.parts.iter();
            let spans: Vec<Span> =
                [self.own].into_iter().chain(parts.clone().map(|part| part.span)).collect();
            let early: u64 = parts.clone().map(Part::early).sum();
            let missing = self.descriptor.size.saturating_sub(self.own.reached + early);
            let connections = 1 + parts.filter(|part| part.is_connected()).count();
            let last = (missing / connections as u64).max(MIN_LAST_RANGE);
            let length = host.range_length(self.handover.place.limit()).min(last);
            let Some(range) = grants::next_grant(&spans, self.descriptor.size, length) else {
                break;
            };
            let Some(permit) = host.connect_further(id, missing, connections) else { return };
            self.start(range, permit, waited);
        }
        host.forget(id);
    }

    fn start(&mut self, range: Range<u64>, permit: Permit, waited: Duration) {
        let before = self.parts.partition_point(|part| part.span.start < range.start);
        let cut = match before.checked_sub(1) {
            None => Some(&mut self.own),
            Some(index) => self.parts.get_mut(index).map(|part| &mut part.span),
        };
        if let Some(span) = cut {
            span.end = span.end.min(range.start);
        }
        let stream = request::range(self.source, self.descriptor, self.host.clone(), range.clone());
        let part = Part::new(&range, stream, permit, waited);
        self.parts.insert(before, part);
    }

    /// Gives up everything that is ahead.
    fn discard(&mut self) {
        self.handover.discard(self.parts.drain(..).map(|part| part.into_parts().0));
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.handover.end(self.parts.drain(..).map(|part| part.into_parts().0));
        if let (Some(host), Some(splitting)) = (&self.host, &self.splitting) {
            host.forget(splitting.id);
        }
    }
}
