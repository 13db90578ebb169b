//! Finds the documents of one, several or all platforms below a root, within limits, because an index may be hostile.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{
    Document, ImageIndex, ImageManifest, ParsedDocument, available_platforms, entries_for_platform,
};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::{Budget, MAX_CONFIG_LOOKUPS, MAX_DOCUMENT_BYTES, MAX_INDEX_DEPTH};
use crate::platform::{self, Platform};
use crate::retry::RetryPolicy;
use crate::transfer::blob::read::read_small;
use crate::transfer::request::{ImageRequest, PlatformRequest};
use crate::transfer::resolve::filter_index;
use crate::transfer::resolve::source_documents::SourceDocuments;
use crate::transfer::target_state::TargetState;

/// Documents that are fetched concurrently.
pub(in crate::transfer) const CONCURRENCY: usize = 6;

/// Finds documents below a root.
pub(in crate::transfer) struct DocumentFinder<'a> {
    pub(in crate::transfer) source: &'a dyn Source,
    pub(super) reference: &'a str,
    /// Read before the source.
    target: Option<&'a TargetState>,
    pub(super) documents: &'a SourceDocuments,
    retry: &'a RetryPolicy,
    /// Documents fetched to choose a platform; a hostile index could list the same ones again and again.
    visited: Mutex<VisitedDocuments>,
}

#[derive(Default)]
struct VisitedDocuments {
    /// Indexes that were found to lack a platform.
    mismatches: HashSet<(Digest, String)>,
    /// Entries without a platform.
    without_platform: usize,
    /// Number of fetched documents that were not used.
    budget: Budget,
    /// Bytes of the documents that belong to the image.
    document_bytes: u64,
}

impl<'f> DocumentFinder<'f> {
    pub(in crate::transfer) fn new(
        request: &'f ImageRequest,
        target: Option<&'f TargetState>,
        documents: &'f SourceDocuments,
        retry: &'f RetryPolicy,
    ) -> Self {
        Self { target, ..Self::for_source(&*request.source, &request.reference, documents, retry) }
    }

    /// Reads the source only.
    pub(super) fn for_source(
        source: &'f dyn Source,
        reference: &'f str,
        documents: &'f SourceDocuments,
        retry: &'f RetryPolicy,
    ) -> Self {
        Self { source, reference, target: None, documents, retry, visited: Mutex::default() }
    }

