//! Downloads: resume, retry, timeout, integrity, platforms, plans, concurrency.

mod attempts;
mod basic;
mod concurrency;
mod engine;
mod foreign_layers;
mod gaps;
mod index_blobs;
mod integrity;
mod manifest;
mod many_targets;
mod max_bytes;
mod min_rate;
mod omitted_blobs;
mod pause;
mod pins;
mod platforms;
mod ranges;
mod ranges_killed;
mod ranges_not_worth_it;
mod ranges_of_two_blobs;
mod ranges_over_http;
mod resume;
mod retry;
mod timeout;
mod warm_copy;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rpull::content::Target;
use rpull::layout::{Layout, LayoutOptions};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;
use rpull::transfer::{
    ImageRequest, ImageResult, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};

use crate::support::assertions::assert_digests_are_right;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, Image, image, layer, random_blob};

/// A registry with one image, and a store to pull it to.
struct Scenario {
    registry: FakeRegistry,
    held: Image,
    dir: tempfile::TempDir,
    idle: Duration,
    attempts: Option<u32>,
}

impl Scenario {
    async fn new(size: usize) -> Self {
        let registry = FakeRegistry::start().await;
        let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(size, 1))])]);
        held.publish(&registry, "app", Some("1"));
        let dir = tempfile::tempdir().unwrap();
        Self { registry, held, dir, idle: Duration::from_secs(60), attempts: None }
    }

    /// Changes answers to requests for the layer.
    fn override_response(
        &self,
        which: Range<usize>,
        change: impl Fn(Reply) -> Reply + Send + 'static,
    ) {
        self.registry.override_response(self.held.layers[0].digest().as_str(), which, change);
    }

    fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    async fn pull(&self) -> ImageResult {
        self.pull_all(&["app".to_owned()]).await.remove(0)
    }

    /// Pulls tag 1 of these repositories.
    async fn pull_all(&self, repositories: &[String]) -> Vec<ImageResult> {
        let mut retry = RetryPolicy::default().base_delay(Duration::ZERO);
        retry.attempts = self.attempts;
        let timeouts = Timeouts::default().headers(self.idle).idle(self.idle);
        let client = Client::new(RegistryOptions::default().retry(retry).timeouts(timeouts));
        let request = |repository: &String| {
            let name = self.registry.repository(repository) + ":1";
            let reference: Reference = name.parse().unwrap();
            ImageRequest::new(Arc::new(client.repository(&reference).unwrap()), reference.name())
                .reference(reference.to_string())
                .target_name(ImageName::Layout(reference.store_name()))
                .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())))
        };
        let wanted: Vec<_> = repositories.iter().map(request).collect();
        let layout = Layout::create(&self.store(), LayoutOptions::default()).unwrap();
        let target: Arc<dyn Target> = Arc::new(layout);
        let options = TransferOptions::default().retry(retry).idle(self.idle);
        transfer(&wanted, &target, options).await
    }

    /// The `Range` of each request for the layer so far.
    fn ranges(&self) -> Vec<Option<String>> {
        let digest = self.held.layers[0].digest().as_str();
        let requests = self.registry.server.requests();
        let of_layer = requests.iter().filter(|request| request.path.ends_with(digest));
        of_layer.map(|request| request.header("range").map(str::to_owned)).collect()
    }

    #[track_caller]
    fn assert_arrived(&self, finished: &ImageResult) {
        assert!(finished.error.is_none(), "{:?}", finished.error);
        let bytes = finished.report.bytes;
        assert_eq!(bytes.total, bytes.transferred + bytes.resumed + bytes.shared, "{bytes:?}");
        assert_eq!(bytes.total, self.held.size());
        assert_digests_are_right(&self.store());
    }

    fn size(&self) -> u64 {
        self.held.layers[0].descriptor.size
    }
}
