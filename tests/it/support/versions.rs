//! Versions of an image with a large layer, of which only a few bytes differ.

use super::images::{Family, Image, Layer, image, layer, random_blob};

/// Files of which a few bytes differ per version.
pub(crate) fn changing_layer(version: u8) -> Layer {
    let mut large = random_blob(1_200_000, 1);
    large[700_000] = version;
    let small = random_blob(100_000, 2);
    layer(&[("usr/lib/large.so", &large), ("etc/small", &small), ("etc/version", &[version])])
}

/// The layer over a base that does not change.
pub(crate) fn version(number: u8) -> Image {
    let base = layer(&[("base", &random_blob(90_000, 3))]);
    image(Family::Oci, "amd64", &[base, changing_layer(number)])
}
