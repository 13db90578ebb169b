//! Accepts connections, with or without TLS, and closes them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Connection, Connections, TrackedBody};
use super::host::Hosts;
use super::idle::IdleTimeout;
use super::{RegistryService, Server};
use crate::limits::BUFFER_SIZE;

/// Maximum concurrent connections. Beyond it, idle ones are closed.
const MAX_CONNECTIONS: usize = 512;

/// Descriptors reserved for files other than connections.
const RESERVED_FILES: u64 = 32;

/// Time without traffic after which a connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Timeout for the head of a request, and for a TLS handshake.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that running requests may still take when the server stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Interval between searches for expired uploads.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

impl Server {
    /// Serves until it is cancelled. Running requests then have a few seconds to finish.
    pub async fn run(self, listener: TcpListener, cancel: CancellationToken) {
        let address = listener.local_addr().ok().map(|address| address.ip());
        let registry = self.registry;
        if let Some(cache) = &registry.cache {
            // What is too large already.
            cache.added(0);
        }
        let context = ConnectionContext {
            registry: Arc::clone(&registry),
            tls: self.tls,
            hosts: Arc::new(Hosts::for_address(address, self.hosts)),
            cancel: cancel.clone(),
        };
        let connections = Connections::new(max_connections());
        let (tracker, abort) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(sweep(Arc::clone(&context.registry), cancel.clone()));
        for number in 0.. {
            let next = async {
                match listener.accept().await {
                    Ok((stream, _)) => Some((connections.admit(number).await, stream)),
                    Err(error) => {
                        // The usual reason is too many open files, so close one first.
                        tracing::warn!("failed to accept a connection: {error}");
                        connections.close_idle();
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        None
                    }
                }
            };
            let Some(accepted) = cancel.run_until_cancelled(next).await else { break };
            let Some((guard, stream)) = accepted else { continue };
            let (context, abort) = (context.clone(), abort.clone());
            tracker.spawn(async move {
                let connection = Arc::clone(&guard.connection);
                let serving = guard.run(Box::pin(context.serve_connection(stream, connection)));
                abort.run_until_cancelled(serving).await;
            });
        }
        // Refuse new connections at once.
        drop(listener);
        tracker.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, tracker.wait()).await.is_err() {
            tracing::info!("closing {} connections that are still active", tracker.len());
            abort.cancel();
            tracker.wait().await;
        }
        if let Some(cache) = &registry.cache {
            cache.stop();
        }
    }
}

/// Limits connections by the available descriptors: a request opens one or two files besides its connection.
fn max_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let limit =
        files.and_then(|files| usize::try_from(files.saturating_sub(RESERVED_FILES) / 3).ok());
    limit.map_or(MAX_CONNECTIONS, |limit| limit.clamp(8, MAX_CONNECTIONS))
}

/// Deletes expired uploads.
async fn sweep(registry: Arc<RegistryService>, cancel: CancellationToken) {
    while cancel.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL)).await.is_some() {
        let registry = Arc::clone(&registry);
        let result = tokio::task::spawn_blocking(move || registry.count_sessions()).await;
        if let Ok(Err(error)) = result {
            tracing::warn!("{}", error.chain());
        }
    }
}

/// The parameters of all connections.
#[derive(Clone)]
struct ConnectionContext {
    registry: Arc<RegistryService>,
    tls: Option<TlsAcceptor>,
    hosts: Arc<Hosts>,
    cancel: CancellationToken,
}

impl ConnectionContext {
    async fn serve_connection(self, stream: TcpStream, connection: Arc<Connection>) {
        drop(stream.set_nodelay(true));
        let stream = IdleTimeout::new(stream, Arc::clone(&connection), IDLE_TIMEOUT);
        match self.tls.clone() {
            None => self.serve_requests(stream, connection).await,
            Some(tls) => match tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve_requests(stream, connection).await,
                Ok(Err(error)) => tracing::debug!("TLS: {error}"),
                Err(_) => tracing::debug!("TLS handshake timed out"),
            },
        }
    }

    async fn serve_requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        connection: Arc<Connection>,
    ) {
        let service = service_fn(|request| {
            let (registry, hosts) = (Arc::clone(&self.registry), Arc::clone(&self.hosts));
            let active = connection.begin();
            async move {
                let response = registry.respond(request, &hosts).await;
                Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, active)))
            }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_SIZE)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        let result = tokio::select! {
            result = serving.as_mut() => result,
            () = self.cancel.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = result {
            tracing::debug!("a connection ended: {error}");
        }
    }
}
