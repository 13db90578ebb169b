//! The contract of `Target`, `TargetWriter` and `BlobWriter`: one function for each line of the lifecycle, run on every
//! backend. A backend is accepted by these and nothing else.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::{
    BlobPresence, BlobWriter, Effort, OpenBlob, Opened, Presence, Provenance, Role, Source, Target,
    TargetPlan, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::error::{Error, ErrorKind};
use rpull::layout::{Layout, LayoutOptions};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions};
use rpull::verifier::verify;

use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, Image, image, index, layer, random_blob};
use crate::support::live::{Access, Live, needs};
use crate::support::memory::Memory;
use crate::support::served_store::ServedStore;
use crate::support::writing::{begin, document, new_archive, open, put, send, send_blobs};

/// An empty target, and what its backend promises beyond the contract.
struct End {
    target: Arc<dyn Target>,
    /// Where what was written can be looked at.
    outcome: Outcome,
    name: ImageName,
    /// Bytes that were written are there for the next writer, and two writers of one blob wait for each other.
    keeps_partials: bool,
    /// It has a form for an index.
    takes_index: bool,
    _server: Box<dyn Any + Send + Sync>,
}

enum Outcome {
    Source(Arc<dyn Source>),
    Archive(PathBuf, ArchiveFormat),
}

impl End {
    /// Whether the name stands for something.
    async fn is_named(&self) -> bool {
        match &self.outcome {
            Outcome::Source(source) => source.resolve(&self.name).await.is_ok(),
            Outcome::Archive(path, format) => match Archive::open(path, Some(*format)) {
                Ok(archive) => archive.resolve(&self.name).await.is_ok(),
                Err(_) => false,
            },
        }
    }
}

async fn memory() -> Option<End> {
    let memory = Memory::default();
    let name = ImageName::Tag("1".into());
    Some(local(Arc::new(memory.clone()), Outcome::Source(Arc::new(memory)), name, Box::new(())))
}

fn local(
    target: Arc<dyn Target>,
    outcome: Outcome,
    name: ImageName,
    server: Box<dyn Any + Send + Sync>,
) -> End {
    End { target, outcome, name, keeps_partials: true, takes_index: true, _server: server }
}

fn layout_with(sync: bool) -> End {
    let dir = tempfile::tempdir().unwrap();
    let options = LayoutOptions { private: sync, sync, ..LayoutOptions::default() };
    let layout = Layout::create(&dir.path().join("layout"), options).unwrap();
    let name = ImageName::Layout("registry.example/app:1".into());
    local(Arc::new(layout.clone()), Outcome::Source(Arc::new(layout)), name, Box::new(dir))
}

async fn layout() -> Option<End> {
    Some(layout_with(false))
}

async fn synced_layout() -> Option<End> {
    Some(layout_with(true))
}

fn archive(format: ArchiveFormat) -> End {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.tar");
    let name = ImageName::Layout("registry.example/app:1".into());
    local(new_archive(format, &path), Outcome::Archive(path, format), name, Box::new(dir))
}

async fn oci_archive() -> Option<End> {
    Some(archive(ArchiveFormat::Oci))
}

async fn docker_archive() -> Option<End> {
    Some(End { takes_index: false, ..archive(ArchiveFormat::Docker) })
}

fn repository(host: &str, server: Box<dyn Any + Send + Sync>) -> End {
    let client = Client::new(RegistryOptions::default());
    let name = format!("{host}/team/new:1").parse().unwrap();
    let repository = client.repository_for_push(&name).unwrap();
    let outcome = Outcome::Source(Arc::new(repository.clone()));
    let end = local(Arc::new(repository), outcome, ImageName::Tag("1".into()), server);
    End { keeps_partials: false, ..end }
}

async fn registry_in_memory() -> Option<End> {
    let registry = FakeRegistry::start().await;
    Some(repository(&registry.server.host(), Box::new(registry)))
}

async fn served_layout() -> Option<End> {
    let served = ServedStore::start().await;
    let host = served.host().to_owned();
    Some(repository(&host, Box::new(served)))
}