    pub(in crate::transfer) async fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        if !descriptor.media_type.is_document() {
            let reason =
                format!("{} is a {}, not a manifest", descriptor.digest, descriptor.media_type);
            return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(reason));
        }
        match self.document_at_target(descriptor).await {
            Some(document) => Ok(document),
            None => self.documents.document(self.source, descriptor).await,
        }
    }

    pub(super) async fn document_at_target(&self, descriptor: &Descriptor) -> Option<Document> {
        match self.target {
            Some(target) => target.document(descriptor).await,
            None => None,
        }
    }

    /// The manifest for this platform, and its platform in the index.
    pub(in crate::transfer) async fn select_manifest(
        &self,
        index: &ImageIndex,
        request: &PlatformRequest,
    ) -> Result<(Document, Option<Platform>)> {
        self.select_below(index, request, 0).await
    }

    /// `depth` is the number of indexes above this one.
    fn select_below<'a>(
        &'a self,
        index: &'a ImageIndex,
        request: &'a PlatformRequest,
        depth: usize,
    ) -> BoxFuture<'a, Result<(Document, Option<Platform>)>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            let platform = &request.platform;
            for entry in entries_for_platform(platform, &index.manifests) {
                let is_other = entry.platform.as_ref().is_some_and(|found| !request.accepts(found));
                if !entry.media_type.is_document()
                    || is_other
                    || self.is_known_mismatch(entry, platform)?
                {
                    continue;
                }
                let document = self.document(entry).await?;
                match document.parsed() {
                    ParsedDocument::Index(nested) => {
                        match self.select_below(nested, request, depth + 1).await {
                            Err(error) if error.kind() == ErrorKind::NotFound => {
                                let mismatch = (entry.digest.clone(), platform.to_string());
                                self.visited().mismatches.insert(mismatch);
                                self.count_miss()?;
                            }
                            chosen => return chosen,
                        }
                    }
                    ParsedDocument::Artifact(_) => {}
                    ParsedDocument::Manifest(manifest) => {
                        let found = match &entry.platform {
                            Some(found) => found.clone(),
                            None => self.platform_of(manifest).await?,
                        };
                        if request.accepts(&found) {
                            self.warn_of_fallback(platform, &found);
                            return Ok((document, Some(found)));
                        }
                    }
                }
            }
            let what = format!("platform {platform} not found in {}", self.reference);
            Err(Error::new(ErrorKind::NotFound, what)
                .with_reason(format!("available: {}", list_available(index)))
                .with_detail(match available_platforms(&index.manifests).as_slice() {
                    [] => ErrorDetail::NothingRuns,
                    _ => ErrorDetail::PlatformNotFound,
                }))
        })
    }

    /// Warns if the image is for another architecture that this one can run.
    fn warn_of_fallback(&self, requested: &Platform, found: &Platform) {
        if !platform::same_architecture(requested, found) {
            tracing::warn!("{}: no image for {requested}; using {found}", self.reference);
        }
    }

    /// Whether the entry is an index that was found to lack the platform.
    fn is_known_mismatch(&self, entry: &Descriptor, platform: &Platform) -> Result<bool> {
        let mut visited = self.visited();
        if entry.platform.is_none() {
            visited.without_platform += 1;
        }
        if visited.without_platform > MAX_CONFIG_LOOKUPS {
            let reason = format!("more than {MAX_CONFIG_LOOKUPS} manifests have no platform");
            return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(reason));
        }
        Ok(visited.mismatches.contains(&(entry.digest.clone(), platform.to_string())))
    }

    /// Counts a fetched document that was not used.
    pub(in crate::transfer) fn count_miss(&self) -> Result<()> {
        let counted = self.visited().budget.requests(1, 0);
        counted.map_err(|limit| limit.error(self.reference).at(&self.source.endpoint().location))
    }

    /// Counts bytes of documents that belong to the image, before they are fetched where their sizes are known: all are in memory
    /// at once.
    pub(super) fn count_bytes(&self, bytes: u64) -> Result<()> {
        {
            let mut visited = self.visited();
            visited.document_bytes = visited.document_bytes.saturating_add(bytes);
        }
        if self.has_room_for_documents() {
            return Ok(());
        }
        let reason = format!("manifests have more than {} MiB in total", MAX_DOCUMENT_BYTES >> 20);
        Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(reason))
    }

    /// Whether the documents that were counted are within the limit.
    pub(super) fn has_room_for_documents(&self) -> bool {
        self.visited().document_bytes <= MAX_DOCUMENT_BYTES as u64
    }

    fn visited(&self) -> MutexGuard<'_, VisitedDocuments> {
        self.visited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifests of these platforms and their attestations, and the index without all others.
    pub(in crate::transfer) async fn filter_index(
        &self,
        root: &Document,
        index: &ImageIndex,
        platforms: &[Platform],
    ) -> Result<Vec<Document>> {
        let mut chosen = Vec::new();
        for platform in platforms {
            // Only an index states several platforms.
            let request = PlatformRequest::exact(platform.clone());
            chosen.push(self.select_manifest(index, &request).await?.0);
        }
        let digests = chosen.iter().map(Document::digest).collect();
        let nested = self.nested_indexes(index, &digests).await?;
        let indexes = nested.iter().filter_map(|document| match document.parsed() {
            ParsedDocument::Index(nested) => Some(&**nested),
            _ => None,
        });
        let mut seen = HashSet::new();
        let mut kept: Vec<&Descriptor> = std::iter::once(index)
            .chain(indexes)
            .flat_map(|index| filter_index::kept_entries(index, &digests, platforms))
            .collect();
        kept.retain(|entry| seen.insert(&entry.digest));
        let listed = kept.iter().filter(|entry| entry.media_type.is_document());
        let listed: Vec<Descriptor> = listed.map(|entry| (*entry).clone()).collect();
        let mut documents = self.fetch_all(&listed).await?;
        documents.push(filter_index::rewrite(root, &nested, &kept)?);
        Ok(documents)
    }

    /// Checks the platform of a manifest that was requested directly; one without a platform may be for any.
    pub(in crate::transfer) async fn check_platform(
        &self,
        document: &Document,
        manifest: &ImageManifest,
        request: &PlatformRequest,
    ) -> Result<()> {
        let requested = &request.platform;
        let found = match &document.descriptor().platform {
            Some(found) => found.clone(),
            None => self.platform_of(manifest).await?,
        };
        if found.is_empty() {
            return Ok(());
        }
        if request.accepts(&found) {
            self.warn_of_fallback(requested, &found);
            return Ok(());
        }
        Err(self.platform_error(requested, &format!("available: {found}")))
    }

    /// The error for an image without a manifest for this platform.
    pub(in crate::transfer) fn platform_error(&self, requested: &Platform, reason: &str) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("platform {requested} not found in {}", self.reference),
        )
        .at(&self.source.endpoint().location)
        .with_reason(reason)
    }

    /// The platform of an index entry that states none, from its config; an artifact's config has none.
    async fn platform_of(&self, manifest: &ImageManifest) -> Result<Platform> {
        if !manifest.config.media_type.is_image_config() {
            return Ok(Platform::default());
        }
        let config = &manifest.config;
        let stored = match self.target {
            Some(target) => target.small_blob(config, CONFIG_LIMIT).await,
            None => None,
        };
        let bytes = match stored {
            Some(bytes) => bytes,
            None => read_small(self.source, config, CONFIG_LIMIT, *self.retry).await?,
        };
        Ok(ImageConfig::parse(&bytes)?.platform())
    }

    pub(in crate::transfer) fn check_depth(&self, depth: usize) -> Result<()> {
        if depth < MAX_INDEX_DEPTH {
            return Ok(());
        }
        let reason = format!("indexes nest more than {MAX_INDEX_DEPTH} deep");
        Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(reason))
    }
}

/// The available platforms, for the error about a missing one.
fn list_available(index: &ImageIndex) -> String {
    let mut available = available_platforms(&index.manifests);
    let mut types: Vec<&str> = index.blobs().map(|blob| blob.media_type.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    if available.is_empty() {
        available.push("no images".to_owned());
    }
    if !types.is_empty() {
        available.push(format!("blobs ({})", types.join(", ")));
    }
    available.join(", ")
}
