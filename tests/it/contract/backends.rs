//! The contract of `Source`, `Target` and `Ingest`, checked against every backend.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rpull::archive::{self, Archive, ArchiveFormat, ArchiveOutput, WriteOptions};
use rpull::content::{
    self, BlobPresence, BlobRequest, BlobWriter, Effort, Incoming, Label, Lookup as _, Opened,
    Presence, Source, Target,
};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::Document;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::media::MediaType;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions};
use rpull::verifier::verify;

use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob, uncompressed};
use crate::support::live::{Access, Live, needs};
use crate::support::memory::Memory;
use crate::support::real::RealImage;
use crate::support::served_store::ServedStore;

fn small_image() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(300_000, 7))])])
}

async fn read(source: &dyn Source, descriptor: &Descriptor, from: u64) -> Bytes {
    let body = source.open_blob(BlobRequest::from(descriptor, from)).await.unwrap();
    assert_eq!(body.start, from);
    body.stream.try_collect::<BytesMut>().await.unwrap().freeze()
}

/// A source that holds this image under this name.
async fn check_source(source: &dyn Source, name: &ImageName, image: &Image) {
    let document = source.resolve(name).await.unwrap();
    assert_eq!(document.bytes(), &image.manifest.bytes, "verbatim");
    assert_eq!(document.digest(), image.manifest.digest());
    let by_digest = source.resolve(&ImageName::Digest(document.digest().clone())).await.unwrap();
    assert_eq!(by_digest.bytes(), document.bytes());
    let described = content::document(source, document.descriptor()).await.unwrap();
    assert_eq!(described.bytes(), document.bytes());
    let head = source.name(name, Effort::Request).await.unwrap();
    let head = head.present().expect("all that are tested here can tell");
    assert_eq!(
        (head.digest, head.size),
        (document.digest().clone(), document.bytes().len() as u64)
    );

    let blob = &image.layers[0];
    let size = blob.descriptor.size;
    for from in [0, 1, size / 2, size - 1] {
        let expected = blob.bytes.slice(usize::try_from(from).unwrap()..);
        assert_eq!(read(source, &blob.descriptor, from).await, expected, "from {from}");
    }

    let nobody = Digest::sha256(b"nobody has this");
    let missing = Descriptor::new(MediaType::OCI_MANIFEST, nobody.clone(), 15);
    let kinds = [
        source.resolve(&ImageName::Tag("missing".into())).await.unwrap_err().kind(),
        source.resolve(&ImageName::Digest(nobody.clone())).await.unwrap_err().kind(),
        content::document(source, &missing).await.unwrap_err().kind(),
        source.open_blob(BlobRequest::from(&missing, 0)).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 4]);

    let mut other_size = document.descriptor().clone();
    other_size.size += 1;
    let refused = content::document(source, &other_size).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Mismatch);
    let odd = Descriptor::new(MediaType::from("x/y"), "blake3:ab".parse().unwrap(), 1);
    assert_eq!(
        source.open_blob(BlobRequest::from(&odd, 0)).await.err().unwrap().kind(),
        ErrorKind::Unsupported
    );
}

async fn open(target: &dyn Target, blob: &Descriptor) -> Box<dyn BlobWriter> {
    match target.admit(blob).await.unwrap() {
        Opened::Writer(writer) => writer,
        other => panic!("nothing of it should be there, but {other:?}"),
    }
}

/// An empty target.
async fn check_target(target: Arc<dyn Target>) {
    check_partials(&*target).await;
    check_commits(&*target).await;
    check_sha512(&*target).await;
    check_writers_wait(&target).await;
    check_names(&*target).await;
}

