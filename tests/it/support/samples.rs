//! Images used by many tests.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};

/// Returns two versions that differ in the config and in the last of two layers.
pub(crate) fn versions() -> [Image; 2] {
    versions_of(1)
}

/// The same with other layers, from three seeds: a layer counts as mounted wherever it is mounted from, so a test that mounts
/// needs layers that no other test has.
pub(crate) fn versions_of(seed: u64) -> [Image; 2] {
    let base = layer(&[("base", &random_blob(20_000, seed))]);
    [1, 2].map(|version| {
        let app = layer(&[("app", &random_blob(3_000, seed + version))]);
        image(Family::Oci, "amd64", &[base.clone(), app])
    })
}

/// Returns a registry with both as tags `1` and `2` of a repository, and its full name.
pub(crate) async fn published() -> (FakeRegistry, [Image; 2], String) {
    publish(versions()).await
}

/// The same with these versions.
pub(crate) async fn publish(images: [Image; 2]) -> (FakeRegistry, [Image; 2], String) {
    let registry = FakeRegistry::start().await;
    for (image, tag) in images.iter().zip(["1", "2"]) {
        image.publish(&registry, "team/app", Some(tag));
    }
    let name = registry.repository("team/app");
    (registry, images, name)
}

/// Returns a store with an image whose only layer has about `size` bytes, and an empty registry.
pub(crate) async fn stored(size: usize) -> (Cli, String, FakeRegistry, Image) {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(size, 5))])]);
    held.publish(&from, "app", Some("1"));
    let name = from.repository("app:1");
    cli.run(&[&name]).await.expect(0, "");
    (cli, name, to, held)
}

/// Returns a registry with a small image as `app:1`, and its full name.
pub(crate) async fn published_app() -> (FakeRegistry, Image, String) {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, held, name)
}
