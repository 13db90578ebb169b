//! Registries that fail on command: tables of faults, and random ones by seed.
//!
//! After every run: what is named is right, a file beside the targets is as before, no secret is in an error, and the next run
//! without faults completes what is left.

mod broken;
mod cases;
mod machine;
mod random;
mod seeds;
mod swaps;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rpull::Unpack;
use rpull::content::{Source, Target};
use rpull::error::Error;
use rpull::layout::{Layout, LayoutOptions};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::credentials::parse_creds;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;
use rpull::transfer::{ByteCounts, ImageRequest, ImageResult, TransferOptions, transfer};

use crate::support::assertions::assert_digests_are_right;
use crate::support::fake_registry::{Auth, Bearer, FakeRegistry, Options};
use crate::support::http::{Reply, Request};
use crate::support::images::{Family, Image, image, layer, random_blob};

const SECRET: &str = "hush-4a7b";
const CANARY: &str = "as it was";

/// A way of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Journey {
    Pull,
    Unpack,
    Push,
    Copy,
}

/// The files of an image, one in each layer: name, size, seed.
type Files = [(&'static str, usize, u64); 3];

const HELD: Files = [("a", 9000, 1), ("b", 4000, 2), ("c", 300, 3)];
const OTHER: Files = [("a", 9000, 1), ("d", 4000, 4), ("e", 300, 5)];

/// Two registries, of which one has an image, and a directory for what is pulled.
struct Lab {
    from: FakeRegistry,
    to: Arc<FakeRegistry>,
    /// Tag 1.
    held: Image,
    /// Tag 2, with the same base layer.
    other: Image,
    dir: tempfile::TempDir,
    disturbed: Arc<AtomicBool>,
    faults: Arc<AtomicUsize>,
    attempts: u32,
    idle: Duration,
}

/// The end of a run.
struct Ended {
    error: Option<Error>,
    bytes: ByteCounts,
    /// Of all endpoints.
    requests: u64,
}

async fn registry() -> FakeRegistry {
    let bearer = Bearer { credentials: Some(format!("user:{SECRET}")), ..Bearer::default() };
    FakeRegistry::start_with(Options { auth: Auth::Bearer(bearer), ..Options::default() }).await
}

impl Lab {
    async fn new() -> Self {
        let (from, to) = (registry().await, Arc::new(registry().await));
        let [held, other] = [HELD, OTHER].map(image_of);
        held.publish(&from, "app", Some("1"));
        other.publish(&from, "app", Some("2"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("canary"), CANARY).unwrap();
        Self {
            from,
            to,
            held,
            other,
            dir,
            disturbed: Arc::new(AtomicBool::new(true)),
            faults: Arc::default(),
            attempts: 12,
            idle: Duration::from_secs(60),
        }
    }

    /// Lets this change the replies of both registries while they are disturbed; `None` leaves one as it is.
    fn disturb(&self, fault: impl Fn(&Request, &Reply) -> Option<Reply> + Send + Sync + 'static) {
        let fault = Arc::new(fault);
        for registry in [&self.from, &*self.to] {
            let (fault, faults) = (Arc::clone(&fault), Arc::clone(&self.faults));
            let disturbed = Arc::clone(&self.disturbed);
            registry.disturb(move |request, reply| {
                let changed =
                    disturbed.load(Ordering::Relaxed).then(|| fault(request, &reply)).flatten();
                faults.fetch_add(usize::from(changed.is_some()), Ordering::Relaxed);
                changed.unwrap_or(reply)
            });
        }
    }

    fn calm_down(&self) {
        self.disturbed.store(false, Ordering::Relaxed);
    }

    fn disturb_again(&self) {
        self.disturbed.store(true, Ordering::Relaxed);
    }

    fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed) as u64
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy::default().base_delay(Duration::ZERO).attempts(self.attempts)
    }

    /// A client without any experience.
    fn client(&self) -> Client {
        let idle = self.idle;
        let timeouts = Timeouts::default().headers(idle).idle(idle).commit(idle);
        let mut options = RegistryOptions::default().retry(self.retry()).timeouts(timeouts);
        for registry in [&self.from, &*self.to] {
            let credential = parse_creds(&format!("user:{SECRET}")).unwrap();
            options.credentials = options.credentials.with(registry.server.host(), credential);
        }
        Client::new(options)
    }

    /// Runs once, and checks what holds after every run.
    async fn run(&self, journey: Journey) -> Ended {
        let ended = match journey {
            Journey::Unpack => self.unpack().await,
            Journey::Pull => {
                let layout = Layout::create(&self.path("store"), LayoutOptions::default()).unwrap();
                let source = self.repository(&self.from);
                let ended =
                    self.transfer(source, Arc::new(layout), ImageName::Layout("app".into()));
                let ended = ended.await;
                assert_digests_are_right(&self.path("store"));
                ended
            }
            Journey::Push | Journey::Copy => {
                let reference = reference(&self.to);
                let target = self.client().repository_for_push(&reference).unwrap();
                let source = match journey {
                    Journey::Copy => self.repository(&self.from),
                    _ => Arc::new(Layout::open(&self.path("store")).unwrap()),
                };
                self.transfer(source, Arc::new(target), reference.name()).await
            }
        };
        let bytes = ended.bytes;
        let parts = [bytes.transferred, bytes.resumed, bytes.mounted, bytes.shared, bytes.missing];
        assert_eq!(bytes.total, parts.iter().sum::<u64>(), "{bytes:?}");
        assert_eq!(std::fs::read_to_string(self.path("canary")).unwrap(), CANARY);
        if let Some(error) = &ended.error {
            assert!(!format!("{} {error:?}", error.chain()).contains(SECRET), "{error:?}");
        }
        ended
    }

    fn repository(&self, registry: &FakeRegistry) -> Arc<dyn Source> {
        Arc::new(self.client().repository(&reference(registry)).unwrap())
    }

    async fn transfer(
        &self,
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        target_name: ImageName,
    ) -> Ended {
        let name = match source.endpoint().address {
            Some(_) => ImageName::Tag("1".into()),
            None => ImageName::Layout("app".into()),
        };
        let request = ImageRequest::new(source, name).reference("app").target_name(target_name);
        let options = TransferOptions::default().retry(self.retry()).idle(self.idle);
        let ImageResult { error, report, .. } =
            transfer(&[request], &target, options).await.remove(0);
        Ended { error, bytes: report.bytes, requests: report.requests.total() }
    }

    async fn unpack(&self) -> Ended {
        let root = self.path("root");
        let unpack = Unpack::new(reference(&self.from)).client(self.client()).to(&root);
        let platform: Platform = "linux/amd64".parse().unwrap();
        let error = unpack.platform(platform).retry(self.retry()).await.err();
        if error.is_some() {
            assert!(!root.exists(), "a directory is complete or not there");
        }
        Ended { error, bytes: ByteCounts::default(), requests: 0 }
    }

    /// Asserts that the image has arrived.
    fn assert_arrived(&self, journey: Journey) {
        self.assert_image(journey, &self.held);
    }

    /// The image that the target names.
    fn named(&self, journey: Journey) -> Option<Image> {
        let digest = match journey {
            Journey::Pull => {
                let entry = Layout::open(&self.path("store")).unwrap().entry("app").unwrap();
                entry?.digest().to_string()
            }
            Journey::Unpack => {
                let last = |files: Files| self.path("root").join(files[2].0).exists();
                let image = [(HELD, &self.held), (OTHER, &self.other)];
                let [found] =
                    image.into_iter().filter(|(files, _)| last(*files)).collect::<Vec<_>>()[..]
                else {
                    return None;
                };
                found.1.manifest.digest().to_string()
            }
            Journey::Push | Journey::Copy => self.to.tagged("app", "1")?,
        };
        [&self.held, &self.other]
            .into_iter()
            .find(|image| image.manifest.digest().as_str() == digest)
            .cloned()
    }

    /// Asserts that the target has all of this image, and names it.
    fn assert_image(&self, journey: Journey, image: &Image) {
        let named = self.named(journey).map(|image| image.manifest.digest().clone());
        assert_eq!(named.as_ref(), Some(image.manifest.digest()));
        let is_held = image.manifest.digest() == self.held.manifest.digest();
        for (name, size, seed) in if is_held { HELD } else { OTHER } {
            if journey == Journey::Unpack {
                let found = std::fs::read(self.path("root").join(name)).unwrap();
                assert_eq!(found, random_blob(size, seed));
            }
        }
        for blob in image.blobs() {
            let found = match journey {
                Journey::Unpack => continue,
                Journey::Pull => {
                    let path = self.path("store/blobs/sha256").join(blob.digest().encoded());
                    std::fs::read(path).ok().map(Into::into)
                }
                Journey::Push | Journey::Copy => self.to.blob_bytes("app", blob.digest()),
            };
            assert_eq!(found.as_ref(), Some(&blob.bytes), "{}", blob.digest());
        }
    }
}

fn image_of(files: Files) -> Image {
    let layers = files.map(|(name, size, seed)| layer(&[(name, &random_blob(size, seed))]));
    image(Family::Oci, "amd64", &layers)
}

fn reference(registry: &FakeRegistry) -> Reference {
    registry.repository("app:1").parse().unwrap()
}
