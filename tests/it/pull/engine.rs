//! The engine between source and target in memory: after any fault the bytes are right and add up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use rpull::content::{
    BlobRequest, Effort, EmptyTarget, Endpoint, Lookup as _, OpenBlobOptions, Opened, Role,
    Source as _, Target, TargetPlan, TargetProperties, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{ErrorKind, Result, Side};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::retry::RetryPolicy;
use rpull::transfer::{
    ImageRequest, ImageResult, PlatformRequest, PlatformSelection, Transfer, TransferOptions,
    transfer,
};
use tokio_util::sync::CancellationToken;

use crate::support::faulty_source::{FaultySource, SourceFault};
use crate::support::images::{Family, Image, Layer, image, layer, random_blob};
use crate::support::memory::{WithImage as _, look_through};
use crate::support::writing::begin;

fn options() -> TransferOptions {
    let retry = RetryPolicy::default().base_delay(Duration::ZERO);
    TransferOptions::default().retry(retry).jobs(2)
}

fn wanted(source: Arc<FaultySource>, tag: &str) -> ImageRequest {
    ImageRequest::new(source, ImageName::Tag(tag.into()))
        .reference(format!("r.example/app:{tag}"))
        .target_name(ImageName::Layout(format!("r.example/app:{tag}")))
        .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())))
}

fn layers(count: u64) -> Vec<Layer> {
    let size = |seed| usize::try_from(seed * 900).unwrap();
    (1..=count).map(|seed| layer(&[("data", &random_blob(size(seed), seed))])).collect()
}

/// Returns two images that share all layers but the last.
fn two_images() -> [Image; 2] {
    let all = layers(4);
    [3, 4].map(|count| image(Family::Oci, "amd64", &all[..count]))
}

/// State of a blob at the target before the run.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Whole,
    Partial(u8),
    WrongPartial(u8),
}

async fn prepare(target: &Memory, image: &Image, before: &[Before]) {
    let run = begin(target).await;
    for (chunk, before) in image.blobs().zip(before) {
        let opened = run.open_blob(&chunk.descriptor, &OpenBlobOptions::default()).await.unwrap();
        let Opened::Writer(mut writer) = opened else {
            continue;
        };
        let upto = |percent: u8| chunk.bytes.len() * usize::from(percent) / 100;
        match *before {
            Before::Nothing => {}
            Before::Whole => {
                let proof = rpull::verifier::verify(&chunk.descriptor, &chunk.bytes).unwrap();
                writer.write(chunk.bytes.clone()).await.unwrap();
                writer.commit(proof).await.unwrap();
            }
            Before::Partial(percent) => {
                writer.write(chunk.bytes.slice(..upto(percent))).await.unwrap();
            }
            Before::WrongPartial(percent) => {
                writer.write(Bytes::from(vec![7; upto(percent)])).await.unwrap();
            }
        }
    }
}

async fn assert_complete(target: &Memory, image: &Image) {
    for chunk in image.blobs() {
        let body = target.open_blob(BlobRequest::starting_at(&chunk.descriptor, 0)).await.unwrap();
        let chunks: Vec<Bytes> =
            futures_util::TryStreamExt::try_collect(body.stream).await.unwrap();
        assert_eq!(chunks.concat(), chunk.bytes);
    }
}

pub(super) fn assert_law(finished: &ImageResult) {
    let sum = finished.report.bytes;
    let parts = sum.transferred + sum.resumed + sum.mounted + sum.shared + sum.missing;
    assert_eq!(sum.total, parts, "{sum:?}");
}

