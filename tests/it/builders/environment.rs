//! What the builders take from the environment when nothing else is given.

use std::process::Command;

use rpull::{
    Artifact, Copy, ErrorKind, ImageSource, ImageTarget, Layout, Memory, Pull, Push, Unpack,
};

use super::client;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, index};

/// Set in a process that runs one test again.
const AGAIN: &str = "RPULL_TEST_AGAIN";

/// Whether this process has the variable for this test. If not, runs the test again in one that has, and fails if it fails: a
/// process cannot change its own environment safely.
fn has_variable(variable: &str, value: &str, test: &str) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("builders::environment::{test}")]);
    let output = again.env(AGAIN, "1").env(variable, value).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{output:?}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_and_unpack_take_platform_from_environment() {
    if !has_variable(
        "DOCKER_DEFAULT_PLATFORM",
        "linux/s390x",
        "pull_and_unpack_take_platform_from_environment",
    ) {
        return;
    }
    let registry = FakeRegistry::start().await;
    let of = |name: &str| {
        let layer = layer_of(&[TarItem::file("architecture", name)]);
        (name.to_owned(), image(Family::Oci, name, &[layer]))
    };
    let images = ["amd64", "arm64", "s390x"].map(of);
    let digests = images.each_ref().map(|(_, image)| image.manifest.digest().clone());
    let entries = images.iter().map(|(name, image)| (name.as_str(), image.clone()));
    index(Family::Oci, &entries.collect::<Vec<_>>()).publish(&registry, "app", "1");
    let (name, memory) = (registry.repository("app") + ":1", Memory::default());

    let report = Pull::new(&*name).client(client()).to(&memory).await.unwrap();
    let pulled = report.images[0].report.summary.manifest.as_ref();
    assert_eq!(pulled, Some(&digests[2]));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    Unpack::new(&*name).client(client()).to(&root).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join("architecture")).unwrap(), "s390x");

    let pull = Pull::new(&*name).client(client()).platform("linux/arm64".parse().unwrap());
    let report = pull.to(&memory).await.unwrap();
    let pulled = report.images[0].report.summary.manifest.as_ref();
    assert_eq!(pulled, Some(&digests[1]));
    assert!(memory.document(&digests[0]).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_platform_in_environment_is_an_error() {
    if !has_variable(
        "DOCKER_DEFAULT_PLATFORM",
        "a/b/c/d/e",
        "invalid_platform_in_environment_is_an_error",
    ) {
        return;
    }
    let pull = Pull::new("localhost:1/app:1").client(client()).to(Memory::default()).await;
    assert_eq!(pull.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unpack = Unpack::new("localhost:1/app:1").client(client()).to("/does/not/exist").await;
    assert_eq!(unpack.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn push_takes_id_and_notes_origin_in_the_store() {
    let store = tempfile::tempdir().unwrap();
    let path = store.path().to_str().unwrap();
    if !has_variable("RPULL_STORE", path, "push_takes_id_and_notes_origin_in_the_store") {
        return;
    }
    let path = Layout::default_path().unwrap();
    let (registry, memory) = (FakeRegistry::start().await, Memory::default());
    let artifact = Artifact::builder("x/y").layer("x/z", "bytes").build().unwrap();
    let digest = artifact.document().digest().clone();
    Copy::new().image(artifact).to(ImageTarget::from(&memory).named("r.test/app:1")).await.unwrap();
    Copy::new()
        .image(ImageSource::from(&memory).named("r.test/app:1"))
        .to("store:r.test/app:1")
        .await
        .unwrap();
    let image = format!("store:{}", &digest.encoded()[..12]);
    let push = |tag: &str| {
        let push = Push::new(&*image).client(client());
        push.to(format!("{}:{tag}", registry.repository("app"))).into_future()
    };
    push("1").await.unwrap();
    assert_eq!(registry.tagged("app", "1"), Some(digest.to_string()));

    let entry = Layout::open(&path).unwrap().entry("r.test/app:1").unwrap().unwrap();
    assert_eq!(entry.descriptor.annotations["rpull.origin"], registry.repository("app"));
    let report = push("2").await.unwrap();
    assert_eq!(report.images[0].report.requests.upload, 0);
    let unknown = Push::new("store:0123456789ab").client(client()).to("r.example/app:1").await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
}
