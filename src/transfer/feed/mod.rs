//! A blob while a job moves it, for readers on other threads: the bytes that are written and hashed, and the end.

pub(super) mod feeds;
pub(super) mod growing;
pub(super) mod run_feeds;

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};

/// Maximum bytes of a blob in memory for its readers. A reader that is further behind reads the file.
const MAX_RECENT_BYTES: usize = 1 << 20;

/// The job's side. Dropping it ends the feed on every path, so that no reader waits for a job that has ended.
#[derive(Debug, Default)]
pub(in crate::transfer) struct Feed(Option<Arc<FeedChannel>>);

impl Feed {
    pub(in crate::transfer) fn new(shared: Arc<FeedChannel>) -> Self {
        Self(Some(shared))
    }

    /// Starts an attempt, whose bytes will be in this file from the first one on. Without a file readers wait for the end.
    pub(in crate::transfer) fn restart(&self, file: Option<File>) {
        let Some(shared) = &self.0 else { return };
        shared.change(|state| {
            state.file = file.map(Arc::new);
            if state.position > 0 {
                state.restarts += 1;
                state.position = 0;
                state.recent.clear();
            }
        });
    }

    /// Whether there may be readers. Then an attempt must provide its bytes from the first one on.
    pub(in crate::transfer) fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// Announces the next bytes, which are in the file and hashed.
    pub(in crate::transfer) fn advance(&self, chunk: &Bytes) {
        let Some(shared) = &self.0 else { return };
        let mut state = shared.state();
        if state.file.is_none() {
            return;
        }
        state.position += chunk.len() as u64;
        if state.readers == 0 {
            state.recent.clear();
        } else {
            state.recent.push(chunk);
        }
        shared.wake_waiting(&state);
    }

    /// Ends the feed with the result of the job.
    pub(in crate::transfer) fn end(mut self, result: Result<(), &Error>) {
        if let Some(shared) = self.0.take() {
            shared.end(result);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.end(Err(&stopped()));
        }
    }
}

/// The error of a feed that was dropped without an end.
pub(in crate::transfer) fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "transfer").with_reason("interrupted")
}

/// State that the job and the readers of one blob share.
#[derive(Debug, Default)]
pub(in crate::transfer) struct FeedChannel {
    state: Mutex<FeedState>,
    changed: Condvar,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
pub(in crate::transfer) struct FeedState {
    file: Option<Arc<File>>,
    /// Number of bytes that are in the file, and hashed.
    position: u64,
    /// Number of times that bytes were discarded. Bytes read before the last one are void.
    restarts: u32,
    recent: Recent,
    end: Option<Result<()>>,
    readers: usize,
    /// Number of waiting readers. A wake-up without one would cost a system call.
    waiting: usize,
}

/// The latest bytes, in memory.
#[derive(Debug, Default)]
struct Recent {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, chunk: &Bytes) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk.clone());
        while self.bytes > MAX_RECENT_BYTES
            && let Some(first) = self.chunks.pop_front()
        {
            self.bytes -= first.len();
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the last `bytes` bytes, which must all be in memory.
    fn last(&self, mut bytes: usize) -> VecDeque<Bytes> {
        let mut found = VecDeque::new();
        for chunk in self.chunks.iter().rev() {
            if bytes == 0 {
                break;
            }
            let start = chunk.len().saturating_sub(bytes);
            bytes -= chunk.len() - start;
            found.push_front(chunk.slice(start..));
        }
        found
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub(in crate::transfer) enum Next {
    /// Bytes from the requested position on.
    Chunks(VecDeque<Bytes>),
    /// Bytes in this file, up to a position.
    File(Arc<File>, u64),
    /// The blob is at its target, and is read there.
    Stored,
}

/// Position of a reader.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transfer) struct ReadPosition {
    pub(in crate::transfer) offset: u64,
    /// Value of `restarts` when the first byte was read.
    pub(in crate::transfer) restarts: u32,
    /// The file was shorter than announced: it was truncated, and a restart follows.
    pub(in crate::transfer) file_ended_early: bool,
}

/// Why a reader gets no more bytes.
#[derive(Debug)]
pub(in crate::transfer) enum ReadError {
    /// Bytes that it has read were discarded.
    Restarted,
    /// The job failed.
    Failed(Error),
    /// The reader was cancelled.
    Cancelled,
}

impl FeedChannel {
    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiting(&self, state: &FeedState) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn change(&self, change: impl FnOnce(&mut FeedState)) {
        let mut state = self.state();
        change(&mut state);
        self.wake_waiting(&state);
    }

    /// Ends the feed. Only the first call has an effect.
    pub(in crate::transfer) fn end(&self, result: Result<(), &Error>) {
        self.change(|state| {
            if state.end.is_none() {
                state.end = Some(result.map_err(Error::clone_for));
            }
        });
        self.ended.cancel();
    }

    /// Returns the result and the number of restarts, after the end.
    fn ended(state: &FeedState) -> Option<Result<u32>> {
        let end = state.end.as_ref()?;
        Some(end.as_ref().map(|()| state.restarts).map_err(Error::clone_for))
    }

    /// Waits for the end. Returns the number of restarts.
    pub(in crate::transfer) async fn wait_for_end(&self) -> Result<u32> {
        self.ended.cancelled().await;
        Self::ended(&self.state()).unwrap_or_else(|| Err(stopped()))
    }

    /// Waits for the end. Blocks.
    pub(in crate::transfer) fn block_until_end(&self) -> Result<u32> {
        self.block_until(Self::ended)
    }

    /// Waits until there is more for a reader at this position. Blocks.
    pub(in crate::transfer) fn next(
        &self,
        position: ReadPosition,
        cancel: &CancellationToken,
    ) -> Result<(Next, u32), ReadError> {
        self.block_until(|state| {
            if cancel.is_cancelled() {
                return Some(Err(ReadError::Cancelled));
            }
            if let Some(Err(error)) = &state.end {
                return Some(Err(ReadError::Failed(error.clone_for())));
            }
            if position.offset > 0 && position.restarts != state.restarts {
                return Some(Err(ReadError::Restarted));
            }
            let next =
                if position.file_ended_early { None } else { state.next_after(position.offset) };
            let next = next.or_else(|| state.end.is_some().then_some(Next::Stored));
            next.map(|next| Ok((next, state.restarts)))
        })
    }

    fn block_until<T>(&self, check: impl Fn(&FeedState) -> Option<T>) -> T {
        let mut state = self.state();
        loop {
            if let Some(found) = check(&state) {
                return found;
            }
            state.waiting += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    pub(in crate::transfer) fn add_reader(&self) {
        self.state().readers += 1;
    }

    pub(in crate::transfer) fn remove_reader(&self) {
        let mut state = self.state();
        state.readers -= 1;
        if state.readers == 0 {
            state.recent.clear();
        }
    }
}

/// Wakes all readers, so that each checks for cancellation.
impl Wake for FeedChannel {
    fn wake(self: Arc<Self>) {
        // Under the lock: a reader between its check and its wait would miss the wake-up.
        self.wake_waiting(&self.state());
    }
}

impl FeedState {
    fn next_after(&self, offset: u64) -> Option<Next> {
        let bytes = self.position.checked_sub(offset).filter(|bytes| *bytes > 0)?;
        let file = self.file.as_ref()?;
        Some(match usize::try_from(bytes) {
            Ok(bytes) if bytes <= self.recent.bytes => Next::Chunks(self.recent.last(bytes)),
            _ => Next::File(Arc::clone(file), self.position),
        })
    }
}