fn fault() -> impl Strategy<Value = SourceFault> {
    prop_oneof![
        (0_u64..4000).prop_map(SourceFault::Ends),
        (0_u64..4000).prop_map(SourceFault::Breaks),
        Just(SourceFault::Busy),
        Just(SourceFault::FromZero),
        Just(SourceFault::None),
    ]
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        Just(Before::Nothing),
        Just(Before::Whole),
        (0_u8..=100).prop_map(Before::Partial),
        (1_u8..=100).prop_map(Before::WrongPartial),
    ]
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn transfer_with_faults_accounts_for_every_byte(
        faults in proptest::collection::vec(fault(), 0..6),
        states in proptest::collection::vec(before(), 5),
    ) {
        run(async {
            let [first, second] = two_images();
            let shelf = Memory::default()
                .with(ImageName::Tag("1".into()), &first)
                .with(ImageName::Tag("2".into()), &second);
            let memory = Memory::default();
            prepare(&memory, &second, &states).await;
            let source = Arc::new(FaultySource::new(shelf, faults));
            let all = [wanted(Arc::clone(&source), "1"), wanted(Arc::clone(&source), "2")];
            let target: Arc<dyn Target> = Arc::new(memory.clone());

            let planned = Transfer::new(options()).images(&all, &target).plan().await;
            let finished = transfer(&all, &target, options()).await;
            let (mut moved, mut resent) = (0, 0);
            for (finished, planned) in finished.iter().zip(planned) {
                assert!(finished.error.is_none(), "{:?}", finished.error);
                assert_law(finished);
                let (done, planned) = (finished.report.bytes, planned.report.bytes);
                assert_eq!((done.total, done.shared), (planned.total, planned.shared));
                moved += done.transferred;
                resent += done.resent;
            }
            assert_eq!(source.given(), moved + resent, "every byte on the wire is told");
            assert_complete(&memory, &first).await;
            assert_complete(&memory, &second).await;
        });
    }

    #[test]
    fn transfer_cancelled_anywhere_is_completed_by_next_run(polls in 0_usize..120) {
        run(async {
            let [_, held] = two_images();
            let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
            let memory = Memory::default();
            let target: Arc<dyn Target> = Arc::new(memory.clone());
            let faults = vec![SourceFault::Ends(700); 3];
            let source = Arc::new(FaultySource::new(shelf, faults));
            let all = [wanted(Arc::clone(&source), "1")];
            {
                // Dropped between two polls, as by a timeout of the caller.
                let mut stopped = std::pin::pin!(transfer(&all, &target, options()));
                for _ in 0..polls {
                    if futures_util::poll!(stopped.as_mut()).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let before = source.given();
            let finished = transfer(&all, &target, options()).await.remove(0);
            assert!(finished.error.is_none(), "{:?}", finished.error);
            assert_law(&finished);
            let sum = finished.report.bytes;
            assert_eq!(source.given() - before, sum.transferred + sum.resent);
            assert_complete(&memory, &held).await;
            assert!(target.name(&all[0].target_name, Effort::Local).await.unwrap().present().is_some());
        });
    }
}

#[tokio::test]
async fn resume_digest_mismatch_after_resume_restarts_once() {
    for (faults, arrives, given) in [
        // A single wrong response is a permanent error.
        (vec![SourceFault::Flipped], false, 1),
        // A blob assembled from two responses is fetched again once.
        (vec![SourceFault::Ends(1), SourceFault::Flipped], true, 2),
        (vec![SourceFault::Ends(1), SourceFault::Flipped, SourceFault::Flipped], false, 2),
    ] {
        let held = image(Family::Oci, "amd64", &[]);
        let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
        let (memory, source) =
            (Memory::default(), Arc::new(FaultySource::new(shelf, faults.clone())));
        let target: Arc<dyn Target> = Arc::new(memory.clone());
        let wanted = [wanted(Arc::clone(&source), "1")];
        let finished = transfer(&wanted, &target, options()).await.remove(0);
        assert_eq!(finished.error.is_none(), arrives, "{faults:?}");
        assert_law(&finished);
        let sum = finished.report.bytes;
        assert_eq!(source.given(), sum.transferred + sum.resent, "{faults:?}");
        assert_eq!(source.given(), held.size() * given, "{faults:?}");
        if !arrives {
            assert_eq!(sum.missing, sum.total, "{faults:?}");
            assert!(
                memory
                    .name(&wanted[0].target_name, Effort::Local)
                    .await
                    .unwrap()
                    .present()
                    .is_none()
            );
        }
    }
}

/// A target whose finish is cancelled.
struct Late {
    endpoint: Endpoint,
    inner: Memory,
    cancel: CancellationToken,
}

look_through!(Late);

impl Target for Late {
    fn properties(&self) -> TargetProperties {
        let mut properties = self.inner.properties();
        properties.atomic = true;
        properties
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            let (inner, cancel) = (self.inner.begin(plan).await?, self.cancel.clone());
            Ok(Arc::new(LateWriter { inner, cancel }) as Arc<dyn TargetWriter>)
        })
    }
}

