//! Bodies that end, stall, lie or drip: every blob arrives whole, by asking for no more than is missing.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rpull::content::Target;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;
use rpull::transfer::{
    ImageRequest, ImageResult, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};

use crate::support::assertions::{assert_digests_are_right, assert_nothing_visible};
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::registry::Registry;

/// A registry with one image, a store, and little patience.
struct Setting {
    registry: Registry,
    held: Image,
    folder: tempfile::TempDir,
    idle: Duration,
    attempts: Option<u32>,
}

impl Setting {
    async fn new(size: usize) -> Self {
        let registry = Registry::start().await;
        let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(size, 1))])]);
        held.publish(&registry, "app", Some("1"));
        let folder = tempfile::tempdir().unwrap();
        Self { registry, held, folder, idle: Duration::from_secs(5), attempts: None }
    }

    /// Changes answers to requests for the layer.
    fn twist(&self, which: Range<usize>, change: impl Fn(Reply) -> Reply + Send + 'static) {
        self.registry.twist(self.held.layers[0].digest().as_str(), which, change);
    }

    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    async fn pull(&self) -> ImageResult {
        let (attempts, first_delay) = (self.attempts, Duration::ZERO);
        let retry = RetryPolicy { attempts, base_delay: first_delay, ..RetryPolicy::default() };
        let timeouts = Timeouts { headers: self.idle, idle: self.idle, ..Timeouts::default() };
        let client = Client::new(RegistryOptions { retry, timeouts, ..RegistryOptions::default() });
        let reference: Reference = (self.registry.repository("app") + ":1").parse().unwrap();
        let wanted = ImageRequest {
            source: Arc::new(client.repository(&reference).unwrap()),
            name: reference.name(),
            reference: reference.to_string(),
            target_name: ImageName::Layout(reference.store_name()),
            platforms: PlatformSelection::Single(PlatformRequest::implicit(Platform::host())),
        };
        let layout = Layout::create(&self.store(), LayoutOptions::default()).unwrap();
        let target: Arc<dyn Target> = Arc::new(layout);
        let options = TransferOptions { retry, idle: self.idle, ..TransferOptions::default() };
        transfer(&[wanted], &target, options).await.remove(0)
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

#[tokio::test]
async fn a_body_that_ends_at_any_byte_is_continued_there() {
    let whole = Setting::new(40).await.size();
    for at in (0..whole).step_by(7) {
        for fault in [Fault::Cut, Fault::Reset, Fault::ChunkedUnfinished] {
            let setting = Setting::new(40).await;
            let at = usize::try_from(at).unwrap();
            let fault = fault(at.max(1));
            let unfinished = matches!(fault, Fault::ChunkedUnfinished(_));
            setting.twist(0..1, move |reply| reply.fault(fault.clone()));
            let finished = setting.pull().await;
            setting.assert_arrived(&finished);
            // All chunks but the last came: there is nothing left to ask for.
            assert_eq!(setting.ranges().len(), if unfinished { 1 } else { 2 });
            assert_eq!(finished.report.bytes.resent, 0);
        }
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_by_the_manifest() {
    let setting = Setting::new(5000).await;
    setting.twist(0..1, |mut reply| {
        reply.body = reply.body.slice(..1000);
        reply.fault(Fault::NoLength)
    });
    setting.assert_arrived(&setting.pull().await);
    let end = setting.size() - 1;
    assert_eq!(setting.ranges(), [None, Some(format!("bytes=1000-{end}"))]);
}

#[tokio::test]
async fn a_body_that_stalls_is_asked_for_again() {
    let mut setting = Setting::new(5000).await;
    setting.idle = Duration::from_millis(150);
    setting.twist(0..2, |reply| reply.fault(Fault::Stall(500)));
    setting.assert_arrived(&setting.pull().await);
    assert_eq!(setting.ranges().len(), 3);
    // A server that takes the request and says nothing.
    let mut setting = Setting::new(5000).await;
    setting.idle = Duration::from_millis(150);
    setting.twist(0..1, |reply| reply.fault(Fault::Silence));
    setting.assert_arrived(&setting.pull().await);
}

#[tokio::test]
async fn a_body_that_keeps_breaking_without_a_new_byte_is_given_up() {
    let setting = Setting::new(5000).await;
    setting.twist(0..1, |reply| reply.fault(Fault::Cut(700)));
    setting.twist(1..100, |reply| reply.fault(Fault::Cut(0)));
    let finished = setting.pull().await;
    let error = finished.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert!(error.to_string().contains("at byte 700 of"), "{error}");
    assert!(error.to_string().contains("tried 5"), "{error}");
    assert_eq!(setting.ranges().len(), 5);
    assert_nothing_visible(&setting.store());
    // As long as something new comes each time, there is no limit.
    let setting = Setting::new(5000).await;
    setting.twist(0..20, |reply| reply.fault(Fault::Cut(200)));
    let finished = setting.pull().await;
    setting.assert_arrived(&finished);
    assert_eq!(setting.ranges().len(), 21);
}

#[tokio::test]
async fn a_range_that_is_ignored_costs_the_prefix_and_nothing_else() {
    let setting = Setting::new(5000).await;
    let whole = setting.held.layers[0].bytes.clone();
    setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
    setting.twist(1..2, move |_| Reply::new(200, whole.clone()));
    let finished = setting.pull().await;
    setting.assert_arrived(&finished);
    assert_eq!(finished.report.bytes.resent, 1000);
    assert_eq!(setting.ranges().len(), 2);
}

#[tokio::test]
async fn a_part_that_is_not_the_one_asked_for_is_never_appended() {
    let size = Setting::new(5000).await.size();
    let odd = |header: String| {
        move |mut reply: Reply| {
            reply = reply.without("content-range");
            if header.is_empty() { reply } else { reply.header("Content-Range", header.clone()) }
        }
    };
    for header in [
        format!("bytes 999-{}/{size}", size - 1),
        format!("bytes 1000-{}/{}", size - 1, size + 1),
        format!("bytes 1000-{size}/*"),
        "bytes */5000".to_owned(),
        "items 1000-2000/5000".to_owned(),
        String::new(),
    ] {
        let setting = Setting::new(5000).await;
        setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
        setting.twist(1..2, odd(header.clone()));
        let finished = setting.pull().await;
        setting.assert_arrived(&finished);
        assert_eq!(setting.ranges()[2], None, "{header}: without a range the third time");
        assert_eq!(finished.report.bytes.resent, 1000, "{header}");
    }
    for status in [416, 400, 501] {
        let setting = Setting::new(5000).await;
        setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
        setting.twist(1..2, move |_| Reply::new(status, ""));
        setting.assert_arrived(&setting.pull().await);
        assert_eq!(setting.ranges().len(), 3, "{status}");
    }
    let setting = Setting::new(5000).await;
    setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
    setting.twist(1..2, |reply| {
        reply.without("content-type").header("Content-Type", "multipart/byteranges; boundary=x")
    });
    setting.assert_arrived(&setting.pull().await);
}

#[tokio::test]
async fn a_part_that_is_shorter_than_asked_for_is_followed_by_another() {
    let setting = Setting::new(5000).await;
    setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
    let size = setting.size();
    setting.twist(1..2, move |mut reply| {
        reply.body = reply.body.slice(..500);
        let range = format!("bytes 1000-1499/{size}");
        reply.without("content-range").header("Content-Range", range)
    });
    let finished = setting.pull().await;
    setting.assert_arrived(&finished);
    assert_eq!(setting.ranges()[2], Some(format!("bytes=1500-{}", size - 1)));
    assert_eq!(finished.report.bytes.resent, 0);
}

#[tokio::test]
async fn bytes_that_change_between_two_answers_are_fetched_anew_once() {
    let changed = |mut reply: Reply| {
        let mut bytes = reply.body.to_vec();
        bytes[0] ^= 1;
        reply.body = bytes.into();
        reply
    };
    let setting = Setting::new(5000).await;
    setting.twist(0..1, |reply| reply.fault(Fault::Cut(1000)));
    setting.twist(1..2, changed);
    let finished = setting.pull().await;
    setting.assert_arrived(&finished);
    assert_eq!(finished.report.bytes.resent, setting.size());
    assert_eq!(setting.ranges().len(), 3);

    let setting = Setting::new(5000).await;
    setting.twist(0..100, changed);
    let finished = setting.pull().await;
    assert_eq!(finished.error.unwrap().kind(), ErrorKind::Mismatch);
    assert_eq!(setting.ranges().len(), 1, "the same answer would come again");
    assert_nothing_visible(&setting.store());
    let left = std::fs::read_dir(setting.store().join("ingest")).unwrap().count();
    assert_eq!(left, 0, "of wrong bytes nothing is kept");
}

#[tokio::test]
async fn a_length_that_cannot_be_is_refused_before_the_body() {
    let size = Setting::new(5000).await.size();
    for (values, requests) in [
        (vec![(size + 1).to_string()], 1),
        (vec![(size - 1).to_string()], 1),
        (vec![(1_u64 << 30).to_string()], 1),
    ] {
        let setting = Setting::new(5000).await;
        setting.twist(0..9, move |reply| reply.fault(Fault::ContentLength(values.clone())));
        let error = setting.pull().await.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("announces"), "{error}");
        assert_eq!(setting.ranges().len(), requests);
        assert_nothing_visible(&setting.store());
    }
    for values in [vec!["-1"], vec!["abc"], vec!["7", "9"]] {
        let setting = Setting::new(5000).await;
        let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
        setting.twist(0..9, move |reply| reply.fault(Fault::ContentLength(values.clone())));
        let error = setting.pull().await.error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        assert_nothing_visible(&setting.store());
    }
}

#[tokio::test]
async fn a_body_that_is_longer_than_its_manifest_says_is_left_at_the_next_piece() {
    let setting = Setting::new(5000).await;
    let endless = vec![0; 8 << 20];
    setting.twist(0..9, move |mut reply| {
        reply.body = endless.clone().into();
        reply.fault(Fault::Chunked(16 << 10))
    });
    let finished = setting.pull().await;
    assert!(finished.error.unwrap().to_string().contains("longer than"));
    assert!(finished.report.bytes.resent < 2 << 20, "{:?}", finished.report.bytes);
    assert_nothing_visible(&setting.store());
}

#[tokio::test]
async fn pull_from_a_registry_that_is_away_for_a_while_goes_on() {
    for reply in [Reply::new(503, "restarting"), Reply::new(200, "").fault(Fault::HangUp)] {
        let setting = Setting::new(500).await;
        setting.twist(0..20, move |_| reply.clone());
        setting.assert_arrived(&setting.pull().await);
        assert_eq!(setting.ranges().len(), 21);
    }
    // One that has never answered has five tries.
    let setting = Setting::new(500).await;
    setting.registry.twist("/v2/", 0..99, |_| Reply::new(503, "starting"));
    assert!(setting.pull().await.error.unwrap().to_string().contains("tried 5 times"));
    assert_eq!(setting.registry.server.requests().len(), 5);
}

#[tokio::test]
async fn bursts_of_errors_shorter_than_the_patience_are_no_failure() {
    for status in [500, 502, 503, 504, 429, 408, 499, 522] {
        let setting = Setting::new(500).await;
        setting.registry.twist("/manifests/", 0..4, move |_| Reply::new(status, "busy"));
        setting.twist(0..4, move |_| Reply::new(status, "busy"));
        setting.assert_arrived(&setting.pull().await);
        assert_eq!(setting.ranges().len(), 5, "{status}");
    }
    let mut setting = Setting::new(500).await;
    setting.attempts = Some(5);
    setting.twist(0..99, |_| Reply::error(503, "UNAVAILABLE", "come back later"));
    let error = setting.pull().await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Registry);
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("later (tried 5 times)"), "{text}");
    assert_eq!(setting.ranges().len(), 5);
    for status in [400, 404, 501] {
        let setting = Setting::new(500).await;
        setting.twist(0..99, move |_| Reply::new(status, ""));
        assert!(setting.pull().await.error.is_some());
        assert_eq!(setting.ranges().len(), 1, "{status} will not pass");
    }
}

#[tokio::test]
async fn blobs_of_any_size_arrive() {
    let piece = 256 << 10;
    for size in [0, 1, piece - 1, piece, piece + 1, 2 * piece] {
        let registry = Registry::start().await;
        let config = random_blob(size, 3);
        let held = crate::support::images::raw(Family::Oci, config);
        held.publish(&registry, "app", Some("1"));
        let folder = tempfile::tempdir().unwrap();
        let name = registry.repository("app") + ":1";
        let report = rpull::pull(&name, folder.path(), RegistryOptions::default()).await.unwrap();
        assert_eq!(report.bytes.transferred, held.size());
        assert_digests_are_right(folder.path());
        let requests = if size == 0 { 1 } else { 2 };
        assert_eq!(registry.server.requests().len(), requests, "of nothing nothing is asked");
    }
}
