//! What all blobs of a run share: the connections to each source, and the memory for bytes that arrived early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::grants::{self, RangeSizes};
use super::growth::Growth;
use super::pace;
use super::waiting::{Phase, Readers};
use super::window::Window;
use crate::content::Endpoint;
use crate::error::Error;

/// Blobs that have not asked for this long are busy with something else than their source.
const LOAD_LIFETIME: Duration = Duration::from_secs(1);

/// How long the average of more connections is the better one.
const AVERAGE_LIFETIME: Duration = Duration::from_secs(10);

/// Time for the answer to the first range, while no other is requested.
const FIRST_RANGE: Duration = Duration::from_secs(1);

/// Share of the time that all readers must have waited for their source: with more work than that, further connections could
/// not bring twice as much.
const MIN_IDLE_PERCENT: u64 = 50;

/// A connection to a source, closed or free for others when dropped.
pub(in crate::transfer) type Permit = OwnedSemaphorePermit;

/// All sources of a run that are reached over a network.
#[derive(Debug)]
pub(in crate::transfer) struct Hosts {
    max: usize,
    pub(super) window: Window,
    by_name: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    /// With at most this many connections to each, and this many bytes for all that arrives early.
    pub(in crate::transfer) fn new(max: usize, window: u64) -> Self {
        Self {
            max: max.clamp(1, Semaphore::MAX_PERMITS),
            window: Window::new(window),
            by_name: Mutex::default(),
        }
    }

    /// Returns the host of an endpoint; `None` on this machine.
    pub(in crate::transfer) fn get(&self, endpoint: &Endpoint) -> Option<Arc<Host>> {
        if endpoint.kind.is_local() {
            return None;
        }
        let name = endpoint.mount_scope.as_ref().unwrap_or(&endpoint.location);
        let mut hosts = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Some(Arc::clone(host));
        }
        let allowed = endpoint.connections.unwrap_or(usize::MAX).max(1);
        let host = Arc::new(Host::new(self.max.min(allowed)));
        hosts.insert(name.clone(), Arc::clone(&host));
        Some(host)
    }
}

/// The connections to one source.
#[derive(Debug)]
pub(in crate::transfer) struct Host {
    max: usize,
    permits: Arc<Semaphore>,
    ranges_refused: AtomicBool,
    ranges_seen: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    growth: Growth,
    readers: Readers,
    /// Blobs that have use for more connections.
    loads: HashMap<u64, Load>,
    last_id: u64,
    average: Option<Average>,
    /// When a range was requested without knowing whether the source has ranges.
    asked: Option<Instant>,
}

/// The rate of a connection when there were several.
#[derive(Clone, Copy, Debug)]
struct Average {
    rate: u64,
    connections: usize,
    at: Instant,
}

/// The remaining bytes of a blob.
#[derive(Clone, Copy, Debug)]
struct Load {
    missing: u64,
    connections: usize,
    asked: Instant,
}

impl Load {
    fn is_longer_than(&self, other: &Self) -> bool {
        let time = |missing: u64, of: usize| u128::from(missing) * of as u128;
        time(self.missing, other.connections) > time(other.missing, self.connections)
    }
}

impl State {
    /// Returns how many connections may be open, for a blob that asks for one more than `in_use`; `None` if it has no use for it.
    fn allowed(&mut self, now: Instant, load: &Load, in_use: usize) -> Option<usize> {
        let unmeasured = self.growth.unmeasured(now, load.missing);
        let Some(rate) = self.growth.rate(now) else { return Some(unmeasured) };
        let connection_rate = rate / in_use.max(1) as u64;
        let round_trip = self.growth.round_trip();
        let idle = self.readers.idle_percent(now, self.growth.least_measure())?;
        // One that has just ended its range costs no more than a round trip.
        let is_open = in_use < self.growth.proven();
        let is_useful = idle >= MIN_IDLE_PERCENT
            && (is_open
                || grants::is_worth_it(
                    load.missing,
                    load.connections,
                    connection_rate,
                    round_trip,
                ));
        is_useful.then(|| self.growth.allowed(now, in_use))
    }
}

