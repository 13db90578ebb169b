//! Sources and targets of the builders, by text and as handles.

use std::sync::Arc;

use rpull::archive::Archive;
use rpull::layout::LayoutOptions;
use rpull::transfer::BlobState;
use rpull::{Artifact, Copy, ImageSource, ImageTarget, Layout, Memory, Pull, Push};

use super::client;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, random_blob, raw};

/// A memory with an image of this many bytes under this name.
async fn memory_with(name: &str, bytes: usize) -> Memory {
    let artifact = Artifact::builder("x/y").layer("x/z", random_blob(bytes, 7)).build().unwrap();
    let memory = Memory::default();
    Copy::new().image(artifact).to(ImageTarget::from(&memory).named(name)).await.unwrap();
    memory
}

#[tokio::test]
async fn archive_holds_all_images_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.tar");
    let (first, second) =
        (memory_with("a.test/a:1", 10).await, memory_with("a.test/b:1", 20).await);
    let target = format!("oci-archive:{}", path.display());
    Copy::new().image(&first).to(&target).await.unwrap_err();
    let first = ImageSource::from(&first).named("a.test/a:1");
    let second = ImageSource::from(&second).named("a.test/b:1");
    Copy::new().image(first).to(&target).image(second).to(&target).await.unwrap();

    let archive = Archive::open(&path, None).unwrap();
    let names: Vec<_> = archive.names().flatten().cloned().collect();
    assert_eq!(names, ["a.test/a:1", "a.test/b:1"]);
    let memory = Memory::default();
    Copy::new().image(ImageSource::from(archive).named("a.test/b:1")).to(&memory).await.unwrap();
    let back = Copy::new().image(ImageSource::from(&memory).named("a.test/b:1"));
    let report = back.to(&memory_with("a.test/b:1", 20).await).await.unwrap();
    assert_eq!(report.images[0].report.bytes.transferred, 0);
}

#[tokio::test]
async fn plan_shows_missing_blobs_and_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let memory = memory_with("a.test/a:1", 10).await;
    let image = ImageSource::from(&memory).named("a.test/a:1");
    let copy = Copy::new().image(image).to(format!("oci:{}", path.display()));
    let plan = copy.plan().await;
    assert_eq!(plan[0].report.bytes.missing, 12);
    assert!(plan[0].report.blobs.iter().all(|blob| blob.state == BlobState::Missing));
    assert!(!path.exists());
    copy.await.unwrap();
    assert_eq!(Layout::open(&path).unwrap().entries().unwrap().len(), 1);
}

#[tokio::test]
async fn image_keeps_its_own_name_at_open_targets() {
    let registry = FakeRegistry::start().await;
    raw(Family::Oci, random_blob(10, 1)).publish(&registry, "app", Some("1"));
    let name = registry.repository("app") + ":1";
    let dir = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::create(dir.path(), LayoutOptions::default()).unwrap());
    let copy = registry.repository("copy").parse().unwrap();
    let repository = client().repository_for_push(&copy).unwrap();
    let pull = Pull::new(&name).client(client()).to(Arc::clone(&layout)).to(repository.clone());
    pull.to(ImageTarget::from(repository).named("other")).await.unwrap();
    assert!(layout.entry(&name).unwrap().is_some());
    let digest = registry.tagged("app", "1");
    assert_eq!(
        (registry.tagged("copy", "1"), registry.tagged("copy", "other")),
        (digest.clone(), digest)
    );
}

#[tokio::test]
async fn push_from_layout_finds_image_by_name() {
    let registry = FakeRegistry::start().await;
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path(), LayoutOptions::default()).unwrap();
    let memory = memory_with("docker.io/library/app:1", 10).await;
    Copy::new().image(ImageSource::from(&memory).named("app:1")).to(&layout).await.unwrap();
    let image = ImageSource::from(&layout).named("app:1");
    Push::new(image).client(client()).to(registry.repository("app") + ":2").await.unwrap();
    assert!(registry.tagged("app", "2").is_some());
}