async fn check_partials(target: &dyn Target) {
    let bytes = Bytes::from(random_blob(5000, 1));
    let blob = Descriptor::for_bytes(MediaType::from("x/y"), &bytes);
    assert_eq!(target.holds(&blob).await.unwrap(), BlobPresence::Absent);
    drop(open(target, &blob).await);
    assert_eq!(target.holds(&blob).await.unwrap(), BlobPresence::Absent, "nothing was written");

    let mut writer = open(target, &blob).await;
    assert_eq!(writer.offset(), 0);
    writer.write(bytes.slice(..1000)).await.unwrap();
    writer.write(bytes.slice(1000..2000)).await.unwrap();
    drop(writer);
    assert_eq!(target.holds(&blob).await.unwrap(), BlobPresence::Partial(2000));

    let mut writer = open(target, &blob).await;
    assert_eq!(writer.offset(), 2000);
    let Presence::Present(kept) = writer.read_back().unwrap() else { panic!("it keeps partials") };
    let kept = kept.try_collect::<BytesMut>().await.unwrap();
    assert_eq!(kept, bytes.slice(..2000));
    writer.write(bytes.slice(2000..)).await.unwrap();
    writer.commit(verify(&blob, &bytes).unwrap()).await.unwrap();
    assert_eq!(target.holds(&blob).await.unwrap(), BlobPresence::Complete);
    assert!(matches!(target.admit(&blob).await.unwrap(), Opened::Exists));
    assert_eq!(target.read(&blob, 5000, Effort::Local).await.unwrap().present().unwrap(), bytes);
    let absent = Descriptor::for_bytes(MediaType::from("x/y"), b"absent");
    assert!(target.read(&absent, 5000, Effort::Local).await.unwrap().present().is_none());
}

async fn check_commits(target: &dyn Target) {
    let bytes = Bytes::from(random_blob(3000, 2));
    let blob = Descriptor::for_bytes(MediaType::from("x/y"), &bytes);
    let other = Descriptor::for_bytes(MediaType::from("x/y"), b"other");
    let mut writer = open(target, &blob).await;
    writer.write(Bytes::from_static(b"other")).await.unwrap();
    let foreign = writer.commit(verify(&other, b"other").unwrap()).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::Mismatch, "a proof is of one blob");
    assert_ne!(target.holds(&blob).await.unwrap(), BlobPresence::Complete);

    let mut writer = open(target, &blob).await;
    writer.write(Bytes::from_static(b"wrong")).await.unwrap();
    writer.truncate().await.unwrap();
    assert_eq!(writer.offset(), 0);
    writer.write(bytes.clone()).await.unwrap();
    writer.commit(verify(&blob, &bytes).unwrap()).await.unwrap();
    assert_eq!(target.holds(&blob).await.unwrap(), BlobPresence::Complete);

    let empty = Descriptor::for_bytes(MediaType::from("x/y"), b"");
    open(target, &empty).await.commit(verify(&empty, b"").unwrap()).await.unwrap();
    assert_eq!(target.holds(&empty).await.unwrap(), BlobPresence::Complete);
}

async fn check_sha512(target: &dyn Target) {
    let sha512 = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd";
    let long = Descriptor::new(MediaType::from("x/y"), sha512.parse().unwrap(), 2);
    let mut writer = open(target, &long).await;
    writer.write(Bytes::from_static(b"{}")).await.unwrap();
    writer.commit(verify(&long, b"{}").unwrap()).await.unwrap();
    assert_eq!(target.holds(&long).await.unwrap(), BlobPresence::Complete);
}

async fn check_writers_wait(target: &Arc<dyn Target>) {
    for commits in [true, false] {
        let bytes = Bytes::from(random_blob(4000, 3 + u64::from(commits)));
        let blob = Descriptor::for_bytes(MediaType::from("x/y"), &bytes);
        let other = Descriptor::for_bytes(MediaType::from("x/y"), &bytes.slice(1..));
        let mut first = open(&**target, &blob).await;
        first.write(bytes.slice(..2500)).await.unwrap();
        let second = tokio::spawn({
            let (target, blob) = (Arc::clone(target), blob.clone());
            async move {
                match target.admit(&blob).await.unwrap() {
                    Opened::Writer(writer) => Some(writer.offset()),
                    _ => None,
                }
            }
        });
        // As long as another blob takes, the second could have been admitted too.
        tokio::task::yield_now().await;
        drop(open(&**target, &other).await);
        assert!(!second.is_finished(), "one writer at a time");
        if commits {
            first.write(bytes.slice(2500..)).await.unwrap();
            first.commit(verify(&blob, &bytes).unwrap()).await.unwrap();
            assert_eq!(second.await.unwrap(), None, "the second finds it there");
        } else {
            drop(first);
            assert_eq!(second.await.unwrap(), Some(2500), "the second goes on from there");
        }
    }
}

