//! Requests to the daemon: HTTP/1.1 over a unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::error::{Error, ErrorKind, Result};

/// Where the daemon listens unless `DOCKER_HOST` says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Longest wait for an answer about an image. The stream of an image may begin later: the daemon first writes it to its own
/// disk.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum size of an answer about an image.
const MAX_JSON_BYTES: usize = 8 << 20;

/// The socket of a daemon.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Socket {
    /// The socket that `DOCKER_HOST` names, else the usual one.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for other kinds of hosts.
    pub(super) fn from_env() -> Result<Self> {
        match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => Self::parse(&host),
            _ => Ok(Self(DEFAULT_SOCKET.into())),
        }
    }

    fn parse(host: &str) -> Result<Self> {
        match host.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(Self(path.into())),
            _ => Err(Error::new(ErrorKind::Unsupported, "DOCKER_HOST")
                .with_reason(format!("unsupported host `{host}`, expected unix:///PATH"))),
        }
    }

    /// Asks a question about the image `what`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such image.
    pub(super) async fn json<T: DeserializeOwned>(&self, target: &str, what: &str) -> Result<T> {
        let asking = async {
            let body = Limited::new(self.get(target, what).await?, MAX_JSON_BYTES).collect().await;
            Ok(body
                .map_err(|error| self.failed(what, ErrorKind::Registry).with_source(error))?
                .to_bytes())
        };
        let answer = tokio::time::timeout(TIMEOUT, asking).await.unwrap_or_else(|_| {
            let reason = format!("no answer for {} s", TIMEOUT.as_secs());
            Err(self.failed(what, ErrorKind::Transport).with_reason(reason))
        });
        serde_json::from_slice(&answer?).map_err(|error| {
            self.failed(what, ErrorKind::Registry)
                .with_reason("unexpected response")
                .with_source(error)
        })
    }

    /// Sends a request, and returns the body of a success.
    pub(super) async fn get(&self, target: &str, what: &str) -> Result<Incoming> {
        let uri: Uri = target.parse().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("image `{what}`"))
                .with_reason("invalid name")
                .with_source(error)
        })?;
        let stream = UnixStream::connect(&self.0).await.map_err(|error| self.unreachable(error))?;
        let broken = |error| self.failed(what, ErrorKind::Transport).with_source(error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the body, or when that is dropped.
        tokio::spawn(connection);
        let request = Request::get(uri)
            .header(header::HOST, "docker")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.failed(what, ErrorKind::InvalidInput).with_source(error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response.into_body());
        }
        let body = Limited::new(response.into_body(), MAX_JSON_BYTES).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
        let reason = refusal.map_or_else(|| status.to_string(), |refusal| refusal.message);
        let kind = match status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            _ => ErrorKind::Registry,
        };
        Err(self.failed(what, kind).with_reason(reason).with_status(status.as_u16()))
    }

    /// The error of a request about the image `what`.
    pub(super) fn failed(&self, what: &str, kind: ErrorKind) -> Error {
        Error::new(kind, what).at(format!("docker daemon at {}", self.0.display()))
    }

    fn unreachable(&self, error: io::Error) -> Error {
        let what = "connect to the docker daemon";
        let (kind, hint) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                (ErrorKind::Denied, "run it as root, or as a user of the group `docker`")
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => (
                ErrorKind::Transport,
                "start the daemon, set `DOCKER_HOST`, or read its files with `docker-root:/var/lib/docker`",
            ),
            _ => {
                return Error::new(ErrorKind::Transport, what)
                    .at(self.0.display().to_string())
                    .with_source(error);
            }
        };
        Error::new(kind, what).at(self.0.display().to_string()).with_source(error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_other_than_unix_is_unsupported() {
        assert_eq!(Socket::parse("unix:///run/x.sock").unwrap().0, PathBuf::from("/run/x.sock"));
        for host in ["tcp://127.0.0.1:2375", "ssh://host", "unix://x", "/run/x.sock"] {
            assert_eq!(Socket::parse(host).unwrap_err().kind(), ErrorKind::Unsupported, "{host}");
        }
    }
}
