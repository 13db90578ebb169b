//! What `--watch` tells monitoring: sums over all runs, and whether the last one was a success.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::report::Outcome;

/// Longest time of a connection: who asks every minute may connect every minute.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time until a connection has sent the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of connections: the mirror itself needs the process's other descriptors.
const MAX_CONNECTIONS: usize = 16;

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Sums over all runs, and the last one.
#[derive(Default)]
pub(super) struct Metrics(Mutex<Totals>);

#[derive(Default)]
struct Totals {
    succeeded: u64,
    failed: u64,
    transferred: u64,
    requests: u64,
    copied: u64,
    deleted: u64,
    deltas: u64,
    last: Option<LastRun>,
    last_success: Option<u64>,
}

struct LastRun {
    ended: u64,
    took: Duration,
    /// `None` if it ended before images were known.
    outcome: Option<Outcome>,
}

impl Metrics {
    /// Adds a run that has ended; one without outcome has failed.
    pub(super) fn add(&self, outcome: Option<Outcome>, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Some(outcome) if outcome.failed == 0 => {
                totals.succeeded += 1;
                totals.last_success = Some(now);
            }
            _ => totals.failed += 1,
        }
        if let Some(outcome) = &outcome {
            totals.transferred += outcome.transferred;
            totals.requests += outcome.requests;
            totals.copied += outcome.copied;
            totals.deleted += outcome.deleted;
            totals.deltas += outcome.deltas;
        }
        totals.last = Some(LastRun { ended: now, took, outcome });
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, kind, text) = match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, TYPE, totals.metrics()),
            (&Method::GET | &Method::HEAD, "/healthz") if totals.is_healthy() => {
                (StatusCode::OK, "text/plain", "ok\n".to_owned())
            }
            (&Method::GET | &Method::HEAD, "/healthz") => {
                let text = "the last run has failed\n".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", text)
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "/metrics or /healthz\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

impl Totals {
    /// Whether the last run was a success, or none has ended yet.
    fn is_healthy(&self) -> bool {
        let is_success = |last: &LastRun| last.outcome.is_some_and(|outcome| outcome.failed == 0);
        self.last.as_ref().is_none_or(is_success)
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, String)]| {
            _ = writeln!(
                text,
                "# TYPE rpull_mirror_{name} {kind}\n# HELP rpull_mirror_{name} {help}"
            );
            for (suffix, value) in samples {
                _ = writeln!(text, "rpull_mirror_{name}{suffix} {value}");
            }
        };
        let counter = |value: u64| [("_total", value.to_string())];
        let runs = [
            ("_total{result=\"success\"}", self.succeeded.to_string()),
            ("_total{result=\"failure\"}", self.failed.to_string()),
        ];
        family("runs", "counter", "Runs that have ended.", &runs);
        family("copied_images", "counter", "Images that were copied.", &counter(self.copied));
        family("deleted_tags", "counter", "Tags that were deleted.", &counter(self.deleted));
        family("deltas", "counter", "Deltas that were pushed.", &counter(self.deltas));
        let bytes = counter(self.transferred);
        family("transferred_bytes", "counter", "Bytes of blobs that were transferred.", &bytes);
        family("requests", "counter", "HTTP requests that were sent.", &counter(self.requests));
        if let Some(time) = self.last_success {
            let value = [("", time.to_string())];
            family("last_success_timestamp_seconds", "gauge", "End of the last success.", &value);
        }
        if let Some(last) = &self.last {
            let ended = [("", last.ended.to_string())];
            family("last_run_timestamp_seconds", "gauge", "End of the last run.", &ended);
            let took = [("", format!("{:.3}", last.took.as_secs_f64()))];
            family("last_run_duration_seconds", "gauge", "Duration of the last run.", &took);
            let outcome = last.outcome.unwrap_or_default();
            let images = [
                ("{state=\"copied\"}", outcome.copied.to_string()),
                ("{state=\"unchanged\"}", outcome.unchanged.to_string()),
                ("{state=\"failed\"}", outcome.failed.to_string()),
            ];
            family("images", "gauge", "Images of the last run.", &images);
        }
        text.push_str("# EOF\n");
        text
    }
}

/// Answers requests until it is dropped.
pub(super) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // It is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let _slot = slot;
            let answer = service_fn(|request: Request<Incoming>| {
                let response = metrics.answer(request.method(), request.uri().path());
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
                tracing::debug!("metrics: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    fn status(metrics: &Metrics, path: &str) -> u16 {
        metrics.answer(&Method::GET, path).status().as_u16()
    }

    #[test]
    fn metrics_sum_runs_and_show_the_last() {
        let metrics = Metrics::default();
        assert_eq!(status(&metrics, "/healthz"), 200, "none has ended");
        let outcome = Outcome {
            copied: 3,
            unchanged: 1,
            transferred: 500,
            requests: 9,
            ..Outcome::default()
        };
        metrics.add(Some(outcome), Duration::from_millis(1500));
        assert_eq!(status(&metrics, "/healthz"), 200);
        metrics.add(Some(Outcome { copied: 1, failed: 2, ..outcome }), Duration::from_secs(2));
        assert_eq!((status(&metrics, "/healthz"), status(&metrics, "/")), (503, 404));
        let text = metrics.0.lock().unwrap().metrics();
        for line in [
            "# TYPE rpull_mirror_runs counter",
            "rpull_mirror_runs_total{result=\"success\"} 1",
            "rpull_mirror_runs_total{result=\"failure\"} 1",
            "rpull_mirror_copied_images_total 4",
            "rpull_mirror_transferred_bytes_total 1000",
            "rpull_mirror_images{state=\"failed\"} 2",
            "rpull_mirror_last_run_duration_seconds 2.000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        metrics.add(None, Duration::ZERO);
        assert_eq!(status(&metrics, "/healthz"), 503);
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_answer_after_silent_connections_timed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::new(Metrics::default())));
        let mut silent = Vec::new();
        for _ in 0..=MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut asking = TcpStream::connect(address).await.unwrap();
        asking.write_all(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // It was accepted in the place of one that asked nothing.
        assert_eq!(silent[0].try_read(&mut [0]).unwrap(), 0);
        serving.abort();
    }
}