async fn check_names(target: &dyn Target) {
    let name = ImageName::Layout("registry.example/app:1".into());
    assert!(target.name(&name, Effort::Local).await.unwrap() == Presence::Absent);
    let label =
        Label { name: name.clone(), origins: vec!["registry.example/app".into()], index: None };
    for layers in [1_u64, 2] {
        let image = image(Family::Oci, "amd64", &[layer(&[("n", &layers.to_le_bytes())])]);
        let Descriptor { media_type, .. } = image.manifest.descriptor.clone();
        let document =
            Document::from_response(image.manifest.bytes.clone(), &media_type, None).unwrap();
        assert!(target.stored(document.descriptor()).await.unwrap().is_none());
        target.put(&document, Some(&label)).await.unwrap();
        let held = target.name(&name, Effort::Local).await.unwrap().present().unwrap();
        assert_eq!(held.digest, *document.digest(), "the latest of a name wins");
        let by_digest = ImageName::Digest(document.digest().clone());
        assert_eq!(
            target.name(&by_digest, Effort::Local).await.unwrap().present().unwrap().digest,
            held.digest
        );
        assert!(target.stored(document.descriptor()).await.unwrap().is_some());
        // Again, which changes nothing.
        target.put(&document, Some(&label)).await.unwrap();
    }
    target.settle().await.unwrap();
}

fn new_layout(sync: bool) -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let options = LayoutOptions { private: sync, sync, ..LayoutOptions::default() };
    let layout = Layout::create(&folder.path().join("layout"), options).unwrap();
    (folder, layout)
}