async fn debians_registry() -> Option<End> {
    if !needs("the contract of writing", &["docker-registry"]) {
        return None;
    }
    let registry = Live::start(&Access::Open);
    let host = registry.host().to_owned();
    Some(repository(&host, Box::new(registry)))
}

macro_rules! contract {
    ($($backend:ident)*) => { $(mod $backend {
        contract! { $backend:
            begin_empty_plan_then_finish_succeeds
            plan_in_order_names_image
            begin_twice_succeeds_or_is_refused
            open_blob_new_blob_starts_at_zero
            open_blob_after_drop_continues_where_bytes_are_kept
            open_blob_after_full_length_commits_without_more_bytes
            open_blob_after_commit_exists
            open_blob_twice_waits_or_writes_twice
            commit_with_proof_of_another_blob_is_refused
            commit_of_short_body_is_refused
            commit_of_long_body_is_refused
            commit_of_empty_blob_succeeds
            commit_of_sha512_blob_succeeds
            truncate_discards_written_bytes
            drop_before_commit_leaves_blob_absent
            abort_leaves_target_usable
            put_manifest_before_its_blobs_is_refused
            put_index_before_its_children_is_refused
            put_manifest_again_moves_name
            put_manifest_gives_several_names
            drop_without_finish_leaves_nothing_of_atomic_target
            calls_after_finish_are_refused
        }
    })* };
    ($backend:ident: $($line:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $line() {
            if let Some(end) = super::$backend().await {
                super::$line(end).await;
            }
        }
    )* };
}

contract! {
    memory layout synced_layout oci_archive docker_archive registry_in_memory served_layout debians_registry
}

fn app(seed: u64) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(3000, seed))])])
}

fn blob(size: usize, seed: u64) -> (Descriptor, Bytes) {
    let bytes = Bytes::from(random_blob(size, seed));
    (Descriptor::for_bytes(MediaType::from("x/y"), &bytes), bytes)
}

/// Whether the target has the blob, as [`TargetWriter::open_blob`] says.
async fn exists(writer: &dyn TargetWriter, descriptor: &Descriptor) -> bool {
    let opened = writer.open_blob(descriptor, &OpenBlob::default()).await.unwrap();
    matches!(opened, Opened::Exists)
}

async fn begin_empty_plan_then_finish_succeeds(end: End) {
    let writer = begin(&*end.target).await;
    let finished = writer.finish().await;
    // An archive that should hold an image and does not is no archive.
    assert_eq!(finished.is_ok(), !end.target.properties().atomic);
    assert!(!end.is_named().await);
}

