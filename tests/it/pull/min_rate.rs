//! Timeout and minimum rate of a source, in simulated time.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use rpull::content::{BlobRequest, BlobStream, Endpoint, Source};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::retry::RetryPolicy;
use rpull::transfer::read_small;
use tokio::time::Instant;

use crate::support::unknown::knows_nothing;

/// Gives `each` bytes per opening of a blob, one per `wait`, and then ends the body or stalls forever.
#[derive(Default)]
struct Lazy {
    endpoint: Endpoint,
    each: usize,
    wait: Duration,
    ends: bool,
}

knows_nothing!(Lazy);

impl Source for Lazy {
    fn resolve<'a>(&'a self, _: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(Err(Error::new(ErrorKind::NotFound, "nothing"))))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let wait = self.wait;
        let bytes = stream::iter(0..self.each).then(move |_| async move {
            tokio::time::sleep(wait).await;
            Ok(Bytes::from_static(b"x"))
        });
        let stream = if self.ends { bytes.boxed() } else { bytes.chain(stream::pending()).boxed() };
        Box::pin(async move { Ok(BlobStream::new(request.range.start, stream)) })
    }
}

/// Reads a config of 100 kB; returns the error and the time taken.
async fn read(source: Lazy, attempts: u32) -> (Error, Duration) {
    let descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, &vec![b'x'; 100_000]);
    let retry = RetryPolicy::default().attempts(attempts);
    let began = Instant::now();
    let error = read_small(&source, &descriptor, 1 << 20, retry).await.unwrap_err();
    (error, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn timeout_silent_config_fails() {
    let silent = Lazy { each: 0, wait: Duration::ZERO, ends: false, ..Lazy::default() };
    let (error, took) = read(silent, 1).await;
    assert!(error.to_string().contains("no data received for 30 s"), "{error}");
    assert_eq!(took.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn min_rate_one_byte_per_connection_fails() {
    let drip = || Lazy { each: 1, wait: Duration::from_millis(500), ends: true, ..Lazy::default() };
    let (error, took) = read(drip(), 2).await;
    assert!(error.to_string().contains("too slow"), "{error}");
    assert!(took > Duration::from_secs(100) && took < Duration::from_secs(300), "{took:?}");
    // As fast as the source breaks off: what takes time is the delay before the next request.
    let (error, took) = read(Lazy { wait: Duration::ZERO, ..drip() }, 2).await;
    assert!(error.to_string().contains("too slow"), "{error}");
    assert!(took > Duration::from_secs(100) && took < Duration::from_secs(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn min_rate_slow_body_fails() {
    let drip =
        Lazy { each: 1_000_000, wait: Duration::from_secs(1), ends: true, ..Lazy::default() };
    let (error, took) = read(drip, 1).await;
    assert!(error.to_string().contains("too slow"), "{error}");
    assert_eq!(took.as_secs(), 60);
}