#[tokio::test]
async fn source_and_target_contract_memory() {
    check_target(Arc::new(Memory::default())).await;
    let (held, name) = (small_image(), ImageName::Tag("1".into()));
    check_source(&Memory::default().with(name.clone(), &held), &name, &held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn target_contract_layout() {
    for sync in [false, true] {
        let (_folder, layout) = new_layout(sync);
        check_target(Arc::new(layout)).await;
    }
}

#[tokio::test]
async fn source_contract_layout() {
    let (_folder, layout) = new_layout(false);
    let held = small_image();
    for piece in held.blobs() {
        let mut writer = open(&layout, &piece.descriptor).await;
        writer.write(piece.bytes.clone()).await.unwrap();
        writer.commit(verify(&piece.descriptor, &piece.bytes).unwrap()).await.unwrap();
    }
    let bytes = held.manifest.bytes.clone();
    let document =
        Document::from_response(bytes, &held.manifest.descriptor.media_type, None).unwrap();
    let name = ImageName::Layout("registry.example/app:1".into());
    let label = Label { name: name.clone(), origins: Vec::new(), index: None };
    layout.put(&document, Some(&label)).await.unwrap();
    check_source(&layout, &name, &held).await;
    check_source(&layout, &ImageName::Only, &held).await;
}

#[tokio::test]
async fn source_contract_registry() {
    let registry = FakeRegistry::start().await;
    let held = small_image();
    held.publish(&registry, "team/app", Some("1"));
    let reference = (registry.repository("team/app") + ":1").parse().unwrap();
    let repository = Client::new(RegistryOptions::default()).repository(&reference).unwrap();
    check_source(&repository, &ImageName::Tag("1".into()), &held).await;
}

/// A repository, which keeps no partials and is asked for names; what it took is read back from it.
async fn check_repository(host: &str) {
    let client = Client::new(RegistryOptions::default());
    let repository =
        client.repository_for_push(&format!("{host}/team/new:1").parse().unwrap()).unwrap();
    check_commits(&repository).await;
    let (held, name) = (small_image(), ImageName::Tag("1".into()));
    let bytes = held.manifest.bytes.clone();
    let document =
        Document::from_response(bytes, &held.manifest.descriptor.media_type, None).unwrap();
    let label = Label { name: name.clone(), origins: Vec::new(), index: None };
    let documents = [document];
    let image = Incoming { documents: &documents, label: &label, source: &repository };
    assert!(!repository.survey(image).await.unwrap());
    let lacking = repository.put(&documents[0], Some(&label)).await.unwrap_err();
    assert_eq!(lacking.kind(), ErrorKind::MissingBlobs, "{lacking}");
    for piece in held.blobs() {
        let mut writer = open(&repository, &piece.descriptor).await;
        writer.write(piece.bytes.clone()).await.unwrap();
        writer.commit(verify(&piece.descriptor, &piece.bytes).unwrap()).await.unwrap();
    }
    repository.put(&documents[0], Some(&label)).await.unwrap();
    check_source(&repository, &name, &held).await;
    let later = client.repository_for_push(&format!("{host}/team/new:1").parse().unwrap()).unwrap();
    assert_eq!(later.holds(&held.layers[0].descriptor).await.unwrap(), BlobPresence::Absent);
    assert!(
        later.blob(&held.layers[0].descriptor, Effort::Request).await.unwrap()
            == BlobPresence::Complete
    );
    assert!(later.survey(image).await.unwrap(), "it is all there under its name");
    assert_eq!(later.holds(&held.layers[0].descriptor).await.unwrap(), BlobPresence::Complete);
}

#[tokio::test]
async fn target_contract_registry() {
    let registry = FakeRegistry::start().await;
    check_repository(&registry.server.host()).await;
}

#[tokio::test]
async fn target_contract_docker_registry() {
    if !needs("target_contract_docker_registry", &["docker-registry"]) {
        return;
    }
    let registry = Live::start(&Access::Open);
    check_repository(registry.host()).await;
}

#[tokio::test]
async fn source_and_target_contract_serve() {
    let served = ServedStore::start().await;
    check_repository(served.host()).await;
    // The layout itself is what it serves.
    let layout = Layout::open(&served.root()).unwrap();
    check_source(&layout, &ImageName::Layout("localhost/team/new:1".into()), &small_image()).await;
}

#[tokio::test]
async fn source_contract_docker_registry() {
    if !needs("source_contract_docker_registry", &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (real, registry) = (RealImage::get(), Live::start(&Access::Open));
    real.push("v1", &format!("{}/team/app:v1", registry.host()), &["--dest-tls-verify=false"]);
    let reference = format!("{}/team/app:v1", registry.host()).parse().unwrap();
    let repository = Client::new(RegistryOptions::default()).repository(&reference).unwrap();
    check_source(&repository, &ImageName::Tag("v1".into()), &real.v1).await;
}

fn new_archive(form: ArchiveFormat) -> (tempfile::TempDir, PathBuf, Arc<dyn Target>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar");
    let options = WriteOptions {
        form,
        with_docker_manifest: false,
        expected_images: 1,
        omitted: HashSet::new(),
        modified: 0,
        sync: false,
    };
    let target = archive::write(ArchiveOutput::File(path.clone()), options).unwrap();
    (folder, path, target)
}

/// Writes the image into a new archive and opens that.
async fn archived(
    form: ArchiveFormat,
    name: &ImageName,
    held: &Image,
) -> (tempfile::TempDir, Archive) {
    let (folder, path, target) = new_archive(form);
    for piece in held.blobs() {
        let mut writer = open(&*target, &piece.descriptor).await;
        writer.write(piece.bytes.clone()).await.unwrap();
        writer.commit(verify(&piece.descriptor, &piece.bytes).unwrap()).await.unwrap();
    }
    let bytes = held.manifest.bytes.clone();
    let document =
        Document::from_response(bytes, &held.manifest.descriptor.media_type, None).unwrap();
    let label = Label { name: name.clone(), origins: Vec::new(), index: None };
    target.put(&document, Some(&label)).await.unwrap();
    assert!(!path.exists(), "it appears when it is whole");
    target.settle().await.unwrap();
    (folder, Archive::open(&path, Some(form)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn target_contract_oci_archive() {
    let (_folder, path, target) = new_archive(ArchiveFormat::Oci);
    check_target(target).await;
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn target_contract_docker_archive() {
    let (_folder, _, target) = new_archive(ArchiveFormat::Docker);
    check_partials(&*target).await;
    check_commits(&*target).await;
    check_writers_wait(&target).await;
}

#[tokio::test]
async fn source_contract_oci_archive() {
    let (name, held) = (ImageName::Layout("registry.example/app:1".into()), small_image());
    let (_folder, archive) = archived(ArchiveFormat::Oci, &name, &held).await;
    check_source(&archive, &name, &held).await;
    check_source(&archive, &ImageName::Only, &held).await;
}

#[tokio::test]
async fn source_contract_docker_archive() {
    let (name, held) = (ImageName::Layout("registry.example/app:1".into()), small_image());
    let (_folder, archive) = archived(ArchiveFormat::Docker, &name, &held).await;
    let plain = uncompressed(&held);
    check_source(&archive, &name, &plain).await;
    check_source(&archive, &ImageName::Only, &plain).await;
}
