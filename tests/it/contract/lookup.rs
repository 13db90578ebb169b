//! What every backend answers to each question of [`Lookup`], for what cost; and which bytes of a blob it gives.

use std::any::Any;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rpull::archive::{self, Archive, ArchiveFormat, ArchiveOutput, WriteOptions};
use rpull::content::{
    BlobPresence, BlobRequest, Effort, Lookup as _, Presence, Source, Target, is_same_endpoint,
};
use rpull::descriptor::Descriptor;
use rpull::engine_store::{ContainerdRoot, DockerRoot};
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::media::MediaType;
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions, Repository};
use rpull::retry::RetryPolicy;
use rpull::transfer::{ImageRequest, TransferOptions, transfer};

use super::own_backend::Directory;
use crate::support::containerd_root::ContainerdRootDir;
use crate::support::docker_root::DockerRootDir;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, Image, image, layer, random_blob, uncompressed};
use crate::support::live::{Access, Live, needs};
use crate::support::memory::WithImage as _;
use crate::support::served_store::ServedStore;

/// One that holds an image under a name.
struct Backend {
    what: &'static str,
    source: Arc<dyn Source>,
    name: ImageName,
    image: Image,
    /// What it is on: a directory, a server.
    _base: Box<dyn Any>,
}

impl Backend {
    fn is_remote(&self) -> bool {
        self.source.endpoint().address.is_some()
    }

    /// Asks, and checks how many requests that took at a registry.
    async fn ask<T>(&self, requests: u64, question: impl Future<Output = T>) -> T {
        let before = self.source.requests().total();
        let answer = question.await;
        let expected = if self.is_remote() { requests } else { 0 };
        assert_eq!(self.source.requests().total() - before, expected, "{}", self.what);
        answer
    }
}

fn small_image() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(300_000, 7))])])
}

/// Brings the image to the target, as a run does.
async fn fill(target: Arc<dyn Target>, name: &ImageName, image: &Image) {
    let tag = ImageName::Tag("1".into());
    let wanted = ImageRequest::new(Arc::new(Memory::default().with(tag.clone(), image)), tag)
        .reference("memory")
        .target_name(name.clone());
    let options = TransferOptions::default().retry(RetryPolicy::default());
    let result = transfer(&[wanted], &target, options).await.remove(0);
    assert!(result.error.is_none(), "{:?}", result.error);
}

fn repository(host: &str) -> Repository {
    let client = Client::new(RegistryOptions::default());
    client.repository_for_push(&format!("{host}/team/app:1").parse().unwrap()).unwrap()
}

async fn registry(what: &'static str, host: &str, base: impl Any) -> Backend {
    let (name, image) = (ImageName::Tag("1".into()), small_image());
    fill(Arc::new(repository(host)), &name, &image).await;
    Backend { what, source: Arc::new(repository(host)), name, image, _base: Box::new(base) }
}

async fn archive(what: &'static str, format: ArchiveFormat) -> Backend {
    let (name, image) = (ImageName::Layout("registry.example/app:1".into()), small_image());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.tar");
    let options = WriteOptions::default().format(format);
    fill(archive::write(ArchiveOutput::File(path.clone()), options).unwrap(), &name, &image).await;
    let source = Arc::new(Archive::open(&path, Some(format)).unwrap());
    source.resolve(&name).await.unwrap();
    let image = if format == ArchiveFormat::Docker { uncompressed(&image) } else { image };
    Backend { what, source, name, image, _base: Box::new(dir) }
}

/// All that need nothing but this program.
async fn backends() -> Vec<Backend> {
    let (name, image) = (ImageName::Layout("registry.example/app:1".into()), small_image());
    let memory = Arc::new(Memory::default().with(name.clone(), &image));
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(&dir.path().join("layout"), LayoutOptions::default()).unwrap();
    fill(Arc::new(layout.clone()), &name, &image).await;
    let own_dir = tempfile::tempdir().unwrap();
    let own = Directory::open(own_dir.path()).unwrap();
    fill(Arc::new(own.clone()), &name, &image).await;
    let containerd = ContainerdRootDir::new();
    containerd.add(&image);
    let mut docker = DockerRootDir::new();
    let docker_image = docker.add(Some("registry.example/app:1"), &image);
    let (fake, served) = (FakeRegistry::start().await, ServedStore::start().await);
    let (fake_host, served_host) = (fake.server.host(), served.host().to_owned());
    vec![
        Backend {
            what: "memory",
            source: memory,
            name: name.clone(),
            image: image.clone(),
            _base: Box::new(()),
        },
        Backend {
            what: "own backend",
            source: Arc::new(own),
            name: name.clone(),
            image: image.clone(),
            _base: Box::new(own_dir),
        },
        Backend {
            what: "containerd-root",
            source: Arc::new(ContainerdRoot::open(containerd.path()).unwrap()),
            name: ImageName::Only,
            image: image.clone(),
            _base: Box::new(containerd),
        },
        Backend {
            what: "docker-root",
            source: Arc::new(DockerRoot::open(docker.path()).unwrap()),
            name: name.clone(),
            image: docker_image,
            _base: Box::new(docker),
        },
        Backend { what: "layout", source: Arc::new(layout), name, image, _base: Box::new(dir) },
        archive("oci-archive", ArchiveFormat::Oci).await,
        archive("docker-archive", ArchiveFormat::Docker).await,
        registry("registry", &fake_host, fake).await,
        registry("serve", &served_host, served).await,
    ]
}