impl Host {
    fn new(max: usize) -> Self {
        let state = State {
            growth: Growth::new(max),
            readers: Readers::new(Instant::now()),
            loads: HashMap::new(),
            last_id: 0,
            average: None,
            asked: None,
        };
        Self {
            max,
            permits: Arc::new(Semaphore::new(max)),
            ranges_refused: AtomicBool::new(false),
            ranges_seen: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_use(&self) -> usize {
        self.max - self.permits.available_permits()
    }

    /// The first connection of a blob. They are given before any further ones, in the order in which they were asked for.
    pub(super) async fn connect(&self) -> Option<Permit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Returns a first connection if one is free.
    pub(super) fn try_connect(&self) -> Option<Permit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// A number for [`Host::connect_further`].
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        state.last_id
    }

    /// A further connection for the blob with this number, if that will be faster, and no other blob needs it more.
    pub(super) fn connect_further(
        &self,
        blob: u64,
        missing: u64,
        connections: usize,
    ) -> Option<Permit> {
        let now = Instant::now();
        let mut state = self.state();
        let own = Load { missing, connections, asked: now };
        state.loads.insert(blob, own);
        let in_use = self.in_use();
        if self.are_ranges_refused() || in_use >= self.max {
            return None;
        }
        let is_longest = !state
            .loads
            .values()
            .any(|other| now - other.asked < LOAD_LIFETIME && other.is_longer_than(&own));
        let is_asked = state.asked.is_some_and(|asked| now - asked < FIRST_RANGE);
        let has_ranges = self.ranges_seen.load(Ordering::Relaxed);
        if !is_longest || (is_asked && !has_ranges) || in_use >= state.allowed(now, &own, in_use)? {
            return None;
        }
        state.asked = Some(now);
        self.try_connect()
    }

    /// The blob has no use for further connections.
    pub(super) fn forget(&self, blob: u64) {
        self.state().loads.remove(&blob);
    }

    /// A reader of this host begins, changes over or ends.
    pub(super) fn change_reader(&self, from: Option<Phase>, to: Option<Phase>) {
        self.state().readers.change(Instant::now(), from, to);
    }

    /// Returns how long the next ranges are.
    pub(super) fn range_sizes(&self, window: u64) -> RangeSizes {
        let (now, in_use) = (Instant::now(), self.in_use());
        let state = self.state();
        let rate = state.growth.rate(now).map(|rate| rate / in_use.max(1) as u64);
        let sizes = RangeSizes::new(rate, window, self.max);
        match rate.filter(|_| in_use < state.growth.proven()) {
            Some(rate) => sizes.with_free_connection(rate, state.growth.round_trip()),
            None => sizes,
        }
    }

    /// Bytes per second of a connection while there were several, now or before; `None` if they were not measured long enough.
    pub(super) fn average_rate(&self) -> Option<u64> {
        let (now, connections) = (Instant::now(), self.in_use());
        let mut state = self.state();
        // When most have done their part, only the slow ones may be left.
        let had_more = state.average.is_some_and(|average| {
            connections < average.connections && now - average.at < AVERAGE_LIFETIME
        });
        if connections > 1
            && !had_more
            && let Some(rate) = state.growth.rate_over(now, pace::MIN_AGE)
        {
            state.average = Some(Average { rate: rate / connections as u64, connections, at: now });
        }
        state.average.map(|average| average.rate)
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.state().growth.round_trip()
    }

    /// Whether several connections per blob are known to be useful.
    pub(super) fn is_split(&self) -> bool {
        !self.are_ranges_refused() && self.state().growth.proven() > 0
    }

    pub(in crate::transfer) fn record_bytes(&self, bytes: u64) {
        self.state().growth.record(Instant::now(), bytes);
    }

    /// Records the time from a request to its response.
    pub(in crate::transfer) fn record_round_trip(&self, took: Duration) {
        self.state().growth.record_round_trip(took);
    }

    /// Records a failed request or body.
    pub(in crate::transfer) fn record_failure(&self, error: &Error) {
        if matches!(error.status(), Some(429 | 503)) {
            self.state().growth.cut(Instant::now(), self.in_use());
        }
    }

    /// The source has answered a range with just that, or says that it would.
    pub(in crate::transfer) fn confirm_ranges(&self) {
        self.ranges_seen.store(true, Ordering::Relaxed);
    }

    /// The source has answered a range with the whole blob.
    pub(in crate::transfer) fn refuse_ranges(&self) {
        self.ranges_refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_ranges_refused(&self) -> bool {
        self.ranges_refused.load(Ordering::Relaxed)
    }
}
