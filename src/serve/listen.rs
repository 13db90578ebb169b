//! Takes connections, with or without TLS, and ends them.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::idle::Idle;
use super::{Registry, Server};
use crate::error::{Error, ErrorKind, Result};

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 512;

/// Silence after which a connection ends.
const IDLE: Duration = Duration::from_secs(120);

/// How long the head of a request, or a TLS handshake, may take.
const GREETING: Duration = Duration::from_secs(30);

/// How long requests under way may still take when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The most that is read of a request's body before it is handed over, in bytes.
const BUFFER: usize = 256 << 10;

impl Server {
    /// Answers until it is cancelled; then requests under way are given a few seconds, and cut.
    pub async fn run(self, listener: TcpListener, cancel: CancellationToken) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
        loop {
            let next = async {
                // Never closed.
                let permit = Arc::clone(&connections).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            let Some((permit, accepted)) = cancel.run_until_cancelled(next).await else { break };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No more files, most likely: others must end first.
                    tracing::warn!("a connection could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (registry, tls) = (Arc::clone(&self.registry), self.tls.clone());
            let (cancel, cut) = (cancel.clone(), cut.clone());
            tracker.spawn(async move {
                cut.run_until_cancelled(converse(registry, tls, stream, cancel)).await;
                drop(permit);
            });
        }
        // Whoever comes now is told at once that nobody is here.
        drop(listener);
        tracker.close();
        if tokio::time::timeout(FAREWELL, tracker.wait()).await.is_err() {
            tracing::info!("{} connections are cut", tracker.len());
            cut.cancel();
            tracker.wait().await;
        }
    }
}

async fn converse(
    registry: Arc<Registry>,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
    cancel: CancellationToken,
) {
    drop(stream.set_nodelay(true));
    let stream = Idle::new(stream, IDLE);
    match tls {
        None => answer_all(registry, stream, cancel).await,
        Some(tls) => match tokio::time::timeout(GREETING, tls.accept(stream)).await {
            Ok(Ok(stream)) => answer_all(registry, stream, cancel).await,
            Ok(Err(error)) => tracing::debug!("TLS: {error}"),
            Err(_) => tracing::debug!("TLS: no handshake"),
        },
    }
}

async fn answer_all(
    registry: Arc<Registry>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    cancel: CancellationToken,
) {
    let service = service_fn(move |request| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(registry.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(GREETING)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// TLS with this certificate.
pub(super) fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor> {
    let refuse = |path: &Path| {
        let failed = Error::new(ErrorKind::Reference, "certificate");
        failed.at(path.display().to_string())
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| refuse(chain).caused_by(error))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| refuse(key).caused_by(error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|error| refuse(chain).caused_by(error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
