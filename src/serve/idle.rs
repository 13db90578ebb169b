//! Closes connections without traffic, such as those of clients that disappeared.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connections::Connection;

/// A stream that fails after a time without traffic, and records traffic in its connection.
pub(super) struct IdleTimeout<S> {
    stream: S,
    connection: Arc<Connection>,
    timeout: Duration,
    last_traffic: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> IdleTimeout<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>, timeout: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(timeout));
        Self { stream, connection, timeout, last_traffic: Instant::now(), timer }
    }

    /// Returns the outcome; if it is pending and the timeout has passed, an error.
    fn check_deadline<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.last_traffic = Instant::now();
            return outcome;
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let end = self.last_traffic + self.timeout;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(end);
        }
    }

    fn check_write(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.connection.record_sent();
        }
        self.check_deadline(outcome, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            self.connection.record_received(buffer.filled().len() - before);
        } else {
            self.connection.record_drained();
        }
        self.check_deadline(outcome, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check_write(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.check_write(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.check_deadline(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.check_deadline(outcome, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::serve::connections::Connections;

    #[tokio::test(start_paused = true)]
    async fn idle_timeout_ends_silent_connection() {
        let (ours, mut theirs) = duplex(64);
        let guard = Connections::new(1).admit(0).await;
        let connection = Arc::clone(&guard.connection);
        let mut idle = IdleTimeout::new(ours, connection, Duration::from_secs(10));
        let began = Instant::now();
        let client = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                theirs.write_all(b"x").await.unwrap();
            }
            theirs
        });
        let mut buffer = [0; 8];
        for _ in 0..5 {
            assert_eq!(idle.read(&mut buffer).await.unwrap(), 1);
        }
        let silence = idle.read(&mut buffer).await.unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 50);
        drop(client);
    }
}
