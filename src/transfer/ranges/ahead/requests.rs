//! Which further ranges of a blob are requested, when, and which are requested again.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Ahead, GROWTH_INTERVAL};
use crate::min_rate::MIN_PROGRESS;
use crate::transfer::ranges::grants::{self, Span};
use crate::transfer::ranges::hosts::{Host, Permit};
use crate::transfer::ranges::part::{Part, Received};
use crate::transfer::ranges::request;

/// Delay after a range that failed without progress; doubles with each further one.
const FAILURE_DELAY: Duration = Duration::from_millis(250);
const MAX_FAILURES: u32 = 6;

impl Ahead<'_> {
    /// Requests again what comes much slower than other connections of the host.
    pub(super) fn replace_slow(&mut self, now: Duration) {
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

    /// Records what a part has received, which has this many bytes now.
    pub(super) fn record(&mut self, received: &Received, early: u64) {
        let bytes = received.bytes + received.excess;
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.counters.add_resent(received.excess);
        self.arrived += bytes;
        let (Some(host), Some(splitting)) = (&self.host, &mut self.splitting) else { return };
        if received.bytes > 0 {
            host.record_bytes(received.bytes);
        }
        if early >= MIN_PROGRESS {
            splitting.failures = 0;
        }
        if let Some(error) = &received.failure {
            tracing::info!("{}; requesting the rest of the range again", error.chain());
            host.record_failure(error);
            splitting.has_failed |= !error.is_transient();
        }
        if received.broke_off && early < MIN_PROGRESS {
            splitting.failures = (splitting.failures + 1).min(MAX_FAILURES);
            let delay = FAILURE_DELAY * 2_u32.pow(splitting.failures - 1);
            splitting.next_growth = Instant::now() + delay;
        } else if received.has_ended {
            // Its connection is free.
            splitting.next_growth = splitting.next_growth.min(Instant::now());
        }
    }

    /// Removes a part without bytes. The body before it need not be cut any more.
    pub(super) fn remove_empty(&mut self, index: usize) {
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
    pub(super) fn grow(&mut self, waited: Duration) {
        let (Some(host), Some(splitting)) = (self.host.clone(), &mut self.splitting) else {
            return;
        };
        let now = Instant::now();
        if now < splitting.next_growth || splitting.has_failed {
            return;
        }
        if !self.is_receiving {
            self.request_gap(&host, waited);
            return;
        }
        splitting.next_growth = now + GROWTH_INTERVAL;
        let id = splitting.id;
        while self.handover.storage.has_room() {
            let parts = self.parts.iter();
            let early: u64 = parts.clone().map(Part::arrived_bytes).sum();
            let missing = self.descriptor.size.saturating_sub(self.own.reached + early);
            let connections = 1 + parts.filter(|part| part.is_connected()).count();
            let mut sizes = host.range_sizes(self.handover.storage.limit());
            sizes.length = sizes.length.min((missing / connections as u64).max(sizes.last));
            let Some(range) = grants::next_grant(&self.spans(), self.descriptor.size, &sizes)
            else {
                break;
            };
            let Some(permit) = host.connect_further(id, missing, connections) else { return };
            self.start(range, permit, waited);
        }
        host.forget(id);
    }

    /// Requests what follows the bytes of an earlier run while the reader hashes these, which can take many seconds. Only for a
    /// target with a file: nothing else may be left to be received in memory.
    fn request_gap(&mut self, host: &Host, waited: Duration) {
        let has_all = self.own.left() == 0 && !self.parts.iter().any(Part::is_connected);
        if !has_all || self.handover.storage.file.is_none() || host.are_ranges_refused() {
            return;
        }
        let Some(gap) = grants::first_gap(&self.spans(), self.descriptor.size) else { return };
        if let Some(permit) = host.try_connect() {
            self.start(self.cut_if_split(gap), permit, waited);
        }
    }

    fn spans(&self) -> Vec<Span> {
        [self.own].into_iter().chain(self.parts.iter().map(|part| part.span)).collect()
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
}
