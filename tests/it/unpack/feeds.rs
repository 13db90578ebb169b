//! Layers unpacked while the engine transfers them: every end of a transfer job ends the reader of its bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use rpull::config::{CONFIG_LIMIT, ImageConfig};
use rpull::content::{BlobRequest, BlobStream, Endpoint, Source, Target};
use rpull::control::Control;
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::layout::{Layout, LayoutOptions};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::retry::RetryPolicy;
use rpull::transfer::{
    Feeds, ImageRequest, PlatformRequest, PlatformSelection, ReceivedBlob, TransferOptions,
    read_small, transfer,
};
use rpull::unpack::{BuildOptions, LayerBlob, LayerOpener, RootBuilder, Unpacked};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::support::memory::{WithImage as _, look_through};
use crate::support::tree::names;
use crate::support::wait::wait_until;
use crate::unpack::faults::sample;

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Well,
    /// Wrong bytes.
    Wrong,
    /// Half of the bytes, then a stall.
    Stalls,
    /// Half of the bytes, then a cancellation.
    Cancelled,
    Panics,
}

/// A source with a fault in one blob.
struct Odd {
    endpoint: Endpoint,
    inner: Memory,
    digest: Digest,
    how: How,
    cancel: CancellationToken,
}

look_through!(Odd);

impl Source for Odd {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        self.inner.resolve(name)
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(async move {
            let (descriptor, from) = (request.descriptor, request.range.start);
            let mut body = self.inner.open_blob(request).await?;
            if descriptor.digest != self.digest {
                return Ok(body);
            }
            let half = usize::try_from((descriptor.size - from) / 2).unwrap();
            let bytes: Vec<u8> = body.stream.map(Result::unwrap).collect::<Vec<_>>().await.concat();
            let (start, cancel) = (bytes[..half].to_vec(), self.cancel.clone());
            let start = stream::iter([Ok(start.into())]);
            body.stream = match self.how {
                How::Well => Box::pin(stream::iter([Ok(bytes.into())])),
                How::Wrong => Box::pin(stream::iter([Ok(vec![0; bytes.len()].into())])),
                How::Stalls => Box::pin(start.chain(stream::pending())),
                How::Cancelled => Box::pin(start.chain(stream::once(async move {
                    cancel.cancel();
                    std::future::pending().await
                }))),
                How::Panics => Box::pin(start.chain(stream::once(async { panic!("on purpose") }))),
            };
            Ok(body)
        })
    }
}

fn stopped_by(cancel: &CancellationToken) -> Control {
    Control::default().cancel(cancel.clone())
}

fn options(cancel: &CancellationToken) -> TransferOptions {
    let retry = RetryPolicy::default().attempts(2).base_delay(Duration::ZERO);
    let idle = Duration::from_millis(200);
    TransferOptions::default().retry(retry).idle(idle).control(stopped_by(cancel)).listed_order()
}

async fn fill(
    root: &Path,
    manifest: &Document,
    config: &[u8],
    control: Control,
    settled: impl FnOnce() -> Result<()> + Send + 'static,
    open: impl Fn(&Descriptor) -> LayerOpener<'static>,
) -> Result<Unpacked> {
    let config = ImageConfig::parse(config).unwrap();
    let layers = LayerBlob::from_image("x", manifest.manifest().unwrap(), &config, open).unwrap();
    let root = root.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let filled = RootBuilder::begin(&root).unwrap().apply(
            layers,
            BuildOptions::default(),
            &control,
            settled,
        );
        filled.map(|(unpacked, _)| unpacked)
    });
    work.await.unwrap()
}

/// Pulls and unpacks; returns both results.
async fn through_a_store(dir: &Path, source: Arc<Odd>) -> (Option<Error>, Result<Unpacked>) {
    let cancel = source.cancel.clone();
    let layout = Layout::create(&dir.join("store"), LayoutOptions::default()).unwrap();
    let target: Arc<dyn Target> = Arc::new(layout.clone());
    let (feeder, feeds) = Feeds::connect();
    let options = options(&cancel).feeder(feeder);
    let wanted = ImageRequest::new(source, ImageName::Tag("1".into()))
        .reference("r.example/app:1")
        .target_name(ImageName::Layout("r.example/app:1".into()))
        .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())));
    let pull = tokio::spawn(async move { transfer(&[wanted], &target, options).await });
    let image = feeds.resolved_image().await.unwrap();
    let config = &image.manifest.manifest().unwrap().config;
    if let Err(error) = feeds.verified(config).await {
        // The run was cancelled before the config arrived.
        return (pull.await.unwrap().remove(0).error, Err(error));
    }
    let config = read_small(&layout, config, CONFIG_LIMIT, RetryPolicy::default()).await.unwrap();
    let run = feeds.clone();
    let open = |layer: &Descriptor| -> LayerOpener<'static> {
        let (layout, feeds, layer) = (layout.clone(), feeds.clone(), layer.clone());
        Box::new(move |stop| {
            let digest = layer.digest.clone();
            let open = Box::new(move || layout.blob_file(&digest));
            Ok(Box::new(feeds.read(layer, open, stop.clone())))
        })
    };
    let settled = move || run.wait_for_run();
    let filled =
        fill(&dir.join("root"), &image.manifest, &config, stopped_by(&cancel), settled, open).await;
    (pull.await.unwrap().remove(0).error, filled)
}

