//! Images that many tests use.

use super::images::{Family, Image, image, layer, random_blob};
use super::registry::Registry;

/// Two versions that differ in the config and in the last of two layers.
pub(crate) fn versions() -> [Image; 2] {
    let base = layer(&[("base", &random_blob(20_000, 1))]);
    [2, 3].map(|seed| {
        let app = layer(&[("app", &random_blob(3_000, seed))]);
        image(Family::Oci, "amd64", &[base.clone(), app])
    })
}

/// A registry with both as tags `1` and `2` of a repository, and the repository's full name.
pub(crate) async fn published() -> (Registry, [Image; 2], String) {
    let (registry, images) = (Registry::start().await, versions());
    for (image, tag) in images.iter().zip(["1", "2"]) {
        image.publish(&registry, "team/app", Some(tag));
    }
    let name = registry.repository("team/app");
    (registry, images, name)
}
