//! One run with several sources and targets in memory, where anything may fail: what arrived is right and adds up, what did
//! not has an error, and images of other targets are not affected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::BoxFuture;
use rpull::content::{
    BlobRequest, BlobWriter, ByteStream, Effort, Endpoint, Lookup as _, OpenBlobOptions, Opened,
    Presence, Role, Source as _, Target, TargetPlan, TargetProperties, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::retry::RetryPolicy;
use rpull::transfer::{ImageRequest, ImageResult, RunReport, Transfer, TransferOptions};
use rpull::verifier::Verified;

use super::engine::assert_law;
use crate::support::faulty_source::{FaultySource, SourceFault};
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::memory::{WithImage as _, look_through};

/// What goes wrong at a target, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// The blob cannot be opened; another try may succeed.
    Busy,
    /// The blob is refused for good.
    Refused,
    /// Writing fails after some bytes; another try may succeed.
    Breaks,
    /// Committing the blob fails for good.
    CommitFails,
    /// Writes take longer than anybody waits.
    Slow,
    /// A manifest is refused.
    ManifestRefused,
    /// The end of the run fails.
    FinishFails,
}

const MISHAPS: [Mishap; 7] = [
    Mishap::Busy,
    Mishap::Refused,
    Mishap::Breaks,
    Mishap::CommitFails,
    Mishap::Slow,
    Mishap::ManifestRefused,
    Mishap::FinishFails,
];

/// A repository of a registry in memory.
struct Repository {
    endpoint: Endpoint,
    inner: Memory,
    properties: TargetProperties,
    mishaps: Arc<Mutex<Vec<Mishap>>>,
    /// The repositories of the same registry.
    siblings: Arc<Mutex<HashMap<String, Memory>>>,
    /// Bytes that were written to each blob.
    uploads: Arc<Mutex<HashMap<Digest, u64>>>,
}

look_through!(Repository);

impl Repository {
    fn new(
        scope: Option<&str>,
        name: &str,
        siblings: &Arc<Mutex<HashMap<String, Memory>>>,
    ) -> Self {
        let inner = Memory::default();
        let location = format!("{}/{name}", scope.unwrap_or("nowhere"));
        let endpoint = match scope {
            Some(scope) => Endpoint::new(&location).address(&location).mount_scope(scope),
            None => Endpoint::new(location),
        };
        siblings.lock().unwrap().insert(name.to_owned(), inner.clone());
        Self {
            endpoint,
            inner,
            properties: TargetProperties::default(),
            mishaps: Arc::default(),
            siblings: Arc::clone(siblings),
            uploads: Arc::default(),
        }
    }
}

fn take(mishaps: &Mutex<Vec<Mishap>>, wanted: &[Mishap]) -> Option<Mishap> {
    let mut mishaps = mishaps.lock().unwrap();
    let at = mishaps.iter().position(|mishap| wanted.contains(mishap))?;
    Some(mishaps.remove(at))
}

fn busy() -> Error {
    Error::new(ErrorKind::Transport, "upload").with_reason("busy").transient(None)
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Registry, what).with_reason("refused")
}

impl Target for Repository {
    fn properties(&self) -> TargetProperties {
        self.properties
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async {
            let writer = RepositoryWriter {
                inner: self.inner.begin(plan).await?,
                memory: self.inner.clone(),
                mishaps: Arc::clone(&self.mishaps),
                siblings: Arc::clone(&self.siblings),
                uploads: Arc::clone(&self.uploads),
            };
            Ok(Arc::new(writer) as Arc<dyn TargetWriter>)
        })
    }
}

struct RepositoryWriter {
    inner: Arc<dyn TargetWriter>,
    memory: Memory,
    mishaps: Arc<Mutex<Vec<Mishap>>>,
    siblings: Arc<Mutex<HashMap<String, Memory>>>,
    uploads: Arc<Mutex<HashMap<Digest, u64>>>,
}

