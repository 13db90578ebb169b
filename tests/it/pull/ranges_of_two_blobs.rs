//! Two blobs that share few connections and hardly any memory for what arrives early, in simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use rpull::content::{BlobRequest, BlobStream, Endpoint, Source, Target};
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::retry::RetryPolicy;
use rpull::transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};
use tokio::sync::Semaphore;

use super::ranges::{chunks, paced};
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::memory::{WithImage as _, look_through};

const MIB: u64 = 1 << 20;

/// A source whose connections are slow, and break at random.
struct Slow {
    endpoint: Endpoint,
    inner: Memory,
    seed: AtomicU64,
    /// As many responses can be read at once.
    gate: Arc<Semaphore>,
}

look_through!(Slow);

impl Source for Slow {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        self.inner.resolve(name)
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        let mut random = fastrand::Rng::with_seed(self.seed.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let pass = Arc::clone(&self.gate).acquire_owned().await.unwrap();
            let start = request.range.start;
            let whole = self.inner.open_blob(request).await?.stream;
            let bytes: Vec<Bytes> = whole.map(Result::unwrap).collect().await;
            let breaks = if random.bool() { random.usize(1..20) } else { usize::MAX };
            let chunks = bytes.iter().flat_map(chunks).take(breaks).collect();
            let paced = paced(chunks, random.u64(MIB..6 * MIB));
            let broken =
                Error::new(ErrorKind::Transport, "blob").with_reason("broken").transient(None);
            let end = (breaks < usize::MAX).then_some(Err(broken));
            let body = paced.chain(stream::iter(end));
            // Held as long as the response is read.
            let body = body.inspect(move |_| _ = &pass);
            Ok(BlobStream::new(start, body.boxed()))
        })
    }
}

/// Pulls an image with these layers from a source whose endpoint is this one, once for each seed.
async fn pull_all_seeds(
    seeds: u64,
    layers: &[u64],
    endpoint: &Endpoint,
    change: impl Fn(u64) -> TransferOptions,
) {
    let layers: Vec<_> =
        layers.iter().map(|seed| layer(&[("data", &random_blob(24 << 20, *seed))])).collect();
    let held = image(Family::Oci, "amd64", &layers);
    for seed in 0..seeds {
        let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
        let passes = endpoint.connections.unwrap_or(Semaphore::MAX_PERMITS);
        let source = Slow {
            endpoint: endpoint.clone(),
            inner: shelf,
            seed: AtomicU64::new(seed * 1000),
            gate: Arc::new(Semaphore::new(passes)),
        };
        let wanted = [ImageRequest::new(Arc::new(source), ImageName::Tag("1".into()))
            .target_name(ImageName::Layout("1".into()))
            .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())))];
        let target: Arc<dyn Target> = Arc::new(Memory::default());
        let retry = RetryPolicy::default().base_delay(Duration::from_millis(10));
        let run = transfer(&wanted, &target, change(seed).retry(retry));
        let finished = tokio::time::timeout(Duration::from_secs(3600), run).await;
        let finished = finished.unwrap_or_else(|_| panic!("seed {seed} waits for ever")).remove(0);
        assert!(finished.error.is_none(), "seed {seed}: {:?}", finished.error);
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_of_two_blobs_do_not_hold_connections_from_each_other() {
    let options = |seed: u64| {
        let connections = 2 + usize::try_from(seed % 4).unwrap();
        TransferOptions::default().connections(connections).window(1 + seed % 3 * MIB)
    };
    pull_all_seeds(40, &[1, 2], &Endpoint::new("slow"), options).await;
}

#[tokio::test(start_paused = true)]
async fn ranges_keep_to_connections_of_endpoint() {
    let options = |seed: u64| TransferOptions::default().window(1 + seed % 3 * MIB);
    for connections in [1, 2] {
        let endpoint = Endpoint::new("slow").connections(connections);
        pull_all_seeds(8, &[1, 2, 3], &endpoint, options).await;
    }
}
