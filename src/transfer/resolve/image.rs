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

/// Resolves all of them, several at once; the answers are in their order.
pub(in crate::transfer) async fn resolve_all<'a>(
    wanted: impl Iterator<Item = (&'a ImageRequest, &'a TargetState)>,
    documents: &SourceDocuments,
    artifacts: ArtifactOptions,
    retry: &RetryPolicy,
) -> Vec<Result<ImageGraph>> {
    let named = AtomicUsize::new(0);
    let resolving = wanted.map(|(wanted, target)| {
        let named = &named;
        async move {
            check_together(named.load(Ordering::Relaxed), wanted)?;
            let finder = DocumentFinder::new(wanted, Some(target), documents, retry);
            let mut graph = resolve_for(&finder, wanted, target).await?;
            if artifacts != ArtifactOptions::default() {
                graph.artifacts = artifacts;
                let found = artifacts::find(&graph, wanted, target, artifacts, &finder).await?;
                graph.attached = found.attached;
                graph.unread = found.unread.map(Arc::new);
                graph.list_blobs(wanted)?;
            }
            let own = graph.all_documents().count() + graph.blobs.len();
            check_together(named.fetch_add(own, Ordering::Relaxed) + own, wanted)?;
            Ok(graph)
        }
    });
    let resolving = stream::iter(resolving.collect::<Vec<_>>());
    let graphs: Vec<Result<ImageGraph>> = resolving.buffered(CONCURRENCY).collect().await;
    graphs.into_iter().map(|graph| graph.on(Side::Source)).collect()
}

/// The memory of a run grows with the lists of its images, once for each name: an archive can give a huge image thousands of
/// names.
fn check_together(named: usize, wanted: &ImageRequest) -> Result<()> {
    if named <= MAX_REFERENCED {
        return Ok(());
    }
    let why = format!("more than {MAX_REFERENCED} blobs in one run");
    Err(Error::new(ErrorKind::InvalidDocument, &wanted.reference).with_reason(why))
}

/// Resolves the wanted image, asking the target first for what it has: a warm pull costs one HEAD.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the index lacks the platform, naming those it has; [`ErrorKind::InvalidDocument`] where it
/// nests too deep.
pub async fn resolve(
    wanted: &ImageRequest,
    target: &Arc<dyn Target>,
    retry: &RetryPolicy,
) -> Result<ImageGraph> {
    let (target, documents) = (TargetState::new(Arc::clone(target)), SourceDocuments::default());
    let finder = DocumentFinder::new(wanted, Some(&target), &documents, retry);
    resolve_for(&finder, wanted, &target).await
}

async fn resolve_for(
    finder: &DocumentFinder<'_>,
    wanted: &ImageRequest,
    target: &TargetState,
) -> Result<ImageGraph> {
    let found = root(finder, wanted, target).await?;
    let Provenance { repositories, parent_index } = wanted.source.provenance(&found).await;
    let mut root = found.descriptor().clone();
    if matches!(found.parsed(), ParsedDocument::Index(_))
        && !matches!(wanted.platforms, PlatformSelection::Single(_))
        // Of a source on this machine nothing needs to be spared.
        && !wanted.source.endpoint().kind.is_local()
    {
        target.recognize(&wanted.target_name, &found).await.on(Side::Target)?;
    }
    let (documents, mut index) =
        image_documents(finder, &wanted.platforms, found, parent_index).await?;
    // A registry does not know what a manifest was chosen from: there the name stands for the manifest itself.
    index.take_if(|_| {
        wanted.platforms.is_exact() || !matches!(wanted.target_name, ImageName::Layout(_))
    });
    if let Some(stands_for) = index.as_ref().or(documents.last()) {
        root = stands_for.descriptor().clone();
    }
    let mut graph = ImageGraph {
        root,
        documents,
        manifests: Vec::new(),
        blobs: Vec::new(),
        attached: Vec::new(),
        unread: None,
        artifacts: ArtifactOptions::default(),
        name: wanted.target_name.clone(),
        provenance: Provenance { repositories, parent_index: index },
        complete: false,
    };
    let manifests = graph.documents.iter().map(Document::descriptor);
    let manifests = manifests.filter(|descriptor| !descriptor.media_type.is_index());
    graph.manifests =
        manifests.map(|manifest| (manifest.clone(), manifest.platform.clone())).collect();
    graph.list_blobs(wanted)?;
    graph
        .documents
        .iter()
        .try_for_each(|document| target.inner.check_document(document))
        .on(Side::Target)?;
    let incoming = IncomingImage {
        documents: &graph.documents,
        name: &graph.name,
        repositories: &graph.provenance.repositories,
        source: &*wanted.source,
    };
    graph.complete = target.prepare(incoming).await.on(Side::Target)?;
    Ok(graph)
}

async fn root(
    finder: &DocumentFinder<'_>,
    wanted: &ImageRequest,
    target: &TargetState,
) -> Result<Document> {
    let entries = platform_entries::root(&*wanted.source, &wanted.name, &wanted.platforms);
    if let Some(root) = entries.await? {
        return Ok(root);
    }
    // By digest nothing can have changed: what the target holds is it.
    if let ImageName::Digest(_) = wanted.name {
        if let Some(document) = target.existing(&wanted.name).await.on(Side::Target)? {
            return Ok(document);
        }
    } else if target.existing(&wanted.target_name).await.on(Side::Target)?.is_some()
        // Docker Hub counts GETs of manifests as pulls, but not HEADs; only a known name makes the extra request pay.
        && let Presence::Present(descriptor) =
            wanted.source.name(&wanted.name, Effort::Request).await?
        && let Some(document) = target.document(&descriptor).await
    {
        return Ok(document);
    }
    finder.documents.resolve(&*wanted.source, &wanted.name).await
}
