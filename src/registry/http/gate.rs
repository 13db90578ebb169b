//! Lets the requests to one host through: no more at once, and no more a second, than its limits allow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long all connections of a host may stay without a byte while a request waits for one of them. Then it is sent: the readers
/// of these bodies may be waiting for just this request.
const MAX_STALL: Duration = Duration::from_secs(60);

/// What a request sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum RequestClass {
    /// Anything but an upload; the body of the response counts until it is read.
    Request,
    /// A streamed body of a blob.
    Upload,
}

/// The limits of one host, and the requests that are on their way.
#[derive(Debug, Default)]
pub(in crate::registry) struct Gate {
    connections: Option<usize>,
    interval: Option<Duration>,
    in_flight: Mutex<InFlight>,
    freed: Notify,
    /// Held by the first in the queue of each class, so that requests are let through in order.
    first_request: tokio::sync::Mutex<()>,
    first_upload: tokio::sync::Mutex<()>,
    /// When the next request may be sent.
    next: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct InFlight {
    total: usize,
    uploads: usize,
    /// Those whose response is being read.
    bodies: usize,
    last_bytes: Option<Instant>,
}

/// The place of a request that is on its way.
#[derive(Debug)]
pub(in crate::registry) struct Pass {
    gate: Arc<Gate>,
    class: RequestClass,
    has_body: AtomicBool,
}

impl Gate {
    pub(in crate::registry) fn new(
        connections: Option<usize>,
        requests_per_second: Option<f64>,
    ) -> Self {
        let interval = requests_per_second.map(|rate| Duration::from_secs(1).div_f64(rate));
        Self { connections, interval, ..Self::default() }
    }

    /// The most requests at once.
    pub(in crate::registry) fn connections(&self) -> Option<usize> {
        self.connections
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may be sent. `None` if the number of requests is not limited.
    pub(in crate::registry) async fn pass(self: &Arc<Self>, class: RequestClass) -> Option<Pass> {
        let pass = match self.connections {
            Some(max) => Some(self.connect(max, class).await),
            None => None,
        };
        self.pace().await;
        pass
    }

    async fn connect(self: &Arc<Self>, max: usize, class: RequestClass) -> Pass {
        let queue = match class {
            RequestClass::Request => &self.first_request,
            RequestClass::Upload => &self.first_upload,
        };
        let _first = queue.lock().await;
        loop {
            let freed = self.freed.notified();
            if let Some(pass) = self.try_connect(max, class) {
                return pass;
            }
            // Time out only to look again.
            _ = tokio::time::timeout(MAX_STALL, freed).await.is_ok();
        }
    }

    fn try_connect(self: &Arc<Self>, max: usize, class: RequestClass) -> Option<Pass> {
        let mut in_flight = self.in_flight();
        let has_place = in_flight.total < max
            || match class {
                // A copy within one host: what is read waits for what is sent.
                RequestClass::Upload => in_flight.uploads == 0 && in_flight.bodies > 0,
                RequestClass::Request => in_flight.is_stalled(),
            };
        if !has_place {
            return None;
        }
        in_flight.total += 1;
        in_flight.uploads += usize::from(class == RequestClass::Upload);
        // Its own time to stall begins now.
        in_flight.last_bytes = Some(Instant::now());
        Some(Pass { gate: Arc::clone(self), class, has_body: AtomicBool::new(false) })
    }

    async fn pace(&self) {
        let Some(interval) = self.interval else { return };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // Unused time is not saved up: a burst afterwards would exceed the limit.
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + interval);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    pub(in crate::registry) fn record_bytes(&self) {
        if self.connections.is_some() {
            self.in_flight().last_bytes = Some(Instant::now());
        }
    }
}

impl InFlight {
    fn is_stalled(&self) -> bool {
        self.bodies > 0 && self.last_bytes.is_some_and(|last| last.elapsed() >= MAX_STALL)
    }
}

impl Pass {
    /// The response came, and its body will be read.
    pub(in crate::registry) fn begin_body(&self) {
        if !self.has_body.swap(true, Ordering::Relaxed) {
            self.gate.in_flight().bodies += 1;
            self.gate.freed.notify_waiters();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut in_flight = self.gate.in_flight();
        in_flight.total -= 1;
        in_flight.uploads -= usize::from(self.class == RequestClass::Upload);
        in_flight.bodies -= usize::from(self.has_body.load(Ordering::Relaxed));
        drop(in_flight);
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use RequestClass::{Request, Upload};

    #[tokio::test(start_paused = true)]
    async fn gate_lets_waiting_requests_through_in_order() {
        let gate = Arc::new(Gate::new(Some(1), None));
        let first = gate.pass(Request).await;
        let mut second = Box::pin(gate.pass(Request));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(gate.pass(Request));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it came later");
        let second = second.await;
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!(third.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn gate_spaces_requests_evenly() {
        let gate = Arc::new(Gate::new(None, Some(4.0)));
        let began = Instant::now();
        for _ in 0..9 {
            gate.pass(Request).await;
        }
        assert_eq!(began.elapsed().as_millis(), 2000);
        tokio::time::advance(Duration::from_secs(9)).await;
        let began = Instant::now();
        tokio::join!(gate.pass(Request), gate.pass(Upload), gate.pass(Request));
        assert_eq!(began.elapsed().as_millis(), 500, "unused time is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn gate_never_locks_up_a_copy_within_one_host() {
        let gate = Arc::new(Gate::new(Some(1), None));
        let read = gate.pass(Request).await.unwrap();
        assert!(gate.pass(Upload).now_or_never().is_none(), "it may end soon");
        read.begin_body();
        let _sent = gate.pass(Upload).await.unwrap();
        assert!(gate.pass(Upload).now_or_never().is_none(), "one is enough");
        let began = Instant::now();
        let _again = gate.pass(Request).await.unwrap();
        assert_eq!(began.elapsed(), MAX_STALL, "nothing moved");
    }
}
