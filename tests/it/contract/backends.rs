//! The contract of `Source`, checked against every backend; `writing` checks that of `Target`.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::{self, BlobPresence, BlobRequest, Effort, Lookup as _, Source};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::engine_store::{ContainerdRoot, DockerRoot};
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::media::MediaType;
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::registry::{Client, RegistryOptions};

use crate::support::containerd_root::ContainerdRootDir;
use crate::support::docker_root::DockerRootDir;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob, uncompressed};
use crate::support::live::{Access, Live, needs};
use crate::support::memory::WithImage as _;
use crate::support::real::RealImage;
use crate::support::served_store::ServedStore;
use crate::support::writing::{new_archive, write};

fn small_image() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(300_000, 7))])])
}

async fn read(source: &dyn Source, descriptor: &Descriptor, from: u64) -> Bytes {
    let body = source.open_blob(BlobRequest::starting_at(descriptor, from)).await.unwrap();
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
    let described = content::fetch_document(source, document.descriptor()).await.unwrap();
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

    let missing_digest = Digest::sha256(b"missing content");
    let missing = Descriptor::new(MediaType::OCI_MANIFEST, missing_digest.clone(), 15);
    let kinds = [
        source.resolve(&ImageName::Tag("missing".into())).await.unwrap_err().kind(),
        source.resolve(&ImageName::Digest(missing_digest.clone())).await.unwrap_err().kind(),
        content::fetch_document(source, &missing).await.unwrap_err().kind(),
        source.open_blob(BlobRequest::starting_at(&missing, 0)).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 4]);

    let mut other_size = document.descriptor().clone();
    other_size.size += 1;
    let refused = content::fetch_document(source, &other_size).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Mismatch);
    let odd = Descriptor::new(MediaType::from("x/y"), "blake3:ab".parse().unwrap(), 1);
    assert_eq!(
        source.open_blob(BlobRequest::starting_at(&odd, 0)).await.err().unwrap().kind(),
        ErrorKind::Unsupported
    );
}

fn new_layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(&folder.path().join("layout"), LayoutOptions::default()).unwrap();
    (folder, layout)
}

#[tokio::test]
async fn source_contract_memory() {
    let (held, name) = (small_image(), ImageName::Tag("1".into()));
    check_source(&Memory::default().with(name.clone(), &held), &name, &held).await;
}

#[tokio::test]
async fn source_contract_layout() {
    let (_folder, layout) = new_layout();
    let (held, name) = (small_image(), ImageName::Layout("registry.example/app:1".into()));
    write(&layout, &held, &name).await;
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

/// What a repository knows of an image that it was given.
async fn check_repository(host: &str) {
    let client = Client::new(RegistryOptions::default());
    let name = format!("{host}/team/new:1").parse().unwrap();
    let repository = client.repository_for_push(&name).unwrap();
    let (held, name_there) = (small_image(), ImageName::Tag("1".into()));
    write(&repository, &held, &name_there).await;
    check_source(&repository, &name_there, &held).await;
    let later = client.repository_for_push(&name).unwrap();
    assert!(
        later.blob(&held.layers[0].descriptor, Effort::Request).await.unwrap()
            == BlobPresence::Complete
    );
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

#[tokio::test]
async fn source_contract_containerd_root() {
    let (root, held) = (ContainerdRootDir::new(), small_image());
    root.add(&held);
    let source = ContainerdRoot::open(root.path()).unwrap();
    check_source(&source, &ImageName::Only, &held).await;
}

#[tokio::test]
async fn source_contract_docker_root() {
    let mut root = DockerRootDir::new();
    let held = root.add(Some("registry.example/app:1"), &small_image());
    let source = DockerRoot::open(root.path()).unwrap();
    check_source(&source, &ImageName::Layout("registry.example/app:1".into()), &held).await;
    check_source(&source, &ImageName::Only, &held).await;
    check_source(&source, &ImageName::Digest(held.config.digest().clone()), &held).await;
}

/// Writes the image into a new archive and opens that.
async fn archived(
    form: ArchiveFormat,
    name: &ImageName,
    held: &Image,
) -> (tempfile::TempDir, Archive) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar");
    write(&*new_archive(form, &path), held, name).await;
    (folder, Archive::open(&path, Some(form)).unwrap())
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
