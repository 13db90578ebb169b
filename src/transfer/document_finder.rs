//! Finds the documents below a root: one platform's, some, or all; within limits, because an index may be hostile.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use super::alike;
use super::choice::PlatformRequest;
use super::filter_index;
use super::graph::PlatformSelection;
use super::prepare::TargetState;
use super::read::read_small;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{self, BlobPresence, Effort, EndpointKind, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ImageIndex, ImageManifest, ParsedDocument};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::{Budget, MAX_CONFIG_LOOKUPS, MAX_DOCUMENT_BYTES, MAX_INDEX_DEPTH};
use crate::name::ImageName;
use crate::platform::{self, Platform};
use crate::retry::RetryPolicy;

/// Entries that an error or warning names.
const MAX_LISTED: usize = 30;

/// Documents that are fetched at once.
pub(super) const AT_ONCE: usize = 6;

/// A root document, and the manifest in it that was asked for.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// What the name resolved to.
    pub root: Document,
    /// The manifest of the platform; the root itself where it is a manifest or no platform was asked for.
    pub manifest: Document,
}

/// Resolves a name for looking at it: documents only, and no target to look into first.
pub async fn resolve_image(
    source: &dyn Source,
    name: &ImageName,
    reference: &str,
    choice: Option<&PlatformRequest>,
    retry: &RetryPolicy,
) -> Result<ResolvedImage> {
    let alike = match choice {
        Some(choice) => {
            alike::root(source, name, &PlatformSelection::Single(choice.clone())).await?
        }
        None => None,
    };
    let root = match alike {
        Some(root) => root,
        None => source.resolve(name).await?,
    };
    let finder = DocumentFinder::new(source, reference, None, retry);
    let chosen = match (root.parsed(), choice) {
        (ParsedDocument::Index(index), Some(choice)) => {
            let (document, platform) = finder.select_manifest(index, choice, 0).await?;
            document.with_platform(platform)
        }
        (ParsedDocument::Manifest(manifest), Some(choice)) if choice.explicit => {
            finder.check_platform(&root, manifest, choice).await?;
            root.clone()
        }
        _ => root.clone(),
    };
    Ok(ResolvedImage { root, manifest: chosen })
}

/// Finds documents below a root.
pub(super) struct DocumentFinder<'a> {
    pub(super) source: &'a dyn Source,
    reference: &'a str,
    /// Looked into before the source is asked.
    target: Option<&'a TargetState<'a>>,
    retry: &'a RetryPolicy,
    /// What was fetched to choose a platform; a hostile index could name the same ones again and again.
    looked_at: Mutex<VisitedDocuments>,
}

#[derive(Default)]
struct VisitedDocuments {
    /// Indexes that were found to lack a platform.
    in_vain: HashSet<(Digest, String)>,
    /// Entries without a platform.
    nameless: usize,
    /// What was asked for and brought nothing.
    budget: Budget,
}