struct LateWriter {
    inner: Arc<dyn TargetWriter>,
    cancel: CancellationToken,
}

impl TargetWriter for LateWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        self.inner.open_blob(descriptor, options)
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.put_manifest(document, role)
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        self.cancel.cancel();
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn transfer_cancelled_during_finish_is_interrupted() {
    let held = image(Family::Oci, "amd64", &layers(2));
    let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
    let wanted = [wanted(Arc::new(FaultySource::new(shelf, Vec::new())), "1")];
    let options = options();
    let target = Late {
        endpoint: Endpoint::default(),
        inner: Memory::default(),
        cancel: options.control.cancel.clone(),
    };
    let target: Arc<dyn Target> = Arc::new(target);
    let finished = transfer(&wanted, &target, options).await.remove(0);
    let error = finished.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("interrupted"), "{error}");
}

/// Loses a blob between the plan and the first write, as a target that another process prunes.
struct Pruned {
    endpoint: Endpoint,
    inner: Memory,
    lost: Descriptor,
}

look_through!(Pruned);

impl Target for Pruned {
    fn properties(&self) -> TargetProperties {
        self.inner.properties()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        self.inner.remove(&self.lost.digest);
        self.inner.begin(plan)
    }
}

#[tokio::test]
async fn transfer_blob_lost_after_plan_is_sent() {
    let [_, held] = two_images();
    let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
    let wanted = [wanted(Arc::new(FaultySource::new(shelf, Vec::new())), "1")];
    let memory = Memory::default();
    let before = vec![Before::Whole; held.blobs().count()];
    prepare(&memory, &held, &before).await;
    let lost = held.layers[0].descriptor.clone();
    let size = lost.size;
    let target = Pruned { endpoint: Endpoint::default(), inner: memory.clone(), lost };
    let target: Arc<dyn Target> = Arc::new(target);
    let finished = transfer(&wanted, &target, options()).await.remove(0);
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!(finished.report.bytes.transferred, size, "the manifest was refused without it");
    assert_complete(&memory, &held).await;
}

#[tokio::test]
async fn transfer_panic_fails_only_its_image() {
    let [one, other] = [1, 2]
        .map(|seed| image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(500, seed))])]));
    let of = |held: &Image, tag: &str, faults: Vec<SourceFault>| {
        let shelf = Memory::default().with(ImageName::Tag(tag.into()), held);
        wanted(Arc::new(FaultySource::new(shelf, faults)), tag)
    };
    let all = [of(&one, "1", vec![SourceFault::Bug]), of(&other, "2", Vec::new())];
    let memory = Memory::default();
    let target: Arc<dyn Target> = Arc::new(memory.clone());
    let finished = transfer(&all, &target, options()).await;
    let error = finished[0].error.as_ref().unwrap();
    assert!(error.chain().contains("panicked"), "{error:?}");
    assert!(finished[1].error.is_none(), "{:?}", finished[1].error);
    assert_complete(&memory, &other).await;
    assert!(!include_str!("../../../Cargo.toml").contains("panic = \"abort\""), "nor in a release");
}

#[tokio::test]
async fn error_side_names_failed_end() {
    let held = image(Family::Oci, "amd64", &layers(2));
    let request = |tag, faults| {
        let shelf = Memory::default().with(ImageName::Tag("1".into()), &held);
        wanted(Arc::new(FaultySource::new(shelf, faults)), tag)
    };
    let memory: Arc<dyn Target> = Arc::new(Memory::default());
    let nowhere: Arc<dyn Target> = Arc::new(EmptyTarget::new("nowhere".into()));
    let cases = [
        (request("2", vec![]), &memory, Side::Source),
        (request("1", vec![SourceFault::Flipped; 2]), &memory, Side::Source),
        (request("1", vec![SourceFault::Bug]), &memory, Side::Local),
        (request("1", vec![]), &nowhere, Side::Target),
    ];
    for (number, (request, target, side)) in cases.into_iter().enumerate() {
        let error = transfer(&[request], target, options()).await.remove(0).error.unwrap();
        assert_eq!(error.side(), Some(side), "case {number}: {error}");
    }
}
