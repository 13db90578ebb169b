//! Runs: their plan, their manifests and their end.

use rpull::content::{BlobPresence, OpenBlobOptions, Provenance, Role, TargetPlan};
use rpull::error::ErrorKind;

use super::ends::{End, Outcome};
use super::{app, blob, exists};
use crate::support::images::{Blob, Family, index, referrer_to};
use crate::support::writing::{begin, document, put, send, send_blobs};

pub(super) async fn begin_empty_plan_then_finish_succeeds(end: End) {
    let writer = begin(&*end.target).await;
    let finished = writer.finish().await;
    // An archive that should hold an image and does not is no archive.
    assert_eq!(finished.is_ok(), !end.target.properties().atomic);
    assert!(!end.is_named().await);
}

pub(super) async fn plan_in_order_names_image(end: End) {
    let (image, atomic) = (app(1), end.target.properties().atomic);
    let manifest = document(&image.manifest);
    let mut plan = TargetPlan::default();
    plan.documents = vec![&manifest];
    plan.blobs = image.blobs().map(|piece| (&piece.descriptor, BlobPresence::Absent)).collect();
    plan.names = vec![(manifest.digest(), &end.name)];
    let writer = end.target.begin(&plan).await.unwrap();
    send_blobs(&*writer, &image).await;
    assert!(!end.is_named().await, "not before its manifest");
    put(&*writer, &manifest, &end.name).await.unwrap();
    assert_eq!(end.is_named().await, !atomic);
    writer.finish().await.unwrap();
    assert!(end.is_named().await);
}

pub(super) async fn begin_twice_succeeds_or_is_refused(end: End) {
    let first = begin(&*end.target).await;
    match end.target.begin(&TargetPlan::default()).await {
        Ok(second) => {
            assert!(!end.target.properties().atomic, "an archive has one run");
            let (descriptor, bytes) = blob(100, 1);
            send(&*second, &descriptor, &bytes).await;
            assert!(exists(&*first, &descriptor).await, "both write to the same target");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let (descriptor, bytes) = blob(100, 1);
            send(&*first, &descriptor, &bytes).await;
        }
    }
}

pub(super) async fn put_manifest_before_its_blobs_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    let manifest = document(&image.manifest);
    for (sent, piece) in image.blobs().enumerate() {
        let early = put(&*writer, &manifest, &end.name).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::MissingBlobs, "{early}");
        let is_named = |lacking: &Blob| early.missing().contains(lacking.digest());
        assert!(image.blobs().skip(sent).any(is_named), "{early}");
        assert!(!end.is_named().await);
        send(&*writer, &piece.descriptor, &piece.bytes).await;
    }
    put(&*writer, &manifest, &end.name).await.unwrap();
    writer.finish().await.unwrap();
    assert!(end.is_named().await);
}

pub(super) async fn put_index_before_its_children_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let list = index(Family::Oci, &[("amd64", app(1))]);
    let parent = document(&list.document);
    let early = put(&*writer, &parent, &end.name).await.unwrap_err();
    if !end.takes_index {
        assert_eq!(early.kind(), ErrorKind::Unsupported);
        return;
    }
    assert_eq!(early.kind(), ErrorKind::MissingBlobs, "{early}");
    assert!(!end.is_named().await);
    for child in list.images.iter().chain(&list.attestations) {
        send_blobs(&*writer, child).await;
        writer.put_manifest(&document(&child.manifest), Role::Child).await.unwrap();
    }
    put(&*writer, &parent, &end.name).await.unwrap();
    writer.finish().await.unwrap();
    assert!(end.is_named().await);
}

pub(super) async fn put_manifest_again_moves_name(end: End) {
    let writer = begin(&*end.target).await;
    let images = [app(1), app(2)];
    for image in &images {
        let manifest = document(&image.manifest);
        for piece in image.blobs() {
            send(&*writer, &piece.descriptor, &piece.bytes).await;
        }
        put(&*writer, &manifest, &end.name).await.unwrap();
        put(&*writer, &manifest, &end.name).await.unwrap();
    }
    writer.finish().await.unwrap();
    if let Outcome::Source(source) = &end.outcome {
        let named = source.resolve(&end.name).await.unwrap();
        assert_eq!(named.digest(), images[1].manifest.digest(), "the latest of a name wins");
    }
    assert!(end.is_named().await);
}

pub(super) async fn put_manifest_gives_several_names(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    send_blobs(&*writer, &image).await;
    let names = [end.name.clone(), end.other_name()];
    let role = Role::Root { names: &names, provenance: &Provenance::default() };
    writer.put_manifest(&document(&image.manifest), role).await.unwrap();
    writer.finish().await.unwrap();
    for name in &names {
        assert!(end.has(name).await, "{name}");
    }
}

pub(super) async fn put_attached_before_its_image_keeps_both(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    let artifact = referrer_to(&image.manifest, "application/vnd.example.sbom");
    send_blobs(&*writer, &artifact).await;
    let names = [end.other_name()];
    let role = Role::Attached { names: &names, provenance: &Provenance::default() };
    let attached = writer.put_manifest(&document(&artifact.manifest), role).await;
    if !end.takes_index {
        assert_eq!(attached.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    attached.unwrap();
    send_blobs(&*writer, &image).await;
    put(&*writer, &document(&image.manifest), &end.name).await.unwrap();
    writer.finish().await.unwrap();
    assert!(end.is_named().await && end.has(&names[0]).await);
}

pub(super) async fn drop_without_finish_leaves_nothing_of_atomic_target(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    send_blobs(&*writer, &image).await;
    put(&*writer, &document(&image.manifest), &end.name).await.unwrap();
    drop(writer);
    let atomic = end.target.properties().atomic;
    assert_eq!(end.is_named().await, !atomic);
    if let Outcome::Archive(path, _) = end.outcome {
        drop(end.target);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }
}

pub(super) async fn calls_after_finish_are_refused(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    let manifest = document(&image.manifest);
    send_blobs(&*writer, &image).await;
    put(&*writer, &manifest, &end.name).await.unwrap();
    writer.finish().await.unwrap();
    let late = [
        writer.open_blob(&blob(10, 9).0, &OpenBlobOptions::default()).await.map(drop),
        put(&*writer, &manifest, &end.name).await,
        writer.finish().await,
    ];
    for late in late {
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(end.is_named().await, "it has what it had");
}
