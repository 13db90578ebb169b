//! Resolves a name to an [`ImageGraph`], asking the target first for what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};

use crate::content::{Effort, Presence, Provenance, Target};
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::limits::MAX_REFERENCED;
use crate::name::ImageName;
use crate::retry::RetryPolicy;
use crate::transfer::request::{ArtifactOptions, ImageRequest, PlatformSelection};
use crate::transfer::resolve::finder::{CONCURRENCY, DocumentFinder};
use crate::transfer::resolve::graph::ImageGraph;
use crate::transfer::resolve::image_documents::image_documents;
use crate::transfer::resolve::source_documents::SourceDocuments;
use crate::transfer::resolve::{artifacts, platform_entries};
use crate::transfer::side::OnSide as _;
use crate::transfer::target_state::{IncomingImage, TargetState};

/// Resolves all requests, several at once. The results are in their order.
pub(in crate::transfer) async fn resolve_all<'a>(
    requests: impl Iterator<Item = (&'a ImageRequest, &'a TargetState)>,
    documents: &SourceDocuments,
    artifacts: ArtifactOptions,
    retry: &RetryPolicy,
) -> Vec<Result<ImageGraph>> {
    let named = AtomicUsize::new(0);
    let resolving = requests.map(|(request, target)| {
        let named = &named;
        async move {
            let artifacts = request.artifacts.unwrap_or(artifacts);
            check_total(named.load(Ordering::Relaxed), request)?;
            let finder = DocumentFinder::new(request, Some(target), documents, retry);
            let mut graph = resolve_for(&finder, request, target).await?;
            if artifacts != ArtifactOptions::default() {
                graph.artifacts = artifacts;
                let found = artifacts::find(&graph, request, target, artifacts, &finder).await?;
                graph.attached = found.attached;
                graph.artifact_error = found.error.map(Arc::new);
                graph.list_blobs(request)?;
            }
            let count = graph.all_documents().count() + graph.blobs.len();
            check_total(named.fetch_add(count, Ordering::Relaxed) + count, request)?;
            Ok(graph)
        }
    });
    let resolving = stream::iter(resolving.collect::<Vec<_>>());
    let graphs: Vec<Result<ImageGraph>> = resolving.buffered(CONCURRENCY).collect().await;
    graphs.into_iter().map(|graph| graph.on(Side::Source)).collect()
}

/// Limits the memory of a run, which grows with the lists of its images, once per name: an archive can give a huge image
/// thousands of names.
fn check_total(named: usize, request: &ImageRequest) -> Result<()> {
    if named <= MAX_REFERENCED {
        return Ok(());
    }
    let reason = format!("more than {MAX_REFERENCED} blobs in one run");
    Err(Error::new(ErrorKind::InvalidDocument, &request.reference).with_reason(reason))
}

/// Resolves the image. The target is asked first, so that a pull of an image that it has costs one HEAD.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the available platforms if the index lacks the requested one;
/// [`ErrorKind::InvalidDocument`] if indexes are nested too deeply.
pub async fn resolve(
    request: &ImageRequest,
    target: &Arc<dyn Target>,
    retry: &RetryPolicy,
) -> Result<ImageGraph> {
    let (target, documents) = (TargetState::new(Arc::clone(target)), SourceDocuments::default());
    let finder = DocumentFinder::new(request, Some(&target), &documents, retry);
    resolve_for(&finder, request, &target).await
}

async fn resolve_for(
    finder: &DocumentFinder<'_>,
    request: &ImageRequest,
    target: &TargetState,
) -> Result<ImageGraph> {
    let found = root(finder, request, target).await?;
    let Provenance { repositories, mount_sources, parent_index } =
        request.source.provenance(&found).await;
    let mut root = found.descriptor().clone();
    let resolved = root.digest.clone();
    if matches!(found.parsed(), ParsedDocument::Index(_))
        && !matches!(request.platforms, PlatformSelection::Single(_))
        // Reading a local source costs no requests.
        && !request.source.endpoint().kind.is_local()
    {
        target.recognize(&request.target_name, &found).await.on(Side::Target)?;
    }
    let (documents, mut index) =
        image_documents(finder, &request.platforms, found, parent_index).await?;
    // A registry does not record from which index a manifest was selected: the name refers to the manifest itself.
    index.take_if(|_| {
        request.platforms.is_exact() || !matches!(request.target_name, ImageName::Layout(_))
    });
    if let Some(stands_for) = index.as_ref().or(documents.last()) {
        root = stands_for.descriptor().clone();
    }
    let mut graph = ImageGraph {
        root,
        resolved,
        documents,
        manifests: Vec::new(),
        blobs: Vec::new(),
        attached: Vec::new(),
        artifact_error: None,
        artifacts: ArtifactOptions::default(),
        name: request.target_name.clone(),
        provenance: Provenance { repositories, mount_sources, parent_index: index },
        complete: false,
    };
    let manifests = graph.documents.iter().map(Document::descriptor);
    let manifests = manifests.filter(|descriptor| !descriptor.media_type.is_index());
    graph.manifests =
        manifests.map(|manifest| (manifest.clone(), manifest.platform.clone())).collect();
    graph.list_blobs(request)?;
    graph
        .documents
        .iter()
        .try_for_each(|document| target.inner.check_document(document))
        .on(Side::Target)?;
    let incoming = IncomingImage {
        documents: &graph.documents,
        name: &graph.name,
        provenance: &graph.provenance,
        source: &*request.source,
    };
    graph.complete = target.prepare(incoming).await.on(Side::Target)?;
    Ok(graph)
}

async fn root(
    finder: &DocumentFinder<'_>,
    request: &ImageRequest,
    target: &TargetState,
) -> Result<Document> {
    let entries = platform_entries::root(&*request.source, &request.name, &request.platforms);
    if let Some(root) = entries.await? {
        return Ok(root);
    }
    // Content with this digest cannot have changed.
    if let ImageName::Digest(_) = request.name {
        if let Some(document) = target.existing(&request.name).await.on(Side::Target)? {
            return Ok(document);
        }
    } else if target.existing(&request.target_name).await.on(Side::Target)?.is_some()
        // Docker Hub counts GETs of manifests as pulls, but not HEADs. The extra request is useful only for a name that the
    // target has.
        && let Presence::Present(descriptor) =
            request.source.name(&request.name, Effort::Request).await?
        && let Some(document) = target.document(&descriptor).await
    {
        return Ok(document);
    }
    finder.documents.resolve(&*request.source, &request.name).await
}
