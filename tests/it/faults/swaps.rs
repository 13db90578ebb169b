//! Content that is swapped while it is moved: other bytes under a digest, a tag that moves, a blob that is deleted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rpull::digest::Digest;
use rpull::error::ErrorKind;

use super::random::{Stalls, mishap};
use super::seeds::each_seed;
use super::{Journey, Lab};
use crate::support::http::{Reply, Request};
use crate::support::images::{Blob, Image};

/// What a registry gives instead of what it has, for the requests with these numbers.
struct Swap {
    which: std::ops::Range<usize>,
    /// Bytes of another blob.
    blobs: bool,
    /// The manifest of another image for the tag.
    tag: bool,
    /// Of the same length as the right bytes.
    fits: bool,
    other: Image,
}

impl Swap {
    fn random(random: &mut fastrand::Rng, other: Image) -> Self {
        let first = random.usize(..10);
        let most = [1, 2, usize::MAX - first][random.usize(..3)];
        let kinds = random.u8(1..4);
        Self {
            which: first..first + most,
            blobs: kinds & 1 != 0,
            tag: kinds & 2 != 0,
            fits: random.bool(),
            other,
        }
    }

    fn apply(&self, request: &Request, reply: &Reply) -> Option<Reply> {
        if !matches!(reply.status, 200 | 206) {
            return None;
        }
        let mut swapped = reply.clone();
        if self.tag && request.path.ends_with("/manifests/1") {
            swapped.body = self.other.manifest.bytes.clone();
            let digest = self.other.manifest.digest().to_string();
            swapped = swapped.without("docker-content-digest");
            return Some(swapped.header("Docker-Content-Digest", digest));
        }
        if self.blobs && request.method == "GET" && request.path.contains("/blobs/") {
            let bytes = &self.other.layers[1].bytes;
            swapped.body = if self.fits {
                bytes.iter().copied().cycle().take(reply.body.len()).collect()
            } else {
                bytes.clone()
            };
            return Some(swapped);
        }
        None
    }
}

/// A lab whose source swaps content, among other mishaps.
async fn swapping_lab(seed: u64) -> Lab {
    let lab = Lab::new().await;
    let mut random = fastrand::Rng::with_seed(seed);
    let swap = Swap::random(&mut random, lab.other.clone());
    let (random, count) = (Mutex::new(random), AtomicUsize::new(0));
    let source = lab.from.server.host();
    lab.disturb(move |request, reply| {
        let is_source = request.header("host") == Some(&source);
        let number = count.fetch_add(usize::from(is_source), Ordering::Relaxed);
        let is_meant = is_source && swap.which.contains(&number);
        let swapped = is_meant.then(|| swap.apply(request, reply)).flatten();
        let random = &mut random.lock().unwrap();
        let mishap = mishap(random, Stalls::None, request, swapped.as_ref().unwrap_or(reply));
        mishap.or(swapped)
    });
    lab
}

/// The digests that the target has.
fn present(lab: &Lab, journey: Journey) -> BTreeSet<String> {
    let blobs = lab.held.blobs().chain(lab.other.blobs()).map(Blob::digest);
    let has = |digest: &&Digest| match journey {
        Journey::Pull => lab.path("store/blobs/sha256").join(digest.encoded()).exists(),
        Journey::Unpack => false,
        Journey::Push | Journey::Copy => lab.to.blob_bytes("app", digest).is_some(),
    };
    blobs.filter(has).map(ToString::to_string).collect()
}

/// Runs without faults, and moves only what the target lacked. The servers cannot tell: a request of the run before may reach them
/// after its end.
async fn complete(lab: &Lab, journey: Journey) {
    let before = present(lab, journey);
    lab.calm_down();
    let ended = lab.run(journey).await;
    assert!(ended.error.is_none(), "{:?}", ended.error);
    lab.assert_arrived(journey);
    let lacking = lab.held.blobs().filter(|blob| !before.contains(blob.digest().as_str()));
    let lacking: u64 = lacking.map(|blob| blob.bytes.len() as u64).sum();
    let bytes = ended.bytes;
    assert!(bytes.transferred + bytes.resumed <= lacking, "{bytes:?}, {lacking} of them lacking");
}

