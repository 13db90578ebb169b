//! Blobs that an archive omits: an end that cannot be asked about them fails only its own images.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rpull::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, EndpointKind, Lookup, Source, Target,
    TargetPlan, TargetProperties, TargetWriter,
};
use rpull::descriptor::Descriptor;
use rpull::document::Document;
use rpull::error::{Error, ErrorKind, Result, Side};
use rpull::memory::Memory;
use rpull::name::ImageName;
use rpull::transfer::{ImageRequest, ImageResult, Transfer, TransferOptions};

use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::memory::{WithImage as _, look_up_documents_through};

/// A memory that refuses to say whether it has a blob.
struct Refusing {
    endpoint: Endpoint,
    inner: Memory,
    /// The effort of the questions that are refused.
    refused: Option<Effort>,
}

impl Refusing {
    fn new(kind: EndpointKind, inner: Memory, refused: Option<Effort>) -> Arc<Self> {
        Arc::new(Self { endpoint: Endpoint::new("end").kind(kind), inner, refused })
    }
}

impl Lookup for Refusing {
    look_up_documents_through!();

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            if self.refused == Some(effort) {
                return Err(Error::new(ErrorKind::Denied, "blob").with_reason("refused"));
            }
            self.inner.blob(descriptor, effort).await
        })
    }
}

impl Source for Refusing {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        self.inner.resolve(name)
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        self.inner.open_blob(request)
    }
}

impl Target for Refusing {
    fn properties(&self) -> TargetProperties {
        self.inner.properties()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        self.inner.begin(plan)
    }
}

fn sample(seed: u64) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(900, seed))])])
}

fn holding(held: &Image) -> Memory {
    Memory::default().with(ImageName::Tag("1".into()), held)
}

/// An archive of the image without its layer.
fn archive_without_layer(held: &Image, refused: Option<Effort>) -> Arc<Refusing> {
    let memory = holding(held);
    memory.remove(held.layers[0].digest());
    Refusing::new(EndpointKind::Archive, memory, refused)
}

async fn run(routes: [(Arc<Refusing>, &Arc<dyn Target>); 3]) -> Vec<ImageResult> {
    let mut transfer = Transfer::new(TransferOptions::default());
    for (number, (source, target)) in routes.into_iter().enumerate() {
        let request = ImageRequest::new(source, ImageName::Tag("1".into()))
            .reference(format!("image {number}"))
            .target_name(ImageName::Layout(format!("name-{number}")));
        transfer = transfer.image(request, target);
    }
    transfer.run().await.images
}

fn ends(results: &[ImageResult]) -> Vec<Option<(ErrorKind, Option<Side>)>> {
    let error = |result: &ImageResult| result.error.as_ref().map(|e| (e.kind(), e.side()));
    results.iter().map(error).collect()
}

#[tokio::test]
async fn target_refusing_question_about_omitted_blob_fails_only_its_images() {
    let (held, other) = (sample(1), sample(2));
    let archive = archive_without_layer(&held, None);
    let good = Memory::default();
    let omitted = &held.layers[0];
    good.insert_blob(omitted.descriptor.media_type.clone(), omitted.bytes.clone());
    let good: Arc<dyn Target> = Arc::new(good);
    let bad: Arc<dyn Target> =
        Refusing::new(EndpointKind::Remote, Memory::default(), Some(Effort::Request));
    let whole = Refusing::new(EndpointKind::Remote, holding(&other), None);
    let results = run([(Arc::clone(&archive), &good), (archive, &bad), (whole, &good)]).await;
    assert_eq!(ends(&results), [None, Some((ErrorKind::Denied, Some(Side::Target))), None]);
}

#[tokio::test]
async fn unreadable_archive_fails_only_its_images() {
    let (held, other) = (sample(1), sample(2));
    let damaged = archive_without_layer(&held, Some(Effort::Local));
    let whole = Refusing::new(EndpointKind::Remote, holding(&other), None);
    let archive = archive_without_layer(&sample(3), None);
    let target: Arc<dyn Target> = Arc::new(Memory::default());
    let results = run([(damaged, &target), (whole, &target), (archive, &target)]).await;
    let omitted = Some((ErrorKind::NotFound, Some(Side::Source)));
    assert_eq!(ends(&results), [Some((ErrorKind::Denied, Some(Side::Source))), None, omitted]);
}