impl<'f> DocumentFinder<'f> {
    pub(super) fn new(
        source: &'f dyn Source,
        reference: &'f str,
        target: Option<&'f TargetState<'f>>,
        retry: &'f RetryPolicy,
    ) -> Self {
        Self { source, reference, target, retry, looked_at: Mutex::default() }
    }

    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        if !descriptor.media_type.is_document() {
            let why =
                format!("{} is a {}, not a manifest", descriptor.digest, descriptor.media_type);
            return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(why));
        }
        match self.at_target(descriptor).await {
            Some(document) => Ok(document),
            None => content::document(self.source, descriptor).await,
        }
    }

    async fn at_target(&self, descriptor: &Descriptor) -> Option<Document> {
        match self.target {
            Some(target) => target.document(descriptor).await,
            None => None,
        }
    }

    /// The manifest for this platform, and the platform that the index says it has.
    pub(super) fn select_manifest<'a>(
        &'a self,
        index: &'a ImageIndex,
        choice: &'a PlatformRequest,
        depth: usize,
    ) -> BoxFuture<'a, Result<(Document, Option<Platform>)>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            let platform = &choice.platform;
            for entry in platform::select(platform, &index.manifests) {
                let is_other = entry.platform.as_ref().is_some_and(|own| !choice.takes(own));
                if !entry.media_type.is_document()
                    || is_other
                    || self.is_known_mismatch(entry, platform)?
                {
                    continue;
                }
                let document = self.document(entry).await?;
                match document.parsed() {
                    ParsedDocument::Index(nested) => {
                        match self.select_manifest(nested, choice, depth + 1).await {
                            Err(error) if error.kind() == ErrorKind::NotFound => {
                                let vain = (entry.digest.clone(), platform.to_string());
                                self.looked_at().in_vain.insert(vain);
                                self.without_match()?;
                            }
                            chosen => return chosen,
                        }
                    }
                    ParsedDocument::Artifact(_) => {}
                    ParsedDocument::Manifest(manifest) => {
                        let own = match &entry.platform {
                            Some(own) => own.clone(),
                            None => self.platform_of(manifest).await?,
                        };
                        if choice.takes(&own) {
                            self.tell_of_fallback(platform, &own);
                            return Ok((document, Some(own)));
                        }
                    }
                }
            }
            let what = format!("platform {platform} not found in {}", self.reference);
            Err(Error::new(ErrorKind::NotFound, what)
                .with_reason(format!("available: {}", what_is_there(index)))
                .with_detail(match platform::available_platforms(&index.manifests).as_slice() {
                    [] => ErrorDetail::NothingRuns,
                    _ => ErrorDetail::PlatformNotFound,
                }))
        })
    }

    /// Machines of one architecture may run what was made for another, which is not what its name says.
    fn tell_of_fallback(&self, wanted: &Platform, own: &Platform) {
        if !platform::same_architecture(wanted, own) {
            tracing::warn!("{}: no image for {wanted}; using {own}", self.reference);
        }
    }

    /// Whether the entry is an index that was found to lack the platform.
    fn is_known_mismatch(&self, entry: &Descriptor, platform: &Platform) -> Result<bool> {
        let mut looked_at = self.looked_at();
        if entry.platform.is_none() {
            looked_at.nameless += 1;
        }
        if looked_at.nameless > MAX_CONFIG_LOOKUPS {
            let why = format!("more than {MAX_CONFIG_LOOKUPS} manifests have no platform");
            return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(why));
        }
        Ok(looked_at.in_vain.contains(&(entry.digest.clone(), platform.to_string())))
    }

    /// Counts a document that was asked for and brought nothing.
    pub(super) fn without_match(&self) -> Result<()> {
        let counted = self.looked_at().budget.requests(1, 0);
        counted.map_err(|limit| limit.error(self.reference).at(&self.source.endpoint().location))
    }

    fn looked_at(&self) -> MutexGuard<'_, VisitedDocuments> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The manifests of these platforms and their attestations, and the index without all others.
    pub(super) async fn filter_index(
        &self,
        root: &Document,
        index: &ImageIndex,
        platforms: &[Platform],
    ) -> Result<Vec<Document>> {
        let mut chosen = Vec::new();
        for platform in platforms {
            // An index says which platform is which.
            let choice = PlatformRequest::exact(platform.clone());
            chosen.push(self.select_manifest(index, &choice, 0).await?.0);
        }
        let digests = chosen.iter().map(Document::digest).collect();
        let nested = self.listing(index, &digests).await?;
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
        let mut documents = Vec::new();
        for entry in kept.iter().filter(|entry| entry.media_type.is_document()) {
            let document = self.document(entry).await?;
            documents.push(document.with_platform(entry.platform.clone()));
        }
        documents.push(filter_index::rewrite(root, &nested, &kept)?);
        Ok(documents)
    }

    /// A manifest that no index was asked for has one platform all the same; one that says nothing may be for any.
    pub(super) async fn check_platform(
        &self,
        document: &Document,
        manifest: &ImageManifest,
        choice: &PlatformRequest,
    ) -> Result<()> {
        let wanted = &choice.platform;
        let own = match &document.descriptor().platform {
            Some(own) => own.clone(),
            None => self.platform_of(manifest).await?,
        };
        if own.is_empty() {
            return Ok(());
        }
        if choice.takes(&own) {
            self.tell_of_fallback(wanted, &own);
            return Ok(());
        }
        Err(self.no_platform(wanted, &format!("available: {own}")))
    }

    /// The error of an image that has no manifest for this platform.
    pub(super) fn no_platform(&self, wanted: &Platform, why: &str) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("platform {wanted} not found in {}", self.reference),
        )
        .at(&self.source.endpoint().location)
        .with_reason(why)
    }

    /// An index entry without a platform says it in its config only; an artifact's config says nothing.
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

    /// The document and everything below it, children before parents, each once.
    pub(super) fn collect<'a>(
        &'a self,
        document: Document,
        depth: usize,
        seen: &'a mut HashSet<Digest>,
        into: &'a mut Vec<Document>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            if let ParsedDocument::Index(index) = document.parsed() {
                let new = |entry: &&Descriptor| {
                    entry.media_type.is_document() && seen.insert(entry.digest.clone())
                };
                let entries: Vec<Descriptor> =
                    index.manifests.iter().filter(new).cloned().collect();
                // Owned by the futures: a closure over borrowed entries is not general enough for `buffered`.
                let fetch = |entry: Descriptor| async move {
                    let child = self.document(&entry).await?;
                    Ok::<_, Error>(child.with_platform(entry.platform))
                };
                let mut fetching = stream::iter(entries.clone()).map(fetch).buffered(AT_ONCE);
                let mut children = Vec::new();
                while let Some(child) = fetching.next().await {
                    match &child {
                        // All that are missing are named together.
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            self.without_match()?;
                        }
                        Err(_) => return child.map(drop),
                        Ok(_) => {}
                    }
                    children.push(child);
                }
                self.check_children_exist(&entries, &children)?;
                for child in children {
                    self.collect(child?, depth + 1, seen, into).await?;
                }
            }
            into.push(document);
            if into.iter().map(|document| document.bytes().len()).sum::<usize>()
                > MAX_DOCUMENT_BYTES
            {
                let why =
                    format!("manifests have more than {} MiB in total", MAX_DOCUMENT_BYTES >> 20);
                return Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(why));
            }
            Ok(())
        })
    }

    /// Names everything that is missing at once: a store often has one platform of many.
    fn check_children_exist(
        &self,
        entries: &[Descriptor],
        children: &[Result<Document>],
    ) -> Result<()> {
        let lacks = |child: &Result<Document>| matches!(child, Err(error) if error.kind() == ErrorKind::NotFound);
        let missing = entries.iter().zip(children).filter(|(_, child)| lacks(child));
        let missing: Vec<&Descriptor> = missing.map(|(entry, _)| entry).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let why = format!("manifests listed by its index are missing: {}", list(&missing));
        let runs = |entry: &Descriptor| entry.platform.is_some() && !entry.is_attestation();
        let mut there = entries.iter().filter(|entry| runs(entry) && !missing.contains(entry));
        // Only what a pull fills can get the rest from somewhere.
        let matter = match self.source.endpoint().kind {
            EndpointKind::Layout => Some(ErrorDetail::MissingChildren),
            _ => there.next().map(|_| ErrorDetail::ChildrenGone),
        };
        Err(Error::new(ErrorKind::NotFound, self.reference)
            .at(&self.source.endpoint().location)
            .with_reason(why)
            .with_missing(missing.iter().map(|entry| entry.digest.clone()).collect())
            .with_detail(matter))
    }

    /// What is there of an index that names more, and the index where only one platform of it is; `None` where it is
    /// whole, or no image of it is there.
    pub(super) async fn available_subset(
        &self,
        root: &Document,
        index: &ImageIndex,
    ) -> Result<Option<(Vec<Document>, Option<Document>)>> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for entry in index.manifests.iter().filter(|entry| entry.media_type.is_document()) {
            let is_missing = self.is_omitted(entry).await? && self.at_target(entry).await.is_none();
            if is_missing { missing.push(entry) } else { there.push(entry) }
        }
        let images: Vec<&Descriptor> =
            there.iter().filter(|entry| !entry.is_attestation()).copied().collect();
        if missing.is_empty() || images.is_empty() {
            return Ok(None);
        }
        tracing::warn!(
            "{}: manifests listed by its index are missing from {}: {}; using {}",
            self.reference,
            &self.source.endpoint().location,
            list(&missing),
            list(&images)
        );
        let mut documents = Vec::new();
        if let [image] = images.as_slice() {
            let document = self.document(image).await?.with_platform(image.platform.clone());
            if document.manifest().is_ok() {
                return Ok(Some((vec![document], Some(root.clone()))));
            }
        }
        let mut seen = HashSet::new();
        for entry in there {
            if seen.insert(entry.digest.clone()) {
                let document = self.document(entry).await?.with_platform(entry.platform.clone());
                self.collect(document, 1, &mut seen, &mut documents).await?;
            }
        }
        documents.push(root.clone());
        Ok(Some((documents, None)))
    }

    /// Whether an archive was made without this: for a target that has it.
    async fn is_omitted(&self, entry: &Descriptor) -> Result<bool> {
        Ok(self.source.endpoint().kind == EndpointKind::Archive
            && self.source.blob(entry, Effort::Local).await? == BlobPresence::Absent)
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<()> {
        if depth < MAX_INDEX_DEPTH {
            return Ok(());
        }
        let why = format!("indexes nest more than {MAX_INDEX_DEPTH} deep");
        Err(Error::new(ErrorKind::InvalidDocument, self.reference).with_reason(why))
    }
}

/// What an index has, for those who looked in vain for a platform.
fn what_is_there(index: &ImageIndex) -> String {
    let mut there = platform::available_platforms(&index.manifests);
    let mut types: Vec<&str> = index.blobs().map(|blob| blob.media_type.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    if there.is_empty() {
        there.push("no images".to_owned());
    }
    if !types.is_empty() {
        there.push(format!("blobs ({})", types.join(", ")));
    }
    there.join(", ")
}

/// Entries of an index, for people: platforms, and how many attestations.
fn list(entries: &[&Descriptor]) -> String {
    let (attestations, images): (Vec<&Descriptor>, Vec<&Descriptor>) =
        entries.iter().partition(|entry| entry.is_attestation());
    let mut words: Vec<String> = images
        .iter()
        .take(MAX_LISTED)
        .map(|entry| match &entry.platform {
            Some(platform) => platform.to_string(),
            None => entry.digest.to_string(),
        })
        .collect();
    if images.len() > MAX_LISTED {
        words.push(format!("{} more", images.len() - MAX_LISTED));
    }
    match attestations.len() {
        0 => {}
        1 => words.push("1 attestation".to_owned()),
        several => words.push(format!("{several} attestations")),
    }
    words.join(", ")
}
