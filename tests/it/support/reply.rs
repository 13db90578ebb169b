//! Responses of the loopback server, and faults in sending them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// A response; correct unless it has a [`Fault`].
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Sent unchanged; `Content-Length` is added unless the fault says otherwise.
    pub(crate) headers: Vec<(String, String)>,
    /// For HEAD the body of a GET: only its length is sent.
    pub(crate) body: Bytes,
    pub(crate) fault: Option<Fault>,
    /// Counts the bytes of the body that [`Fault::Slow`] has sent.
    pub(crate) sent: Option<Arc<AtomicU64>>,
}

/// A fault of a response. Byte counts are of the body.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Closes the connection orderly after `n` bytes.
    Cut(usize),
    /// Resets the connection after `n` bytes.
    Reset(usize),
    /// Sends `n` bytes and nothing more; the connection stays open.
    Stall(usize),
    /// Sends `n` bytes per interval.
    Slow(usize, Duration),
    /// Sends these `Content-Length` values, one header line each, then the whole body, and closes.
    ContentLength(Vec<String>),
    /// Sends no length and the whole body, and closes.
    NoLength,
    /// Sends well-formed chunks of `n` bytes.
    Chunked(usize),
    /// Sends chunks of `n` bytes and closes without the final one.
    ChunkedUnfinished(usize),
    /// Sends chunks of `n` bytes without the final one; the connection stays open.
    ChunkedOpen(usize),
    /// Sends these bytes instead of a response, and closes.
    Raw(Bytes),
    /// Reads the request and never answers.
    Silence,
    /// Reads the request and closes orderly, like a pooled connection that just timed out.
    HangUp,
}

/// State of the connection after a response.
pub(super) enum After {
    KeepAlive,
    Close,
    Reset,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), fault: None, sent: None }
    }

    pub(crate) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, value.to_string()).header("Content-Type", "application/json")
    }

    /// Returns an error response as registries send it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let error = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::json(status, &error)
    }

    /// Appends a header line; a repeated name is sent twice.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Removes all header lines with this name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Counts the bytes that [`Fault::Slow`] sends.
    pub(crate) fn counted(mut self, sent: &Arc<AtomicU64>) -> Self {
        self.sent = Some(Arc::clone(sent));
        self
    }

    pub(super) async fn write(
        &self,
        method: &str,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<After> {
        match &self.fault {
            Some(Fault::Raw(bytes)) => {
                stream.write_all(bytes).await?;
                return Ok(After::Close);
            }
            Some(Fault::Silence) => return Ok(forever().await),
            Some(Fault::HangUp) => return Ok(After::Close),
            _ => stream.write_all(self.head().as_bytes()).await?,
        }
        if method == "HEAD" || self.bodiless() {
            stream.flush().await?;
            return Ok(After::KeepAlive);
        }
        let after = self.write_body(stream).await?;
        stream.flush().await?;
        Ok(after)
    }

    fn head(&self) -> String {
        let mut lines = vec![format!("HTTP/1.1 {} Answer", self.status)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let length = |value: &String| format!("Content-Length: {value}");
        match &self.fault {
            Some(Fault::Chunked(_) | Fault::ChunkedUnfinished(_) | Fault::ChunkedOpen(_)) => {
                lines.push("Transfer-Encoding: chunked".to_owned());
            }
            Some(Fault::ContentLength(values)) => lines.extend(values.iter().map(length)),
            Some(Fault::NoLength) => lines.push("Connection: close".to_owned()),
            _ if self.bodiless() => {}
            _ => lines.push(length(&self.body.len().to_string())),
        }
        lines.join("\r\n") + "\r\n\r\n"
    }

    fn bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    async fn write_body(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<After> {
        let upto = |n: usize| self.body.slice(..n.min(self.body.len()));
        match self.fault {
            Some(Fault::Cut(n)) => {
                stream.write_all(&upto(n)).await?;
                Ok(After::Close)
            }
            Some(Fault::Reset(n)) => {
                stream.write_all(&upto(n)).await?;
                Ok(After::Reset)
            }
            Some(Fault::Stall(n)) => {
                stream.write_all(&upto(n)).await?;
                stream.flush().await?;
                Ok(forever().await)
            }
            Some(Fault::Slow(n, every)) => {
                for piece in self.body.chunks(n) {
                    stream.write_all(piece).await?;
                    stream.flush().await?;
                    if let Some(sent) = &self.sent {
                        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    }
                    tokio::time::sleep(every).await;
                }
                Ok(After::KeepAlive)
            }
            Some(Fault::Chunked(n) | Fault::ChunkedUnfinished(n) | Fault::ChunkedOpen(n)) => {
                for piece in self.body.chunks(n) {
                    let size = format!("{:x}\r\n", piece.len());
                    stream.write_all(size.as_bytes()).await?;
                    stream.write_all(piece).await?;
                    stream.write_all(b"\r\n").await?;
                }
                match self.fault {
                    Some(Fault::ChunkedUnfinished(_)) => return Ok(After::Close),
                    Some(Fault::ChunkedOpen(_)) => return Ok(forever().await),
                    _ => {}
                }
                stream.write_all(b"0\r\n\r\n").await?;
                Ok(After::KeepAlive)
            }
            Some(Fault::ContentLength(_) | Fault::NoLength) => {
                stream.write_all(&self.body).await?;
                Ok(After::Close)
            }
            _ => {
                stream.write_all(&self.body).await?;
                Ok(After::KeepAlive)
            }
        }
    }
}

/// Ends only when the server is dropped and its tasks with it.
async fn forever() -> After {
    match std::future::pending::<Infallible>().await {}
}
