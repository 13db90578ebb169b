//! The examples; those that need a registry run against one in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpull::Event;

use crate::support::entries::{TarItem, layer_of, tar};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image};

#[path = "../../../examples/copy_many.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod copy_many;
#[path = "../../../examples/pull.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod pull;
#[path = "../../../examples/rebuild.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod rebuild;
#[path = "../../../examples/unpack.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod unpack;

fn sample(content: &str) -> Image {
    image(Family::Oci, "amd64", &[layer_of(&[TarItem::file("file", content)])])
}

#[tokio::test]
async fn example_pull_reads_config_from_memory() {
    let registry = FakeRegistry::start().await;
    sample("a").publish(&registry, "app", Some("1"));
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    let count = move |event: &Event<'_>| {
        counter.fetch_add(usize::from(matches!(event, Event::Committed { .. })), Ordering::Relaxed);
    };
    let config = pull::pull(&(registry.repository("app") + ":1"), count).await.unwrap();
    assert_eq!((&*config.os, &*config.architecture), ("linux", "amd64"));
    assert_eq!(commits.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn example_copy_many_names_every_tag_at_both_targets() {
    let registry = FakeRegistry::start().await;
    let other = FakeRegistry::start().await;
    let images = [("1", sample("a")), ("2", sample("b"))];
    for (tag, image) in &images {
        image.publish(&registry, "app", Some(tag));
    }
    let to = [registry.repository("first"), other.repository("second")];
    let tags = ["1".to_owned(), "2".to_owned()];
    let report =
        copy_many::copy(&registry.repository("app"), [&to[0], &to[1]], &tags).await.unwrap();
    assert_eq!(report.images.len(), 4);
    for (tag, image) in &images {
        let digest = image.manifest.descriptor.digest.to_string();
        assert_eq!(registry.tagged("first", tag).as_ref(), Some(&digest));
        assert_eq!(other.tagged("second", tag).as_ref(), Some(&digest));
    }
}

#[tokio::test]
async fn example_unpack_creates_root_from_registry() {
    let registry = FakeRegistry::start().await;
    sample("content").publish(&registry, "app", Some("1"));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    assert_eq!(unpack::unpack(&(registry.repository("app") + ":1"), &root).await.unwrap(), 1);
    assert_eq!(std::fs::read_to_string(root.join("file")).unwrap(), "content");
}

#[test]
fn example_rebuild_writes_the_blob_again() {
    let dir = tempfile::tempdir().unwrap();
    let [blob, plain, record, again] =
        ["blob", "plain", "record", "again"].map(|name| dir.path().join(name));
    let item = [TarItem::file("file", "content")];
    let layer = layer_of(&item);
    std::fs::write(&blob, &layer.bytes).unwrap();
    std::fs::write(&plain, tar(&item)).unwrap();
    assert_eq!(rebuild::make(&blob, &record).unwrap().blob_size(), layer.bytes.len() as u64);
    rebuild::replay(&record, &plain, &again).unwrap();
    assert_eq!(std::fs::read(again).unwrap(), layer.bytes);
}
