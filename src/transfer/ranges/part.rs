//! One range of a blob, received before its turn.

use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::early::{EarlyRange, EarlyStorage};
use super::grants::Span;
use super::hosts::Permit;
use super::pace::Pace;
use crate::content::ByteStream;
use crate::error::{Error, Result};

/// Chunks that are taken from one connection before it is the turn of the next.
const CHUNKS_PER_TURN: usize = 16;

pub(super) struct Part<'a> {
    pub(super) span: Span,
    early: EarlyRange,
    pub(super) pace: Pace,
    connection: Option<(ByteStream<'a>, Permit)>,
}

/// What one turn of a part has brought.
#[derive(Default)]
pub(super) struct Received {
    pub(super) bytes: u64,
    /// Bytes after the end.
    pub(super) excess: u64,
    pub(super) has_ended: bool,
    /// Before all of the range has arrived.
    pub(super) broke_off: bool,
    pub(super) failure: Option<Error>,
}

impl<'a> Part<'a> {
    pub(super) fn new(
        range: &Range<u64>,
        stream: ByteStream<'a>,
        permit: Permit,
        now: Duration,
    ) -> Self {
        Self {
            pace: Pace::new(now),
            span: Span::new(range),
            early: EarlyRange::new(range.start),
            connection: Some((stream, permit)),
        }
    }

    /// A range that was received by an earlier run.
    pub(super) fn resumed(range: &Range<u64>) -> Self {
        Self {
            pace: Pace::new(Duration::ZERO),
            span: Span { reached: range.end, ..Span::new(range) },
            early: EarlyRange::resumed(range),
            connection: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Bytes that have arrived.
    pub(super) fn arrived_bytes(&self) -> u64 {
        self.span.reached - self.span.start
    }

    /// Whether what is still to come is much slower than the other connections.
    pub(super) fn is_too_slow(
        &mut self,
        now: Duration,
        average: u64,
        round_trip: Duration,
    ) -> bool {
        self.is_connected() && self.pace.is_too_slow(now, average, round_trip)
    }

    /// Continues with this stream of the bytes that have not arrived.
    pub(super) fn replace(&mut self, stream: ByteStream<'a>, now: Duration) {
        self.pace = self.pace.of_next(now);
        self.span.requested = self.span.end;
        if let Some((slow, _)) = &mut self.connection {
            *slow = stream;
        }
    }

    /// Takes what has arrived, as long as there is room for it, and returns whether the target has stored it. A part that has ended
    /// has no connection.
    pub(super) fn receive(
        &mut self,
        storage: &EarlyStorage<'_>,
        now: Duration,
        context: &mut Context<'_>,
    ) -> (Received, Result<()>) {
        let mut received = Received::default();
        let mut stored = Ok(());
        for _ in 0..CHUNKS_PER_TURN {
            let Some((stream, _)) = &mut self.connection else { return (received, stored) };
            if !storage.has_room() {
                self.pace.restart(now);
                return (received, stored);
            }
            match stream.poll_next_unpin(context) {
                Poll::Pending => {
                    return (received, stored.and_then(|()| self.early.store(storage)));
                }
                Poll::Ready(Some(Ok(chunk))) => {
                    let kept;
                    (kept, stored) = self.keep(&chunk, storage);
                    self.pace.record(kept);
                    received.bytes += kept;
                    received.excess += chunk.len() as u64 - kept;
                }
                Poll::Ready(end) => {
                    self.span.end = self.span.reached;
                    received.broke_off = true;
                    received.failure = end.and_then(Result::err);
                }
            }
            if self.span.left() == 0 {
                self.connection = None;
                received.has_ended = true;
                stored = stored.and_then(|()| self.early.store(storage));
            }
            if stored.is_err() {
                return (received, stored);
            }
        }
        context.waker().wake_by_ref();
        (received, stored)
    }

    /// Keeps the bytes up to the end of the range, and returns their number. The first byte beyond the end of the blob is kept, too:
    /// the verification must see it.
    fn keep(&mut self, chunk: &[u8], storage: &EarlyStorage<'_>) -> (u64, Result<()>) {
        let most = self.span.left() + u64::from(self.span.end >= storage.size);
        let kept = usize::try_from(most).unwrap_or(usize::MAX).min(chunk.len());
        let pushed = self.early.push(chunk.get(..kept).unwrap_or_default(), storage);
        self.span.reached += kept as u64;
        (kept as u64, pushed)
    }

    /// Ends the range where it stands.
    pub(super) fn give_up(&mut self) -> Option<Permit> {
        let (_, permit) = self.connection.take()?;
        self.span.end = self.span.reached;
        Some(permit)
    }

    /// The early bytes, and the connection if there is more to come.
    pub(super) fn into_parts(self) -> (EarlyRange, Option<(ByteStream<'a>, Permit)>) {
        (self.early, self.connection)
    }
}
