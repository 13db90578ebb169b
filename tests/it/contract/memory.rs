//! What a memory does beyond the contract.

use rpull::content::{
    BlobPresence, Effort, Lookup as _, Presence, Provenance, Role, Source as _, TargetPlan,
};
use rpull::content::{Target as _, is_same_endpoint};
use rpull::error::ErrorKind;
use rpull::memory::Memory;
use rpull::name::ImageName;

use crate::support::images::{Blob, Family, Image, image, layer, referrer_to};
use crate::support::memory::WithImage as _;
use crate::support::writing::{begin, document, open};

fn small(architecture: &str) -> Image {
    image(Family::Oci, architecture, &[layer(&[("data", architecture.as_bytes())])])
}

fn tag(text: &str) -> ImageName {
    ImageName::Tag(text.into())
}

#[tokio::test]
async fn memory_insert_document_without_its_blobs_is_refused() {
    let (memory, image) = (Memory::default(), small("amd64"));
    let manifest = document(&image.manifest);
    let refused = memory.insert_document(&manifest, &[tag("1")]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MissingBlobs);
    assert_eq!(refused.missing().len(), 2, "config and layer");
    assert_eq!(memory.resolve(&tag("1")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(memory.bytes(manifest.digest()), None);
}

#[tokio::test]
async fn memory_sparse_plan_takes_manifest_without_its_blobs() {
    let (memory, image) = (Memory::default(), small("amd64"));
    let mut plan = TargetPlan::default();
    plan.sparse = true;
    let writer = memory.begin(&plan).await.unwrap();
    let role = Role::Root { names: &[tag("1")], provenance: &Provenance::default() };
    writer.put_manifest(&document(&image.manifest), role).await.unwrap();
    assert!(memory.resolve(&tag("1")).await.is_ok());
}

#[tokio::test]
async fn memory_only_image_is_ambiguous_with_two_images() {
    let (one, other) = (small("amd64"), small("arm64"));
    let memory = Memory::default();
    let only = async || memory.resolve(&ImageName::Only).await;
    assert_eq!(only().await.unwrap_err().kind(), ErrorKind::NotFound);
    let memory = memory.clone().with(tag("1"), &one).with(tag("latest"), &one);
    assert_eq!(only().await.unwrap().digest(), one.manifest.digest());
    let memory = memory.with(tag("2"), &other);
    let ambiguous = only().await.unwrap_err();
    assert_eq!(ambiguous.kind(), ErrorKind::InvalidInput);
    assert!(ambiguous.to_string().contains("several images: "), "{ambiguous}");
    memory.remove(one.manifest.digest());
    assert_eq!(only().await.unwrap().digest(), other.manifest.digest());
}

#[tokio::test]
async fn memory_only_name_is_refused_when_writing() {
    let (memory, image) = (Memory::default().with(tag("1"), &small("amd64")), small("amd64"));
    let refused = memory.insert_document(&document(&image.manifest), &[ImageName::Only]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn memory_referrers_are_manifests_with_the_subject() {
    let image = small("amd64");
    let artifact = referrer_to(&image.manifest, "application/vnd.example.sbom");
    let memory = Memory::default().with(tag("1"), &image).with(tag("sbom"), &artifact);
    let Presence::Present(found) = memory.referrers(image.manifest.digest()).await.unwrap() else {
        panic!("a memory knows all of its manifests");
    };
    assert_eq!(found, [document(&artifact.manifest).as_referrer()]);
    let none = memory.referrers(artifact.manifest.digest()).await.unwrap();
    assert_eq!(none, Presence::Present(Vec::new()));
}

#[tokio::test]
async fn memory_provenance_is_kept_with_the_document() {
    let image = small("amd64");
    let memory = Memory::default().with(tag("1"), &image);
    let manifest = document(&image.manifest);
    let writer = begin(&memory).await;
    let mut provenance = Provenance::default();
    provenance.repositories.push("registry.example/app".into());
    let role = Role::Root { names: &[tag("1")], provenance: &provenance };
    writer.put_manifest(&manifest, role).await.unwrap();
    writer.put_manifest(&manifest, Role::Child).await.unwrap();
    let found = memory.provenance(&manifest).await;
    assert_eq!(found.repositories, ["registry.example/app"]);
}

#[tokio::test]
async fn memory_blob_question_does_not_wait_for_its_writer() {
    let (memory, image) = (Memory::default(), small("amd64"));
    let Blob { descriptor, bytes } = &image.config;
    let writer = begin(&memory).await;
    let mut writing = open(&*writer, descriptor).await;
    writing.write(bytes.slice(..3)).await.unwrap();
    let presence = memory.blob(descriptor, Effort::Local).await.unwrap();
    assert_eq!(presence, BlobPresence::Partial(3));
    assert!(
        is_same_endpoint(&memory, &memory.clone())
            && !is_same_endpoint(&memory, &Memory::default())
    );
}

#[tokio::test]
async fn memory_read_refuses_content_beyond_the_limit() {
    let memory = Memory::default();
    let blob = memory.insert_blob("x/y".into(), vec![0; 11]);
    let refused = memory.read(&blob, 10, Effort::Local).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidDocument);
}
