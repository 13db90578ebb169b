//! Finds the referrers and digest tags of an image. They are stored before the image, so that its name never refers to an
//! image without them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};

use crate::content::Provenance;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::limits::{Budget, MAX_DOCUMENT_BYTES, MAX_REFERRER_DEPTH, MAX_REFERRERS};
use crate::name::ImageName;
use crate::reference::{Reference, digest_tags};
use crate::transfer::request::{ArtifactOptions, ImageRequest};
use crate::transfer::resolve::finder::{CONCURRENCY, DocumentFinder};
use crate::transfer::resolve::graph::{AttachedArtifact, ImageGraph};
use crate::transfer::side::OnSide as _;
use crate::transfer::target_state::{IncomingImage, TargetState};

/// The referrers and digest tags of an image.
#[derive(Debug, Default)]
pub(in crate::transfer) struct FoundArtifacts {
    pub(in crate::transfer) attached: Vec<AttachedArtifact>,
    /// Why the search may be incomplete. The image is transferred anyway.
    pub(in crate::transfer) error: Option<Error>,
}

/// Finds the referrers and digest tags of the image.
///
/// # Errors
/// Those of a local source and of the target. What cannot be read at a registry is omitted.
pub(in crate::transfer) async fn find(
    graph: &ImageGraph,
    request: &ImageRequest,
    target: &TargetState,
    artifacts: ArtifactOptions,
    finder: &DocumentFinder<'_>,
) -> Result<FoundArtifacts> {
    let (count, errors) = (AtomicUsize::new(0), Mutex::default());
    let search = ArtifactSearch { finder, request, artifacts, count, errors };
    let mut attached = search.all(graph).await?;
    for artifact in &mut attached {
        artifact
            .documents
            .iter()
            .try_for_each(|document| target.inner.check_document(document))
            .on(Side::Target)?;
        let incoming = IncomingImage {
            documents: &artifact.documents,
            name: &artifact.name,
            provenance: &artifact.provenance,
            source: &*request.source,
        };
        artifact.complete = target.prepare(incoming).await.on(Side::Target)?;
    }
    Ok(FoundArtifacts { attached, error: search.into_error() })
}

/// Whether a registry refused a referrer or digest tag. Many registries refuse what they do not have, or do not support
/// artifacts: that is a warning, and the copy still counts as complete.
pub(in crate::transfer) fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Denied
        || matches!(error.status(), Some(status) if (400..500).contains(&status) && status != 429)
}

/// The error of an image that was stored without some of its referrers and digest tags.
pub(in crate::transfer) fn incomplete_error(reference: &str, reason: &Error) -> Error {
    let what = format!("referrers and digest tags of {reference}");
    let text = format!("the image was copied without some of them: {}", reason.chain());
    Error::new(reason.kind(), what).with_reason(text).with_data_of(reason)
}

struct ArtifactSearch<'a> {
    finder: &'a DocumentFinder<'a>,
    request: &'a ImageRequest,
    artifacts: ArtifactOptions,
    /// Number of artifacts that were fetched.
    count: AtomicUsize,
    /// Why something was omitted that may exist.
    errors: Mutex<Vec<Error>>,
}

struct FoundArtifact {
    /// Its name at the target.
    name: ImageName,
    /// Children before parents.
    documents: Vec<Document>,
    is_referrer: bool,
}

/// The limit that ends a search.
#[derive(Clone, Copy)]
enum SearchLimit {
    Documents,
    Depth,
}

