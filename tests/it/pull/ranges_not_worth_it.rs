//! Blobs that further connections would not bring sooner, in simulated time.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use rpull::content::{BlobRequest, BlobStream, BlobWriter, ByteStream, Endpoint, Presence, Source};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::transfer::{TransferOptions, fetch_blob};
use rpull::verifier::Verified;
use tokio::sync::Mutex;

use super::ranges::chunks;
use crate::support::images::random_blob;
use crate::support::unknown::knows_nothing;

const MIB: usize = 1 << 20;

/// What all that needs it uses in turn: a link, or the only core of a machine.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<()>>);

impl Shared {
    async fn use_for(&self, time: Duration) {
        let turn = Arc::clone(&self.0).lock_owned().await;
        // It passes, even if no task polls it any more.
        let passes = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            drop(turn);
        });
        passes.await.unwrap();
    }
}

/// A blob, each chunk of which needs something shared for this long.
struct Slow {
    endpoint: Endpoint,
    bytes: Bytes,
    shared: Shared,
    time: Duration,
    requests: AtomicUsize,
}

knows_nothing!(Slow);

impl Source for Slow {
    fn resolve<'a>(&'a self, _: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(Err(Error::new(ErrorKind::NotFound, "nothing"))))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let [start, end] =
            [request.range.start, request.range.end].map(|at| usize::try_from(at).unwrap());
        let (shared, time) = (self.shared.clone(), self.time);
        let body = stream::iter(chunks(&self.bytes.slice(start..end))).then(move |chunk| {
            let shared = shared.clone();
            async move {
                shared.use_for(time).await;
                Ok(chunk)
            }
        });
        Box::pin(ready(Ok(BlobStream::new(start as u64, body.boxed()))))
    }
}

/// A target that needs something shared for this long with each chunk.
struct Writer {
    length: u64,
    shared: Shared,
    time: Duration,
}

impl BlobWriter for Writer {
    fn offset(&self) -> u64 {
        self.length
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        Ok(Presence::Unknown)
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.length += bytes.len() as u64;
        Box::pin(async {
            self.shared.use_for(self.time).await;
            Ok(())
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        self.length = 0;
        Box::pin(ready(Ok(())))
    }

    fn commit(self: Box<Self>, _: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(ready(Ok(())))
    }
}

/// Fetches a blob of this many MiB, with these milliseconds for each chunk; returns the number of requests.
async fn requests(size: usize, [source, target]: [(&Shared, u64); 2]) -> usize {
    let ((read, read_time), (written, write_time)) = (source, target);
    let source = Slow {
        endpoint: Endpoint::new("slow"),
        bytes: random_blob(size * MIB, 1).into(),
        shared: read.clone(),
        time: Duration::from_millis(read_time),
        requests: AtomicUsize::new(0),
    };
    let time = Duration::from_millis(write_time);
    let mut writer = Writer { length: 0, shared: written.clone(), time };
    let descriptor = Descriptor::for_bytes(MediaType::OCI_CONFIG, &source.bytes);
    fetch_blob(&source, &descriptor, TransferOptions::default(), &mut writer).await.unwrap();
    source.requests.into_inner()
}

#[tokio::test(start_paused = true)]
async fn ranges_are_not_requested_where_machine_is_busy() {
    // The source, too, is a process on this machine.
    let core = Shared::default();
    assert_eq!(requests(32, [(&core, 10), (&core, 15)]).await, 1);
    assert_eq!(requests(32, [(&core, 4), (&core, 60)]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_are_not_requested_where_target_is_slow() {
    let (source, target) = (Shared::default(), Shared::default());
    assert_eq!(requests(32, [(&source, 5), (&target, 50)]).await, 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_end_after_trial_where_link_is_slow() {
    let (link, target) = (Shared::default(), Shared::default());
    // Twelve seconds.
    let requests = requests(64, [(&link, 50), (&target, 0)]).await;
    assert!((1..=7).contains(&requests), "{requests}");
}