impl RepositoryWriter {
    async fn mount(&self, descriptor: &Descriptor, from: &str) -> Option<Opened> {
        let sibling = self.siblings.lock().unwrap().get(from).cloned()?;
        let limit = descriptor.size;
        let found = sibling.read(descriptor, limit, Effort::Local).await.ok()?.present()?;
        self.memory.insert_blob(descriptor.media_type.clone(), found);
        Some(Opened::Mounted { from: from.to_owned() })
    }
}

impl TargetWriter for RepositoryWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            match take(&self.mishaps, &[Mishap::Busy, Mishap::Refused]) {
                Some(Mishap::Busy) => return Err(busy()),
                Some(_) => return Err(refused("blob")),
                None => {}
            }
            if let Some(from) = &options.mount_from
                && let Some(mounted) = self.mount(descriptor, from).await
            {
                return Ok(mounted);
            }
            Ok(match self.inner.open_blob(descriptor, options).await? {
                Opened::Writer(inner) => Opened::Writer(Box::new(Writer {
                    inner,
                    digest: descriptor.digest.clone(),
                    mishaps: Arc::clone(&self.mishaps),
                    uploads: Arc::clone(&self.uploads),
                })),
                other => other,
            })
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match take(&self.mishaps, &[Mishap::ManifestRefused]) {
                Some(_) => Err(refused("manifest")),
                None => self.inner.put_manifest(document, role).await,
            }
        })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            match take(&self.mishaps, &[Mishap::FinishFails]) {
                Some(_) => Err(refused("finish")),
                None => self.inner.finish().await,
            }
        })
    }
}

struct Writer {
    inner: Box<dyn BlobWriter>,
    digest: Digest,
    mishaps: Arc<Mutex<Vec<Mishap>>>,
    uploads: Arc<Mutex<HashMap<Digest, u64>>>,
}

impl BlobWriter for Writer {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    fn read_back(&mut self) -> Result<Presence<ByteStream<'_>>> {
        self.inner.read_back()
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match take(&self.mishaps, &[Mishap::Breaks, Mishap::Slow]) {
                Some(Mishap::Breaks) => return Err(busy()),
                Some(_) => tokio::time::sleep(Duration::from_secs(11)).await,
                None => {}
            }
            *self.uploads.lock().unwrap().entry(self.digest.clone()).or_default() +=
                bytes.len() as u64;
            self.inner.write(bytes).await
        })
    }

    fn truncate(&mut self) -> BoxFuture<'_, Result<()>> {
        self.inner.truncate()
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        match take(&self.mishaps, &[Mishap::CommitFails]) {
            Some(_) => Box::pin(async { Err(refused("blob")) }),
            None => self.inner.commit(proof),
        }
    }
}

/// Sources, targets, and which image goes where.
struct World {
    images: Vec<Image>,
    sources: Vec<Arc<FaultySource>>,
    targets: Vec<Arc<Repository>>,
    /// Number of the image, the source and the target.
    routes: Vec<[usize; 3]>,
    jobs: usize,
}

impl World {
    fn random(rng: &mut Rng) -> Self {
        let layers: Vec<_> = (1..=6)
            .map(|seed| {
                layer(&[("data", &random_blob(700 * usize::try_from(seed).unwrap(), seed))])
            })
            .collect();
        let images: Vec<Image> = (0..rng.usize(1..6))
            .map(|_| {
                let count = rng.usize(0..4);
                let chosen: Vec<_> = (0..count).map(|_| layers[rng.usize(0..6)].clone()).collect();
                image(Family::Oci, ["amd64", "arm64"][rng.usize(0..2)], &chosen)
            })
            .collect();
        let sources = (0..rng.usize(1..3)).map(|_| {
            let tagged = images.iter().enumerate();
            let held = tagged
                .fold(Memory::default(), |held, (number, image)| held.with(tag(number), image));
            Arc::new(FaultySource::new(held, Vec::new()))
        });
        let sources: Vec<_> = sources.collect();
        let registries = [Arc::default(), Arc::default()];
        let targets = (0..rng.usize(1..6)).map(|number| {
            let which = rng.usize(0..3);
            let scope = [Some("a.example"), Some("b.example"), None][which];
            let siblings = registries.get(which).cloned().unwrap_or_default();
            let mut target = Repository::new(scope, &format!("r{number}"), &siblings);
            target.properties.sequential = scope.is_none() && rng.bool();
            target.properties.manifests_imply_blobs = scope.is_some();
            Arc::new(target)
        });
        let targets: Vec<_> = targets.collect();
        let mut routes = Vec::new();
        for _ in 0..rng.usize(1..10) {
            routes.push([
                rng.usize(0..images.len()),
                rng.usize(0..sources.len()),
                rng.usize(0..targets.len()),
            ]);
        }
        Self { images, sources, targets, routes, jobs: rng.usize(1..5) }
    }