impl ArtifactSearch<'_> {
    /// The artifacts of the image, the artifacts of those, and so on.
    async fn all(&self, graph: &ImageGraph) -> Result<Vec<AttachedArtifact>> {
        let digests = |documents: &[Document]| -> Vec<Digest> {
            documents.iter().map(|document| document.digest().clone()).collect()
        };
        let mut level = digests(&graph.documents);
        let mut seen: HashSet<Digest> = level.iter().cloned().collect();
        let mut attached = Vec::new();
        let (mut budget, mut spent) = (Budget::default(), self.request.source.requests().total());
        for depth in 0.. {
            let looking =
                std::mem::take(&mut level).into_iter().map(|subject| self.artifacts_of(subject));
            let mut looking = stream::iter(looking.collect::<Vec<_>>()).buffered(CONCURRENCY);
            while let Some(found) = looking.next().await {
                let found = found?;
                let now = self.request.source.requests().total();
                let since = now - std::mem::replace(&mut spent, now);
                if let Err(limit) = budget.requests(since, found.len()) {
                    self.skip(limit.error(self.description()))?;
                    return Ok(attached);
                }
                for FoundArtifact { name, documents, is_referrer } in found {
                    // A tag is always needed. A referrer is needed once, even if it refers to itself.
                    let is_known = documents.last().is_none_or(|last| seen.contains(last.digest()));
                    if is_referrer && is_known {
                        continue;
                    }
                    let new = digests(&documents).into_iter();
                    level.extend(new.filter(|new| seen.insert(new.clone())));
                    let repositories = graph.provenance.repositories.clone();
                    attached.push(AttachedArtifact {
                        documents,
                        name,
                        provenance: Provenance::default().repositories(repositories),
                        is_referrer,
                        complete: false,
                    });
                }
                let exceeded = if !self.has_room() {
                    Some(SearchLimit::Documents)
                } else if depth == MAX_REFERRER_DEPTH && !level.is_empty() {
                    Some(SearchLimit::Depth)
                } else {
                    None
                };
                if let Some(limit) = exceeded {
                    self.skip(self.limit_error(limit))?;
                    return Ok(attached);
                }
            }
            if level.is_empty() {
                break;
            }
        }
        Ok(attached)
    }

    /// Whether the limits admit another artifact. Checked before each is fetched: a list may name 10,000, and several lists are
    /// read at once.
    fn has_room(&self) -> bool {
        self.count.load(Ordering::Relaxed) <= MAX_REFERRERS && self.finder.has_room_for_documents()
    }

    fn description(&self) -> String {
        format!("referrers and digest tags of {}", self.request.reference)
    }

    fn limit_error(&self, limit: SearchLimit) -> Error {
        let reason = match limit {
            SearchLimit::Documents => format!(
                "more than {MAX_REFERRERS} documents, or {} MiB of them",
                MAX_DOCUMENT_BYTES >> 20
            ),
            SearchLimit::Depth => format!("more than {MAX_REFERRER_DEPTH} levels of referrers"),
        };
        Error::new(ErrorKind::InvalidDocument, self.description()).with_reason(reason)
    }

    /// Continues without what failed with this error.
    ///
    /// # Errors
    /// The error itself if it is about this machine: everything else would fail, too.
    fn skip(&self, error: Error) -> Result<()> {
        if matches!(error.kind(), ErrorKind::Store | ErrorKind::Interrupted) {
            return Err(error);
        }
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        Ok(())
    }

    /// Warns once about refusals, and returns the first error that is not one.
    fn into_error(self) -> Option<Error> {
        let errors = self.errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (refusals, failures): (Vec<Error>, Vec<Error>) =
            errors.into_iter().partition(is_refusal);
        if let Some(first) = refusals.first() {
            tracing::warn!(
                "{}: the referrers list may be incomplete: {}",
                self.request.reference,
                first.chain()
            );
        }
        failures.into_iter().next()
    }

    /// The artifacts of this manifest.
    async fn artifacts_of(&self, subject: Digest) -> Result<Vec<FoundArtifact>> {
        let mut found = Vec::new();
        if self.artifacts.referrers {
            let listed = match self.request.source.referrers(&subject).await {
                Ok(listed) => listed.present().unwrap_or_default(),
                Err(error) => {
                    self.skip(error)?;
                    Vec::new()
                }
            };
            for listed in listed {
                if !self.has_room() {
                    break;
                }
                let fetched = match self.fetch_referrer(&listed, &subject).await {
                    Ok(Some(document)) => self.collect_documents(document).await.map(Some),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                match fetched {
                    Ok(Some(documents)) => {
                        let name = digest_name(&self.request.target_name, &listed.digest);
                        found.push(FoundArtifact { name, documents, is_referrer: true });
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => self.skip(error)?,
                }
                if let Err(limit) = self.finder.count_miss() {
                    self.skip(limit)?;
                    break;
                }
            }
        }
        if self.artifacts.digest_tags {
            for tag in digest_tags(&subject).into_iter().filter(|_| self.has_room()) {
                match self.fetch_tag(&tag).await {
                    Ok(documents) => {
                        let name = sibling_tag(&self.request.target_name, &tag);
                        found.push(FoundArtifact { name, documents, is_referrer: false });
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => self.skip(error)?,
                }
            }
        }
        Ok(found)
    }

    async fn fetch_tag(&self, tag: &str) -> Result<Vec<Document>> {
        self.collect_documents(
            self.request.source.resolve(&sibling_tag(&self.request.name, tag)).await?,
        )
        .await
    }

    /// Fetches a listed referrer. `None` if it does not refer to the subject: lists
    /// maintained by clients may be outdated or wrong.
    async fn fetch_referrer(
        &self,
        listed: &Descriptor,
        subject: &Digest,
    ) -> Result<Option<Document>> {
        let Descriptor { media_type, digest, size, .. } = listed.clone();
        // The other fields of the list's entry are no part of the document.
        let plain = Descriptor::new(media_type, digest, size);
        let mut read = self.finder.document(&plain).await;
        if let Err(error) = &read
            && matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::InvalidDocument)
        {
            // The list is a response and not content: its sizes and types may be wrong (oras-project/oras#1626).
            tracing::info!("{}; looking it up by digest only", error.chain());
            read = self.request.source.resolve(&ImageName::Digest(listed.digest.clone())).await;
        }
        let reason = match read {
            Ok(document) => match document.subject() {
                Some(found) if found.digest == *subject => return Ok(Some(document)),
                _ => "its subject is another manifest",
            },
            Err(error) if error.kind() == ErrorKind::NotFound => "is missing",
            Err(error) => return Err(error),
        };
        tracing::warn!("{} is listed as a referrer of {subject}, but {reason}", listed.digest);
        Ok(None)
    }

    async fn collect_documents(&self, document: Document) -> Result<Vec<Document>> {
        let documents = self.finder.collect(document).await?;
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(documents)
    }
}

/// The name of another tag in the repository that this name is in.
fn sibling_tag(name: &ImageName, tag: &str) -> ImageName {
    let ImageName::Layout(text) = name else { return ImageName::Tag(tag.to_owned()) };
    let sibling = full_reference(text).and_then(|reference| reference.with_tag(tag).ok());
    ImageName::Layout(sibling.map_or_else(|| tag.to_owned(), |reference| reference.to_string()))
}

/// The name of something that has no tag in the repository that this name is in.
fn digest_name(name: &ImageName, digest: &Digest) -> ImageName {
    let ImageName::Layout(text) = name else { return ImageName::Digest(digest.clone()) };
    let repository = match full_reference(text) {
        Some(reference) => reference.repository_name(),
        None => text.clone(),
    };
    ImageName::Layout(format!("{repository}@{digest}"))
}

/// A name with a registry and repository; a layout's own short name has none.
fn full_reference(name: &str) -> Option<Reference> {
    name.parse().ok().filter(|reference: &Reference| reference.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_tag_is_in_repository_of_image() {
        let of = |name: &str| sibling_tag(&ImageName::Layout(name.to_owned()), "x").to_string();
        assert_eq!(of("localhost:5000/a/b:1"), "localhost:5000/a/b:x");
        assert_eq!(of("docker.io/library/alpine:3"), "docker.io/library/alpine:x");
        assert_eq!(of("v1"), "x");
        let digest = Digest::sha256(b"");
        assert_eq!(of(&format!("ghcr.io/a/b@{digest}")), "ghcr.io/a/b:x");
        let of = |name: &str| digest_name(&ImageName::Layout(name.to_owned()), &digest).to_string();
        assert_eq!(of("localhost:5000/a/b:1"), format!("localhost:5000/a/b@{digest}"));
        assert_eq!(of("v1"), format!("v1@{digest}"));
        assert_eq!(
            sibling_tag(&ImageName::Digest(digest.clone()), "x"),
            ImageName::Tag("x".to_owned())
        );
    }
}