async fn past_the_store(dir: &Path, source: Arc<Odd>) -> Result<Unpacked> {
    let cancel = source.cancel.clone();
    let manifest = source.resolve(&ImageName::Tag("1".into())).await.unwrap();
    let config = &manifest.manifest().unwrap().config;
    let config = read_small(&*source, config, CONFIG_LIMIT, RetryPolicy::default()).await.unwrap();
    let runtime = Handle::current();
    let open = |layer: &Descriptor| -> LayerOpener<'static> {
        let (source, layer, runtime) = (Arc::clone(&source), layer.clone(), runtime.clone());
        Box::new(move |stop| {
            Ok(Box::new(ReceivedBlob::begin(source, layer, options(stop), &runtime)))
        })
    };
    fill(&dir.join("root"), &manifest, &config, stopped_by(&cancel), || Ok(()), open).await
}

const ENDINGS: [(How, Option<ErrorKind>); 5] = [
    (How::Well, None),
    (How::Wrong, Some(ErrorKind::Mismatch)),
    (How::Stalls, Some(ErrorKind::Transport)),
    (How::Cancelled, Some(ErrorKind::Interrupted)),
    (How::Panics, Some(ErrorKind::Interrupted)),
];

fn cases() -> impl Iterator<Item = (How, Option<ErrorKind>, usize, Odd)> {
    let held = sample();
    let inner = Memory::default().with(ImageName::Tag("1".into()), &held);
    ENDINGS.into_iter().flat_map(move |(how, kind)| {
        let (inner, held) = (inner.clone(), held.clone());
        (0..3).map(move |layer| {
            let digest = held.layers[layer].digest().clone();
            (
                how,
                kind,
                layer,
                Odd {
                    endpoint: Endpoint::default(),
                    inner: inner.clone(),
                    digest,
                    how,
                    cancel: <_>::default(),
                },
            )
        })
    })
}

#[track_caller]
fn assert_left(dir: &Path, filled: &Result<Unpacked>, point: &str) {
    let left = names(dir).into_iter().filter(|name| !name.starts_with("store"));
    let left: Vec<_> = left.collect();
    if filled.is_ok() {
        assert_eq!(left, ["root/", "root/file1", "root/file2", "root/file3"], "{point}");
    } else {
        assert_eq!(left, Vec::<String>::new(), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fed_layer_ends_with_error_of_job() {
    for (how, kind, layer, source) in cases() {
        let (dir, point) = (tempfile::tempdir().unwrap(), format!("{how:?} {layer}"));
        let work = through_a_store(dir.path(), Arc::new(source));
        let ended = tokio::time::timeout(Duration::from_secs(60), work).await;
        let (pulled, filled) = ended.expect(&point);
        assert_eq!(pulled.as_ref().map(Error::kind), kind, "{point}: {pulled:?}");
        let found = filled.as_ref().err();
        // A malformed layer may fail before all of it has arrived.
        let seen_inside = how == How::Wrong && found.map(Error::kind) == Some(ErrorKind::Unpack);
        assert!(seen_inside || found.map(Error::kind) == kind, "{point}: {found:?}");
        assert_left(dir.path(), &filled, &point);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn received_layer_ends_with_error_of_task() {
    for (how, kind, layer, source) in cases() {
        let (dir, point) = (tempfile::tempdir().unwrap(), format!("{how:?} {layer}"));
        let work = past_the_store(dir.path(), Arc::new(source));
        let filled = tokio::time::timeout(Duration::from_secs(60), work).await.expect(&point);
        let found = filled.as_ref().err();
        let seen_inside = how == How::Wrong && found.map(Error::kind) == Some(ErrorKind::Unpack);
        assert!(seen_inside || found.map(Error::kind) == kind, "{point}: {found:?}");
        assert_left(dir.path(), &filled, &point);
    }
}

/// A program that ends shuts its runtime down while a thread still reads.
#[test]
fn received_layer_ends_when_runtime_shuts_down() {
    let (_, _, _, source) = cases().find(|(how, ..)| *how == How::Stalls).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let blob = runtime.block_on(async {
        let layer = sample().layers[0].descriptor.clone();
        let options = options(&source.cancel).idle(Duration::from_secs(600));
        ReceivedBlob::begin(Arc::new(source), layer, options, &Handle::current())
    });
    let path = dir.path().join("bytes");
    let reading = std::thread::spawn(move || {
        let mut blob = blob;
        std::io::copy(&mut blob, &mut std::fs::File::create(path).unwrap())
    });
    let read = || std::fs::metadata(dir.path().join("bytes")).map_or(0, |found| found.len());
    runtime.block_on(wait_until("nothing is read", async || read() >= 100_000));
    runtime.shutdown_background();
    let error = reading.join().unwrap().unwrap_err().downcast::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