    fn transfer(&self) -> Transfer {
        let retry = RetryPolicy::default().base_delay(Duration::from_millis(1));
        let options = TransferOptions::default().retry(retry).jobs(self.jobs);
        let mut run = Transfer::new(options);
        for (number, [image, source, target]) in self.routes.iter().enumerate() {
            let request = ImageRequest::new(Arc::clone(&self.sources[*source]) as _, tag(*image))
                .reference(format!("image {number}"))
                .target_name(ImageName::Layout(format!("name-{number}")));
            run = run.image(request, &(Arc::clone(&self.targets[*target]) as Arc<dyn Target>));
        }
        run
    }

    /// Bytes of all blobs, each once for each source that has to give it.
    fn needed(&self) -> u64 {
        let images = self.routes.iter().map(|[image, source, _]| (&self.images[*image], source));
        let blobs = images.flat_map(|(image, source)| {
            image.blobs().map(move |blob| ((source, blob.digest()), blob.descriptor.size))
        });
        blobs.collect::<HashMap<_, _>>().values().sum()
    }

    fn given(&self) -> u64 {
        self.sources.iter().map(|source| source.given()).sum()
    }

    /// Bytes that were written to the registry for one digest, all its repositories together.
    fn uploaded(&self, scope: &str, digest: &Digest) -> u64 {
        let of = |target: &&Arc<Repository>| target.endpoint.mount_scope.as_deref() == Some(scope);
        let uploads = self.targets.iter().filter(of);
        uploads.map(|target| target.uploads.lock().unwrap().get(digest).copied().unwrap_or(0)).sum()
    }

    async fn check_named(&self, number: usize, seed: u64) {
        let [image, _, target] = self.routes[number];
        let (image, memory) = (&self.images[image], &self.targets[target].inner);
        let name = ImageName::Layout(format!("name-{number}"));
        let found = memory.name(&name, Effort::Local).await.unwrap().present();
        let found = found.unwrap_or_else(|| panic!("seed {seed}: image {number} has no name"));
        assert_eq!(found.digest, *image.manifest.digest(), "seed {seed}");
        for blob in image.blobs() {
            let body =
                memory.open_blob(BlobRequest::starting_at(&blob.descriptor, 0)).await.unwrap();
            let bytes: Vec<Bytes> =
                futures_util::TryStreamExt::try_collect(body.stream).await.unwrap();
            assert_eq!(bytes.concat(), blob.bytes, "seed {seed}: image {number}");
        }
    }

    /// What is true of every run, whatever went wrong.
    async fn check(&self, report: &RunReport, given_before: u64, seed: u64) {
        assert_eq!(report.images.len(), self.routes.len());
        for (number, image) in report.images.iter().enumerate() {
            assert_law(image);
            if image.error.is_none() {
                assert!(
                    image.committed.is_some(),
                    "seed {seed}: {number} has neither name nor error"
                );
                self.check_named(number, seed).await;
            }
        }
        let given = self.given() - given_before;
        assert_eq!(report.received, given, "seed {seed}: every byte of the sources is told");
    }
}

fn tag(number: usize) -> ImageName {
    ImageName::Tag(number.to_string())
}

