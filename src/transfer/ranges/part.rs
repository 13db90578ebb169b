//! One range of a blob, received into memory before its turn.

use std::collections::VecDeque;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::grants::Span;
use super::hosts::Permit;
use super::pace::Pace;
use super::window::Window;
use crate::content::ByteStream;
use crate::error::Error;

/// Early bytes are copied into chunks of this size: those of a connection can keep much larger buffers in memory.
const CHUNK: usize = 256 << 10;

/// Chunks that are taken from one connection before it is the turn of the next.
const CHUNKS_PER_TURN: usize = 16;

pub(super) struct Part<'a> {
    pub(super) span: Span,
    early: VecDeque<Bytes>,
    last: BytesMut,
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
            early: VecDeque::new(),
            last: BytesMut::new(),
            connection: Some((stream, permit)),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Bytes in memory.
    pub(super) fn early(&self) -> u64 {
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

    /// Takes what has arrived, as long as the window has room. A part that has ended has no connection.
    pub(super) fn receive(
        &mut self,
        window: &Window,
        size: u64,
        now: Duration,
        context: &mut Context<'_>,
    ) -> Received {
        let mut received = Received::default();
        for _ in 0..CHUNKS_PER_TURN {
            let Some((stream, _)) = &mut self.connection else { return received };
            if !window.has_room() {
                self.pace.restart(now);
                return received;
            }
            match stream.poll_next_unpin(context) {
                Poll::Pending => return received,
                Poll::Ready(Some(Ok(chunk))) => {
                    let kept = self.keep(&chunk, size);
                    window.add(kept);
                    self.pace.record(kept);
                    received.bytes += kept;
                    received.excess += chunk.len() as u64 - kept;
                }
                Poll::Ready(end) => {
                    self.span.end = self.span.reached;
                    received.failure = end.and_then(Result::err);
                }
            }
            if self.span.left() == 0 {
                self.connection = None;
                received.has_ended = true;
            }
        }
        context.waker().wake_by_ref();
        received
    }

    /// Keeps the bytes up to the end of the range, and returns their number. Whatever is beyond the end of the blob is kept, too:
    /// the verification must see it.
    fn keep(&mut self, chunk: &Bytes, size: u64) -> u64 {
        let most = if self.span.end < size { self.span.left() } else { u64::MAX };
        let kept = usize::try_from(most).unwrap_or(usize::MAX).min(chunk.len());
        self.last.extend_from_slice(chunk.get(..kept).unwrap_or_default());
        if self.last.len() >= CHUNK {
            self.early.push_back(self.last.split().freeze());
        }
        self.span.reached += kept as u64;
        kept as u64
    }

    /// Ends the range where it stands.
    pub(super) fn give_up(&mut self) -> Option<Permit> {
        let (_, permit) = self.connection.take()?;
        self.span.end = self.span.reached;
        Some(permit)
    }

    /// The early bytes, and the connection if there is more to come.
    pub(super) fn into_parts(mut self) -> (VecDeque<Bytes>, Option<(ByteStream<'a>, Permit)>) {
        if !self.last.is_empty() {
            self.early.push_back(self.last.freeze());
        }
        (self.early, self.connection)
    }
}
