//! What the builders take from the environment when nothing else is given.

use std::process::Command;

use rpull::{ErrorKind, Memory, Pull, Unpack};

use super::client;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, index};

const VARIABLE: &str = "DOCKER_DEFAULT_PLATFORM";

/// Whether this process has the variable with this value. If not, runs the test again in one that has, and fails if it fails:
/// a process cannot change its own environment safely.
fn has_platform(value: &str, test: &str) -> bool {
    if std::env::var(VARIABLE).is_ok_and(|set| set == value) {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again
        .args(["--exact", &format!("builders::environment::{test}")])
        .env(VARIABLE, value)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{output:?}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_and_unpack_take_platform_from_environment() {
    if !has_platform("linux/s390x", "pull_and_unpack_take_platform_from_environment") {
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
    if !has_platform("a/b/c/d/e", "invalid_platform_in_environment_is_an_error") {
        return;
    }
    let pull = Pull::new("localhost:1/app:1").client(client()).to(Memory::default()).await;
    assert_eq!(pull.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unpack = Unpack::new("localhost:1/app:1").client(client()).to("/does/not/exist").await;
    assert_eq!(unpack.unwrap_err().kind(), ErrorKind::InvalidInput);
}