fn nobody_has() -> Descriptor {
    Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"missing content")
}

fn other_size(descriptor: &Descriptor) -> Descriptor {
    let mut other = descriptor.clone();
    other.size += 1;
    other
}

async fn check_name_local(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let missing = ImageName::Tag("missing".into());
    let found = backend.ask(0, source.name(&backend.name, Effort::Local)).await.unwrap();
    let absent = backend.ask(0, source.name(&missing, Effort::Local)).await.unwrap();
    if backend.is_remote() {
        assert_eq!((found, absent), (Presence::Unknown, Presence::Unknown), "{what}");
    } else {
        let digest = backend.image.manifest.digest();
        assert_eq!(found.present().map(|found| found.digest).as_ref(), Some(digest), "{what}");
        assert_eq!(absent, Presence::Absent, "{what}");
    }
}

async fn check_name_request(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let manifest = &backend.image.manifest;
    let by_digest = ImageName::Digest(manifest.digest().clone());
    for name in [&backend.name, &by_digest] {
        let found = backend.ask(1, source.name(name, Effort::Request)).await.unwrap();
        let found = found.present().expect(what);
        assert_eq!((&found.digest, found.size), (manifest.digest(), manifest.descriptor.size));
        assert!(found.media_type.is_document(), "{what}");
    }
    for missing in [ImageName::Tag("missing".into()), ImageName::Digest(nobody_has().digest)] {
        let absent = backend.ask(1, source.name(&missing, Effort::Request)).await.unwrap();
        assert_eq!(absent, Presence::Absent, "{what}: {missing}");
    }
}

async fn check_read_local(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let config = &backend.image.config;
    for piece in [&backend.image.manifest, config] {
        let read = backend.ask(0, source.read(&piece.descriptor, 1 << 20, Effort::Local)).await;
        if backend.is_remote() {
            assert_eq!(read.unwrap(), Presence::Unknown, "{what}");
            continue;
        }
        assert_eq!(read.unwrap(), Presence::Present(piece.bytes.clone()), "{what}");
        let wrong = other_size(&piece.descriptor);
        let refused = source.read(&wrong, 1 << 20, Effort::Local).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Mismatch, "{what}");
    }
    if !backend.is_remote() {
        let absent = source.read(&nobody_has(), 1 << 20, Effort::Local).await.unwrap();
        assert_eq!(absent, Presence::Absent, "{what}");
    }
}

async fn check_read_request(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let config = &backend.image.config;
    for piece in [&backend.image.manifest, config] {
        let read = source.read(&piece.descriptor, 1 << 20, Effort::Request);
        let read = backend.ask(1, read).await.unwrap();
        assert_eq!(read, Presence::Present(piece.bytes.clone()), "{what}");
        let wrong = other_size(&piece.descriptor);
        let refused = source.read(&wrong, 1 << 20, Effort::Request).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Mismatch, "{what}");
    }
    for media_type in [MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG] {
        let mut missing = nobody_has();
        missing.media_type = media_type;
        let absent = backend.ask(1, source.read(&missing, 1 << 20, Effort::Request)).await;
        assert_eq!(absent.unwrap(), Presence::Absent, "{what}");
    }
}

async fn check_blob_local(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let blob = &backend.image.layers[0].descriptor;
    let found = backend.ask(0, source.blob(blob, Effort::Local)).await.unwrap();
    let absent = backend.ask(0, source.blob(&nobody_has(), Effort::Local)).await.unwrap();
    if backend.is_remote() {
        assert_eq!((found, absent), (BlobPresence::Unknown, BlobPresence::Unknown), "{what}");
        return;
    }
    assert_eq!((found, absent), (BlobPresence::Complete, BlobPresence::Absent), "{what}");
    let damaged = source.blob(&other_size(blob), Effort::Local).await.unwrap();
    assert_ne!(damaged, BlobPresence::Complete, "{what}");
}

