//! Tracks open connections, and closes idle ones above the limit.
//!
//! An idle connection, or one with half a request, costs its client nothing. So the one that has been idle for longest
//! is closed to accept a new one. Complete requests are always served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::min_rate::MIN_BYTES_PER_WINDOW;

/// Minimum idle time before a connection may be closed: its request may be on the way.
const GRACE: Duration = Duration::from_secs(1);

/// A request without any traffic for this time may be closed too, if no connection is idle.
const STALLED: Duration = Duration::from_secs(10);

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    changed: Notify,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    close: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct State {
    is_busy: bool,
    /// Whether all received bytes have been read.
    is_drained: bool,
    /// When the connection was last active: its start, its last response, and during a request the last time that bytes
    /// arrived at the minimum rate.
    last_active: Instant,
    /// Bytes received since then.
    bytes: u64,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default(), changed: Notify::new() })
    }

    /// Waits until another connection is allowed, and registers it.
    pub(super) async fn admit(self: &Arc<Self>, number: u64) -> ConnectionGuard {
        let mut closing = None;
        loop {
            {
                let mut open = self.lock();
                if open.len() < self.limit {
                    let connection = Arc::new(Connection::new());
                    open.insert(number, Arc::clone(&connection));
                    return ConnectionGuard { number, connection, connections: Arc::clone(self) };
                }
                // Close one at a time: its end makes enough room.
                if closing.is_none_or(|closing| !open.contains_key(&closing)) {
                    closing = close_one(&open);
                }
            }
            // Connections become closable with time, without any event.
            let _tick = timeout(GRACE / 4, self.changed.notified()).await;
        }
    }

    /// Closes an idle connection, if any.
    pub(super) fn close_idle(&self) {
        close_one(&self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the connection that has been idle for longest, and returns its number.
fn close_one(open: &HashMap<u64, Arc<Connection>>) -> Option<u64> {
    let now = Instant::now();
    let states = open.iter().map(|(number, connection)| (*number, connection.state()));
    let closable = states.filter(|(_, state)| {
        let idle = now.saturating_duration_since(state.last_active);
        if state.is_busy { idle >= STALLED } else { state.is_drained && idle >= GRACE }
    });
    let (number, state) = closable.min_by_key(|(_, state)| (state.is_busy, state.last_active))?;
    tracing::info!("closing a connection to accept another (with a request: {})", state.is_busy);
    open.get(&number)?.close.cancel();
    Some(number)
}

impl Connection {
    fn new() -> Self {
        let state =
            State { is_busy: false, is_drained: false, last_active: Instant::now(), bytes: 0 };
        Self { state: Mutex::new(state), close: CancellationToken::new() }
    }

    fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records received bytes. They count as activity only during a request, and only at the minimum rate: clients may
    /// send a head or body very slowly to stay connected.
    pub(super) fn record_received(&self, bytes: usize) {
        let mut state = self.lock();
        state.is_drained = false;
        state.bytes += bytes as u64;
        let minimum =
            u128::from(MIN_BYTES_PER_WINDOW) * state.last_active.elapsed().as_millis() / 1000;
        if state.is_busy && u128::from(state.bytes) >= minimum {
            (state.last_active, state.bytes) = (Instant::now(), 0);
        }
    }

    /// Records that all received bytes have been read.
    pub(super) fn record_drained(&self) {
        self.lock().is_drained = true;
    }

    /// Records sent bytes.
    pub(super) fn record_sent(&self) {
        let mut state = self.lock();
        (state.last_active, state.bytes) = (Instant::now(), 0);
    }

    /// Marks the connection as serving a request until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.set_busy(true);
        ActiveRequest(Arc::clone(self))
    }

    fn set_busy(&self, is_busy: bool) {
        let mut state = self.lock();
        (state.is_busy, state.last_active, state.bytes) = (is_busy, Instant::now(), 0);
    }
}

/// A registered connection; it is removed when dropped.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    number: u64,
    pub(super) connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl ConnectionGuard {
    /// Runs `work` until the connection is chosen to be closed.
    pub(super) async fn run(&self, work: impl Future<Output = ()>) {
        self.connection.close.run_until_cancelled(work).await;
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
        self.connections.changed.notify_one();
    }
}

/// A request being served.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<Connection>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// A response body that keeps its request marked as being served until it is sent.
pub(super) struct TrackedBody<B> {
    body: B,
    _request: ActiveRequest,
}

impl<B> TrackedBody<B> {
    pub(super) fn new(body: B, request: ActiveRequest) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_connection_is_closed_for_new_one() {
        let all = Connections::new(3);
        let busy = all.admit(1).await;
        let _request = busy.connection.begin();
        let old = all.admit(2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let new = all.admit(3).await;
        old.connection.record_drained();
        new.connection.record_drained();
        let began = Instant::now();
        let ended = async {
            // A slowly sent head does not count as activity.
            old.connection.record_received(1);
            old.connection.record_drained();
            old.connection.close.cancelled().await;
            drop(old);
        };
        let (admitted, ()) = tokio::join!(all.admit(4), ended);
        assert!(began.elapsed() <= GRACE, "{:?}", began.elapsed());
        assert!(!new.connection.close.is_cancelled() && !busy.connection.close.is_cancelled());
        drop((new, admitted));
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_request_is_closed_for_new_connection() {
        let all = Connections::new(2);
        let [stalled, moving] = [all.admit(1).await, all.admit(2).await];
        let _requests = [stalled.connection.begin(), moving.connection.begin()];
        let moves = async {
            while !stalled.connection.close.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                moving.connection.record_received(1 << 10);
                stalled.connection.record_received(1);
            }
        };
        let began = Instant::now();
        let waits = timeout(Duration::from_secs(15), all.admit(3));
        let (waited, ()) = tokio::join!(waits, moves);
        assert!(waited.is_err(), "it has not ended yet");
        assert!(began.elapsed() >= STALLED && !moving.connection.close.is_cancelled());
    }
}
