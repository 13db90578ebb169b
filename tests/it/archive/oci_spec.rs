//! Documents of images that other tools made, as the types of `oci-spec`.

use std::path::Path;

use rpull::archive::Archive;
use rpull::config::{CONFIG_LIMIT, ImageConfig};
use rpull::content::{Effort, Lookup as _, Source as _};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::media::MediaType;
use rpull::name::ImageName;

use crate::support::images::{Family, image, index, layer};
use crate::support::writing;

const ARCHIVES: [&str; 6] = [
    "dive-test-oci-estargz-image.tar",
    "dive-test-oci-gzip-image.tar",
    "dive-test-oci-uncompressed-image.tar",
    "dive-test-oci-zstd-image.tar",
    "ggcr-hello-world-v25.tar",
    "ggcr-test_image_1.tar",
];

#[tokio::test]
async fn oci_manifest_and_config_of_real_images_are_the_same() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archives");
    for name in ARCHIVES {
        let archive = Archive::open(&dir.join(name), None).unwrap();
        let document = archive.resolve(&ImageName::Only).await.unwrap();
        let (manifest, there) = (document.manifest().unwrap(), document.to_oci_manifest().unwrap());
        let media_type = there.media_type().as_ref().map(MediaType::from);
        assert_eq!(media_type.as_ref(), Some(&document.descriptor().media_type), "{name}");
        assert_eq!(Descriptor::try_from(there.config()).unwrap(), manifest.config, "{name}");
        let layers: Vec<_> = there.layers().iter().map(Descriptor::try_from).collect();
        let layers: Vec<_> = layers.into_iter().map(Result::unwrap).collect();
        assert_eq!(layers, manifest.layers, "{name}");
        let again = Document::from_oci_manifest(&there).unwrap();
        assert_eq!(again.manifest().unwrap().layers, manifest.layers, "{name}");

        let bytes = archive.read(&manifest.config, CONFIG_LIMIT, Effort::Local).await.unwrap();
        let config = ImageConfig::parse(&bytes.present().unwrap()).unwrap();
        let there = config.to_oci_config().unwrap();
        assert_eq!(there.os().to_string(), config.os, "{name}");
        let diff_ids: Vec<_> = config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        assert_eq!(there.rootfs().diff_ids(), &diff_ids, "{name}");
        let steps = there.history().as_ref().map_or(0, Vec::len);
        assert_eq!(steps, config.history.len(), "{name}");
    }
}

#[test]
fn oci_index_keeps_platforms_and_annotations() {
    let image = image(Family::Docker, "arm64", &[layer(&[("a", b"b")])]);
    let list = index(Family::Oci, &[("arm64", image)]);
    let document = writing::document(&list.document);
    let there = document.to_oci_index().unwrap();
    let entries: Vec<Descriptor> =
        there.manifests().iter().map(|entry| entry.try_into().unwrap()).collect();
    let rpull::document::ParsedDocument::Index(here) = document.parsed() else {
        panic!("an index")
    };
    assert_eq!(entries, here.manifests);
    assert!(document.to_oci_manifest().is_err());
    assert!(writing::document(&list.images[0].manifest).to_oci_index().is_err());
}