async fn plan_in_order_names_image(end: End) {
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

async fn begin_twice_succeeds_or_is_refused(end: End) {
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

async fn open_blob_new_blob_starts_at_zero(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(5000, 1);
    drop(open(&*writer, &descriptor).await);
    let mut again = open(&*writer, &descriptor).await;
    assert_eq!(again.offset(), 0, "nothing was written");
    for part in [0..1, 1..1000, 1000..5000] {
        again.write(bytes.slice(part)).await.unwrap();
    }
    again.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

/// Writes the first bytes of a blob, and drops the writer; gives the next one, which has them or begins anew.
async fn interrupted(
    end: &End,
    writer: &dyn TargetWriter,
    (descriptor, bytes): &(Descriptor, Bytes),
    length: usize,
) -> Box<dyn BlobWriter> {
    let mut first = open(writer, descriptor).await;
    first.write(bytes.slice(..length)).await.unwrap();
    drop(first);
    let kept = if end.keeps_partials { length } else { 0 };
    let presence = end.target.blob(descriptor, Effort::Local).await.unwrap();
    let partial = BlobPresence::Partial(kept as u64);
    assert_eq!(presence, if kept > 0 { partial } else { BlobPresence::Unknown });
    let mut next = open(writer, descriptor).await;
    assert_eq!(next.offset(), kept as u64);
    match next.read_back().unwrap() {
        Presence::Present(prefix) => {
            let prefix = prefix.try_collect::<BytesMut>().await.unwrap();
            assert_eq!(prefix, bytes.slice(..kept));
        }
        other => assert!(!end.keeps_partials, "{}", matches!(other, Presence::Unknown)),
    }
    next
}

async fn open_blob_after_drop_continues_where_bytes_are_kept(end: End) {
    let writer = begin(&*end.target).await;
    for (seed, length) in [(1, 1), (2, 2000), (3, 4999)] {
        let piece = blob(5000, seed);
        let mut next = interrupted(&end, &*writer, &piece, length).await;
        let offset = usize::try_from(next.offset()).unwrap();
        next.write(piece.1.slice(offset..)).await.unwrap();
        next.commit(verify(&piece.0, &piece.1).unwrap()).await.unwrap();
        assert!(exists(&*writer, &piece.0).await);
    }
}

async fn open_blob_after_full_length_commits_without_more_bytes(end: End) {
    let writer = begin(&*end.target).await;
    let piece = blob(5000, 1);
    let mut next = interrupted(&end, &*writer, &piece, 5000).await;
    if next.offset() == 0 {
        next.write(piece.1.clone()).await.unwrap();
    }
    next.commit(verify(&piece.0, &piece.1).unwrap()).await.unwrap();
    assert!(exists(&*writer, &piece.0).await);
}

async fn open_blob_after_commit_exists(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(5000, 1);
    send(&*writer, &descriptor, &bytes).await;
    assert!(exists(&*writer, &descriptor).await);
    let (other, bytes) = blob(10, 2);
    send(&*writer, &other, &bytes).await;
    assert!(exists(&*writer, &descriptor).await, "whatever comes afterwards");
}

async fn open_blob_twice_waits_or_writes_twice(end: End) {
    let writer = begin(&*end.target).await;
    for commits in [true, false] {
        let (descriptor, bytes) = blob(4000, 3 + u64::from(commits));
        let proof = || verify(&descriptor, &bytes).unwrap();
        let mut first = open(&*writer, &descriptor).await;
        first.write(bytes.slice(..2500)).await.unwrap();
        let opening = tokio::spawn({
            let (writer, descriptor) = (Arc::clone(&writer), descriptor.clone());
            async move { writer.open_blob(&descriptor, &OpenBlob::default()).await.unwrap() }
        });
        if end.keeps_partials {
            // As long as another blob takes, the second could have been opened too.
            tokio::task::yield_now().await;
            drop(open(&*writer, &blob(10, 9).0).await);
            assert!(!opening.is_finished(), "one writer at a time");
        }
        if commits {
            first.write(bytes.slice(2500..)).await.unwrap();
            first.commit(proof()).await.unwrap();
        } else {
            drop(first);
        }
        if let Opened::Writer(mut second) = opening.await.unwrap() {
            assert!(!(commits && end.keeps_partials), "the second finds it there");
            let offset = usize::try_from(second.offset()).unwrap();
            assert_eq!(offset, if end.keeps_partials { 2500 } else { 0 });
            second.write(bytes.slice(offset..)).await.unwrap();
            second.commit(proof()).await.unwrap();
        }
        assert!(exists(&*writer, &descriptor).await);
    }
}

/// A commit that is to be refused, after which the blob can still come.
async fn refused(
    writer: &dyn TargetWriter,
    (descriptor, bytes): &(Descriptor, Bytes),
    commit: impl Future<Output = Result<(), Error>>,
) {
    assert_eq!(commit.await.unwrap_err().kind(), ErrorKind::Mismatch);
    let mut again = open(writer, descriptor).await;
    again.truncate().await.unwrap();
    again.write(bytes.clone()).await.unwrap();
    again.commit(verify(descriptor, bytes).unwrap()).await.unwrap();
    assert!(exists(writer, descriptor).await);
}

async fn commit_with_proof_of_another_blob_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let (piece, other) = (blob(3000, 1), blob(3000, 2));
    let mut wrong = open(&*writer, &piece.0).await;
    wrong.write(other.1.clone()).await.unwrap();
    refused(&*writer, &piece, wrong.commit(verify(&other.0, &other.1).unwrap())).await;
}

async fn commit_of_short_body_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let piece = blob(3000, 1);
    let mut short = open(&*writer, &piece.0).await;
    short.write(piece.1.slice(..2999)).await.unwrap();
    refused(&*writer, &piece, short.commit(verify(&piece.0, &piece.1).unwrap())).await;
}

/// The blob after it is not damaged either.
async fn commit_of_long_body_is_refused(end: End) {
    let writer = begin(&*end.target).await;
    let (piece, next) = (blob(512, 1), blob(512, 2));
    let mut long = open(&*writer, &piece.0).await;
    send(&*writer, &next.0, &next.1).await;
    long.write(piece.1.clone()).await.unwrap();
    let proof = verify(&piece.0, &piece.1).unwrap();
    let commit = async {
        long.write(Bytes::from(vec![7; 2000])).await?;
        long.commit(proof).await
    };
    refused(&*writer, &piece, commit).await;
    assert!(exists(&*writer, &next.0).await);
}

async fn commit_of_empty_blob_succeeds(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(0, 1);
    let empty = open(&*writer, &descriptor).await;
    empty.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

/// Not every registry knows the algorithm.
async fn commit_of_sha512_blob_succeeds(end: End) {
    if !end.keeps_partials {
        return;
    }
    let sha512 = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd";
    let descriptor = Descriptor::new(MediaType::from("x/y"), sha512.parse().unwrap(), 2);
    let writer = begin(&*end.target).await;
    send(&*writer, &descriptor, &Bytes::from_static(b"{}")).await;
    assert!(exists(&*writer, &descriptor).await);
}

async fn truncate_discards_written_bytes(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut blob = open(&*writer, &descriptor).await;
    for wrong in [5, 2900] {
        blob.write(Bytes::from(vec![7; wrong])).await.unwrap();
        blob.truncate().await.unwrap();
        assert_eq!(blob.offset(), 0);
    }
    blob.write(bytes.slice(..1)).await.unwrap();
    blob.write(bytes.slice(1..)).await.unwrap();
    blob.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
    assert!(exists(&*writer, &descriptor).await);
}

async fn drop_before_commit_leaves_blob_absent(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut dropped = open(&*writer, &descriptor).await;
    dropped.write(bytes).await.unwrap();
    drop(dropped);
    assert!(!exists(&*writer, &descriptor).await);
}

async fn abort_leaves_target_usable(end: End) {
    let writer = begin(&*end.target).await;
    let (descriptor, bytes) = blob(3000, 1);
    let mut aborted = open(&*writer, &descriptor).await;
    aborted.write(bytes.slice(..100)).await.unwrap();
    aborted.abort(&Error::new(ErrorKind::NotFound, "the rest")).await;
    assert!(!exists(&*writer, &descriptor).await);
    let mut again = open(&*writer, &descriptor).await;
    again.truncate().await.unwrap();
    again.write(bytes.clone()).await.unwrap();
    again.commit(verify(&descriptor, &bytes).unwrap()).await.unwrap();
}

async fn put_manifest_before_its_blobs_is_refused(end: End) {
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

async fn put_index_before_its_children_is_refused(end: End) {
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

async fn put_manifest_again_moves_name(end: End) {
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

async fn put_manifest_gives_several_names(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    send_blobs(&*writer, &image).await;
    let other = match &end.name {
        ImageName::Tag(_) => ImageName::Tag("2".into()),
        _ => ImageName::Layout("registry.example/app:2".into()),
    };
    let names = [end.name.clone(), other.clone()];
    let role = Role::Root { names: &names, provenance: &Provenance::default() };
    writer.put_manifest(&document(&image.manifest), role).await.unwrap();
    writer.finish().await.unwrap();
    assert!(end.is_named().await);
    assert!(End { name: other, ..end }.is_named().await);
}

async fn drop_without_finish_leaves_nothing_of_atomic_target(end: End) {
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

async fn calls_after_finish_are_refused(end: End) {
    let writer = begin(&*end.target).await;
    let image = app(1);
    let manifest = document(&image.manifest);
    send_blobs(&*writer, &image).await;
    put(&*writer, &manifest, &end.name).await.unwrap();
    writer.finish().await.unwrap();
    let late = [
        writer.open_blob(&blob(10, 9).0, &OpenBlob::default()).await.map(drop),
        put(&*writer, &manifest, &end.name).await,
        writer.finish().await,
    ];
    for late in late {
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(end.is_named().await, "it has what it had");
}
