//! The ranges of a blob beyond the position of its reader: requested, received, and handed over in order.

mod requests;

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
use super::part::Part;
use crate::content::{BlobRanges, ByteStream, Source};
use crate::descriptor::Descriptor;
use crate::transfer::blob::counters::BlobCounters;

/// How often further connections are asked for.
const GROWTH_INTERVAL: Duration = Duration::from_millis(50);

/// Minimum missing bytes for which a slow connection is replaced.
const MIN_TAKEOVER: u64 = 1 << 20;

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
    next_growth: Instant,
    /// Failures in a row without progress.
    failures: u32,
    /// A range has failed for good: others would too, unless the reader gets its own.
    has_failed: bool,
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
        let storage = EarlyStorage { window: &hosts.window, file: None, size: descriptor.size };
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
            handover: Handover::new(storage, counters),
            parts: VecDeque::new(),
            arrived: 0,
        }
    }

    /// Keeps early bytes in the partial of the target, too, and uses those that are there.
    pub(in crate::transfer) fn keep_in(&mut self, file: Arc<dyn BlobRanges>) {
        self.parts = file.present().iter().map(Part::resumed).collect();
        self.handover.keep_in(file);
    }

    /// The reader has all bytes before this position, and does not need its source until it has hashed them.
    pub(in crate::transfer) fn start_at(&mut self, position: u64) {
        self.own = Span::new(&(position..position));
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
        if part.arrived_bytes() == 0 {
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
            next_growth: Instant::now(),
            failures: 0,
            has_failed: false,
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
        let next = self.parts.front().map_or(self.descriptor.size, |part| part.span.start);
        let end = self.cut_if_split(position..next).end;
        self.own = Span::new(&(position..end));
        self.is_receiving = false;
        self.own_pace = if std::mem::take(&mut self.own_is_slow) {
            self.own_pace.of_next(self.clock.stopped())
        } else {
            Pace::new(self.clock.stopped())
        };
        position..end
    }

    /// The range to request for a gap where the reader is or will be. If the host is split, a request for all of it would be cut
    /// soon, which costs a connection.
    fn cut_if_split(&self, gap: Range<u64>) -> Range<u64> {
        match self.host.as_ref().filter(|host| self.splitting.is_some() && host.is_split()) {
            Some(host) => grants::cut(gap, host.range_sizes(self.handover.storage.limit()).length),
            None => gap,
        }
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
        if let Some(splitting) = self.splitting.as_mut().filter(|_| !self.is_receiving) {
            splitting.has_failed = false;
        }
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
            let (received, stored) = part.receive(&self.handover.storage, now, context);
            let early = part.arrived_bytes();
            self.record(&received, early);
            self.handover.record_write(stored);
            if received.has_ended && early == 0 {
                self.remove_empty(index);
            } else {
                index += 1;
            }
        }
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
