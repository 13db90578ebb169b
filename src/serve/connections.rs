//! The connections that are open, and which one gives way when there are too many.
//!
//! A connection that has said half of a request, or nothing, costs its client nothing; so the one that has been so for
//! longest ends where another wants in. A whole request is never refused, wherever it comes from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::min_rate::MIN_BYTES_PER_WINDOW;

/// A connection may be without a request for so long before it gives way: what it says may be on its way.
const GRACE: Duration = Duration::from_secs(1);

/// A request on whose connection nothing has moved for so long gives way too, where nothing else does.
const STALLED: Duration = Duration::from_secs(10);

/// All open connections of a server.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    changed: Notify,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    end: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct State {
    is_busy: bool,
    /// Whether all that was said has been heard.
    waits: bool,
    /// When it was last of use: its begin, its last answer, and while a request is under way the last time that its bytes
    /// came at the least rate.
    used: Instant,
    /// Bytes that came since then.
    bytes: u64,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default(), changed: Notify::new() })
    }

    /// Counts one more, when there is room for it.
    pub(super) async fn admit(self: &Arc<Self>, number: u64) -> Place {
        let mut asked = None;
        loop {
            {
                let mut open = self.lock();
                if open.len() < self.most {
                    let connection = Arc::new(Connection::new());
                    open.insert(number, Arc::clone(&connection));
                    return Place { number, connection, all: Arc::clone(self) };
                }
                // One at a time: where that one has not ended yet, no other need.
                if asked.is_none_or(|asked| !open.contains_key(&asked)) {
                    asked = end_one(&open);
                }
            }
            // Some begin to be of no use just by waiting.
            let _tick = timeout(GRACE / 4, self.changed.notified()).await;
        }
    }

    /// Ends one that is of no use, where there is any.
    pub(super) fn relieve(&self) {
        end_one(&self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the one that has waited longest, and tells which.
fn end_one(open: &HashMap<u64, Arc<Connection>>) -> Option<u64> {
    let now = Instant::now();
    let states = open.iter().map(|(number, connection)| (*number, connection.state()));
    let useless = states.filter(|(_, state)| {
        let idle = now.saturating_duration_since(state.used);
        if state.is_busy { idle >= STALLED } else { state.waits && idle >= GRACE }
    });
    let (number, state) = useless.min_by_key(|(_, state)| (state.is_busy, state.used))?;
    tracing::info!("closing a connection to accept another (with a request: {})", state.is_busy);
    open.get(&number)?.end.cancel();
    Some(number)
}

impl Connection {
    fn new() -> Self {
        let state = State { is_busy: false, waits: false, used: Instant::now(), bytes: 0 };
        Self { state: Mutex::new(state), end: CancellationToken::new() }
    }

    fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came. Those of a request's head are of no use before it is whole, and a body that drips is of none.
    pub(super) fn heard(&self, bytes: usize) {
        let mut state = self.lock();
        state.waits = false;
        state.bytes += bytes as u64;
        let enough = u128::from(MIN_BYTES_PER_WINDOW) * state.used.elapsed().as_millis() / 1000;
        if state.is_busy && u128::from(state.bytes) >= enough {
            (state.used, state.bytes) = (Instant::now(), 0);
        }
    }

    /// All bytes that came are heard.
    pub(super) fn listens(&self) {
        self.lock().waits = true;
    }

    /// Bytes went.
    pub(super) fn said(&self) {
        let mut state = self.lock();
        (state.used, state.bytes) = (Instant::now(), 0);
    }

    /// A request is under way until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.set_busy(true);
        UnderWay(Arc::clone(self))
    }

    fn set_busy(&self, is_busy: bool) {
        let mut state = self.lock();
        (state.is_busy, state.used, state.bytes) = (is_busy, Instant::now(), 0);
    }
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Place {
    /// Does this unless it must give way before.
    pub(super) async fn run(&self, work: impl Future<Output = ()>) {
        self.connection.end.run_until_cancelled(work).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().remove(&self.number);
        self.all.changed.notify_one();
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Connection>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// The body of an answer: as long as it goes out, its request is under way.
pub(super) struct Answering<B> {
    body: B,
    _request: UnderWay,
}

impl<B> Answering<B> {
    pub(super) fn new(body: B, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
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
        old.connection.listens();
        new.connection.listens();
        let began = Instant::now();
        let ended = async {
            // Heads that drip are no better.
            old.connection.heard(1);
            old.connection.listens();
            old.connection.end.cancelled().await;
            drop(old);
        };
        let (admitted, ()) = tokio::join!(all.admit(4), ended);
        assert!(began.elapsed() <= GRACE, "{:?}", began.elapsed());
        assert!(!new.connection.end.is_cancelled() && !busy.connection.end.is_cancelled());
        drop((new, admitted));
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_request_is_closed_for_new_connection() {
        let all = Connections::new(2);
        let [stalled, moving] = [all.admit(1).await, all.admit(2).await];
        let _requests = [stalled.connection.begin(), moving.connection.begin()];
        let moves = async {
            while !stalled.connection.end.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                moving.connection.heard(1 << 10);
                stalled.connection.heard(1);
            }
        };
        let began = Instant::now();
        let waits = timeout(Duration::from_secs(15), all.admit(3));
        let (waited, ()) = tokio::join!(waits, moves);
        assert!(waited.is_err(), "it has not ended yet");
        assert!(began.elapsed() >= STALLED && !moving.connection.end.is_cancelled());
    }
}