async fn check_blob_request(backend: &Backend) {
    let (source, what) = (&backend.source, backend.what);
    let blob = &backend.image.layers[0].descriptor;
    let found = backend.ask(1, source.blob(blob, Effort::Request)).await.unwrap();
    let absent = backend.ask(1, source.blob(&nobody_has(), Effort::Request)).await.unwrap();
    assert_eq!((found, absent), (BlobPresence::Complete, BlobPresence::Absent), "{what}");
    let damaged = backend.ask(1, source.blob(&other_size(blob), Effort::Request)).await.unwrap();
    assert_ne!(damaged, BlobPresence::Complete, "{what}");
}

async fn read(source: &dyn Source, request: BlobRequest<'_>) -> (u64, Bytes) {
    let stream = source.open_blob(request).await.unwrap();
    let bytes = stream.stream.try_collect::<BytesMut>().await.unwrap();
    (stream.start, bytes.freeze())
}

async fn check_ranges(backend: &Backend) {
    let blob = &backend.image.layers[0];
    let (descriptor, size) = (&blob.descriptor, blob.descriptor.size);
    for range in [0..size, 0..1, 1..size, size / 3..size / 2, size - 1..size] {
        let request = BlobRequest::starting_at(descriptor, 0).range(range.clone());
        let (start, bytes) = backend.ask(1, read(&*backend.source, request)).await;
        assert_eq!(start, range.start, "{}: {range:?}", backend.what);
        let at = |position| usize::try_from(position).unwrap();
        let expected = blob.bytes.slice(at(range.start)..at(range.end));
        assert!(bytes == expected, "{}: {range:?}", backend.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_name_without_requests_is_known_on_this_machine_only() {
    for backend in backends().await {
        check_name_local(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_name_with_a_request_gives_its_descriptor() {
    for backend in backends().await {
        check_name_request(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_read_without_requests_verifies_local_content() {
    for backend in backends().await {
        check_read_local(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_read_with_a_request_verifies_documents_and_blobs() {
    for backend in backends().await {
        check_read_request(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_blob_without_requests_is_known_on_this_machine_only() {
    for backend in backends().await {
        check_blob_local(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookup_blob_with_a_request_compares_its_size() {
    for backend in backends().await {
        check_blob_request(&backend).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn source_open_blob_gives_closed_ranges() {
    for backend in backends().await {
        check_ranges(&backend).await;
    }
}

#[tokio::test]
async fn lookup_docker_registry_keeps_the_contract() {
    if !needs("lookup_docker_registry_keeps_the_contract", &["docker-registry"]) {
        return;
    }
    let live = Live::start(&Access::Open);
    let host = live.host().to_owned();
    let backend = registry("docker-registry", &host, live).await;
    check_name_local(&backend).await;
    check_name_request(&backend).await;
    check_read_local(&backend).await;
    check_read_request(&backend).await;
    check_blob_local(&backend).await;
    check_blob_request(&backend).await;
    check_ranges(&backend).await;
}

#[tokio::test]
async fn lookup_registry_refusing_to_answer_is_unknown_and_not_absent() {
    for status in [401, 403, 405, 501] {
        let registry = FakeRegistry::start().await;
        let image = small_image();
        image.publish(&registry, "team/app", Some("1"));
        for part in ["/blobs/", "HEAD /v2/team/app/manifests/"] {
            registry.fail_requests(part, 0..9, Reply::error(status, "DENIED", "not for you"));
        }
        let repository = repository(&registry.server.host());
        let blob = &image.layers[0].descriptor;
        let found = repository.blob(blob, Effort::Request).await.unwrap();
        assert_eq!(found, BlobPresence::Unknown, "{status}");
    }
}

#[tokio::test]
async fn source_range_ignored_gives_the_whole_blob() {
    let registry = FakeRegistry::start().await;
    let image = small_image();
    image.publish(&registry, "team/app", Some("1"));
    let blob = &image.layers[0];
    let whole = Reply::new(200, blob.bytes.clone());
    registry.fail_requests("/blobs/", 0..9, whole);
    let request = BlobRequest::starting_at(&blob.descriptor, 0).range(10..20);
    let (start, bytes) = read(&repository(&registry.server.host()), request).await;
    assert_eq!((start, bytes), (0, blob.bytes.clone()));
}

#[tokio::test]
async fn endpoint_is_shared_by_the_handles_of_one_repository_only() {
    let client = Client::new(RegistryOptions::default());
    let open = |text: &str| client.repository(&text.parse().unwrap()).unwrap();
    let (one, again, other) = (open("r.example/a:1"), open("r.example/a:2"), open("r.example/b:1"));
    assert!(is_same_endpoint(&one, &again) && is_same_endpoint(&one, &one.clone()));
    assert!(!is_same_endpoint(&one, &other));
    assert!(
        !is_same_endpoint(&Memory::default(), &Memory::default()),
        "although they have one location"
    );
}