/// Number of random runs, from `RPULL_SEEDS` or for CI's time.
fn seeds() -> u64 {
    std::env::var("RPULL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

/// Runs with a clock of its own, on which anything that takes an hour hangs.
fn on_paused_clock<T>(seed: u64, work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let hour = Duration::from_secs(3600);
    let ended = runtime.unwrap().block_on(async { tokio::time::timeout(hour, work).await });
    ended.unwrap_or_else(|_| panic!("seed {seed} hangs"))
}

fn errors(images: &[ImageResult]) -> Vec<String> {
    images.iter().filter_map(|image| image.error.as_ref()).map(Error::chain).collect()
}

#[test]
fn run_with_many_targets_reads_and_uploads_each_blob_once() {
    for seed in 0..seeds() {
        let world = World::random(&mut Rng::with_seed(seed));
        on_paused_clock(seed, async {
            let report = world.transfer().run().await;
            assert_eq!(errors(&report.images), Vec::<String>::new(), "seed {seed}");
            world.check(&report, 0, seed).await;
            let is_sequential = |target: &Arc<Repository>| target.properties.sequential;
            if !world.targets.iter().any(is_sequential) {
                assert!(world.given() <= world.needed(), "seed {seed}: a blob was read twice");
            }
            for image in &world.images {
                for blob in image.blobs() {
                    for scope in ["a.example", "b.example"] {
                        let sent = world.uploaded(scope, blob.digest());
                        assert!(sent <= blob.descriptor.size, "seed {seed}: {scope} got it twice");
                    }
                }
            }
        });
    }
}

#[test]
fn run_with_random_failures_keeps_every_promise_and_is_completed_by_next_run() {
    for seed in 0..seeds() {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::random(&mut rng);
        for target in &world.targets {
            let count = rng.usize(0..4);
            let mishaps = (0..count).map(|_| MISHAPS[rng.usize(0..MISHAPS.len())]).collect();
            *target.mishaps.lock().unwrap() = mishaps;
        }
        for source in &mut world.sources {
            let faults = (0..rng.usize(0..4)).map(|_| match rng.u8(0..4) {
                0 => SourceFault::Ends(rng.u64(0..3000)),
                1 => SourceFault::Breaks(rng.u64(0..3000)),
                2 => SourceFault::Busy,
                _ => SourceFault::FromZero,
            });
            let images = world.images.iter().enumerate();
            let held = images
                .fold(Memory::default(), |held, (number, image)| held.with(tag(number), image));
            *source = Arc::new(FaultySource::new(held, faults.collect()));
        }
        on_paused_clock(seed, async {
            let report = world.transfer().run().await;
            world.check(&report, 0, seed).await;
            for target in &world.targets {
                target.mishaps.lock().unwrap().clear();
            }
            let before = world.given();
            let again = world.transfer().run().await;
            assert_eq!(errors(&again.images), Vec::<String>::new(), "seed {seed}");
            world.check(&again, before, seed).await;
        });
    }
}

#[test]
fn run_with_failing_target_leaves_images_of_others_alone() {
    for seed in 0..seeds() {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng);
        let bad = rng.usize(0..world.targets.len());
        let mishaps = (0..20).map(|_| MISHAPS[rng.usize(0..MISHAPS.len())]).collect();
        *world.targets[bad].mishaps.lock().unwrap() = mishaps;
        on_paused_clock(seed, async {
            let report = world.transfer().run().await;
            world.check(&report, 0, seed).await;
            for (image, [_, _, target]) in report.images.iter().zip(&world.routes) {
                let failed = image.error.as_ref().map(Error::chain);
                assert!(failed.is_none() || *target == bad, "seed {seed}: {failed:?}");
            }
        });
    }
}

#[test]
fn run_dropped_anywhere_is_completed_by_next_run() {
    for seed in 0..seeds() / 5 {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng);
        let polls = rng.usize(0..200);
        on_paused_clock(seed, async {
            {
                let mut stopped = std::pin::pin!(world.transfer().run());
                for _ in 0..polls {
                    if futures_util::poll!(stopped.as_mut()).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let before = world.given();
            let report = world.transfer().run().await;
            assert_eq!(errors(&report.images), Vec::<String>::new(), "seed {seed}");
            world.check(&report, before, seed).await;
        });
    }
}