/// A run that has the right content of one of two images, or an error; the next one completes it. Returns the error's kind.
async fn survive(journey: Journey, seed: u64) -> Option<ErrorKind> {
    let lab = swapping_lab(seed).await;
    let ended = lab.run(journey).await;
    let kind = ended.error.as_ref().map(rpull::Error::kind);
    match kind {
        None => {
            let image = lab.named(journey).expect("it says that it is there");
            lab.assert_image(journey, &image);
        }
        Some(ErrorKind::Mismatch) => assert!(lab.named(journey).is_none()),
        Some(ErrorKind::Unpack) if journey == Journey::Unpack => {}
        Some(_) => panic!("{:?}", ended.error),
    }
    if journey == Journey::Unpack && kind.is_none() {
        std::fs::remove_dir_all(lab.path("root")).unwrap();
    }
    complete(&lab, journey).await;
    kind
}

#[tokio::test]
async fn swapped_content_is_never_pulled() {
    let ended = each_seed(|seed| Box::pin(survive(Journey::Pull, seed))).await;
    assert!(ended.contains(&None) && ended.contains(&Some(ErrorKind::Mismatch)), "{ended:?}");
}

#[tokio::test]
async fn swapped_content_is_never_unpacked() {
    each_seed(|seed| Box::pin(survive(Journey::Unpack, seed))).await;
}

#[tokio::test]
async fn swapped_content_is_never_copied() {
    let ended = each_seed(|seed| Box::pin(survive(Journey::Copy, seed))).await;
    assert!(ended.contains(&None) && ended.contains(&Some(ErrorKind::Mismatch)), "{ended:?}");
}

/// A push to a registry that another client changes meanwhile: it deletes a blob, and moves the tag.
async fn push_beside_another_client(seed: u64) {
    let lab = Lab::new().await;
    assert!(lab.run(Journey::Pull).await.error.is_none());
    lab.other.publish(&lab.to, "app", Some("1"));
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let last = random.lock().unwrap().usize(..12);
    let (count, is_named) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let (to, held, other) = (Arc::downgrade(&lab.to), lab.held.clone(), lab.other.clone());
    let named = Arc::clone(&is_named);
    lab.disturb(move |request, reply| {
        let puts = request.line() == "PUT /v2/app/manifests/1" && reply.status == 201;
        let named = named.fetch_or(puts, Ordering::Relaxed) || puts;
        // What is deleted after it has its name is nothing that a push could know.
        if count.fetch_add(1, Ordering::Relaxed) == last && !named {
            let to = to.upgrade().unwrap();
            to.delete_blob("app", held.layers[0].digest());
            other.manifest.publish(&to, "app", Some("1"));
        }
        mishap(&mut random.lock().unwrap(), Stalls::None, request, reply)
    });
    let ended = lab.run(Journey::Push).await;
    assert!(ended.error.is_none(), "{:?}", ended.error);
    lab.assert_arrived(Journey::Push);
    complete(&lab, Journey::Push).await;
}

#[tokio::test]
async fn push_sends_blob_deleted_meanwhile_again() {
    let lab = Lab::new().await;
    assert!(lab.run(Journey::Pull).await.error.is_none());
    let (to, layer) = (Arc::downgrade(&lab.to), lab.held.layers[0].clone());
    let (digest, is_deleted) = (layer.digest().clone(), AtomicBool::new(false));
    lab.disturb(move |request, reply| {
        let is_of_layer = || request.pairs().iter().any(|(_, value)| value == digest.as_str());
        let is_sent = request.method == "PUT" && reply.status == 201 && is_of_layer();
        if is_sent && !is_deleted.fetch_or(true, Ordering::Relaxed) {
            to.upgrade().unwrap().delete_blob("app", &digest);
        }
        None
    });
    let ended = lab.run(Journey::Push).await;
    assert!(ended.error.is_none(), "{:?}", ended.error);
    lab.assert_arrived(Journey::Push);
    let size = layer.bytes.len() as u64;
    assert_eq!((ended.bytes.transferred, ended.bytes.resent), (ended.bytes.total, size));
}

#[tokio::test]
async fn push_beside_deleting_client_arrives_whole() {
    each_seed(|seed| Box::pin(push_beside_another_client(seed))).await;
}
