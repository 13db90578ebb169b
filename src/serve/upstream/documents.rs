//! Manifests and indexes of upstreams, by digest and by tag.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::super::manifests::{store, unknown_manifest};
use super::super::response::ApiError;
use super::super::route::ManifestRef;
use super::PullThrough;
use super::failure::{is_away, upstream_error};
use super::route::UpstreamRepository;
use crate::content::{Effort, Lookup, Presence, Source as _};
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;

/// Longest check of a tag while an older answer exists.
const MAX_CHECK: Duration = Duration::from_secs(10);

impl PullThrough {
    /// Returns the document with this tag or digest.
    ///
    /// # Errors
    /// The response for a document that the upstream does not have, or for its failure.
    pub(super) async fn document(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        reference: &ManifestRef,
    ) -> Result<Document, ApiError> {
        let (cache, repository, reference) =
            (Arc::clone(self), repository.clone(), reference.clone());
        let key = (repository.path.clone(), reference.clone());
        let work = || -> BoxFuture<'static, Result<Document, ApiError>> {
            Box::pin(async move {
                let found = match &reference {
                    ManifestRef::Tag(tag) => cache.tagged(&repository, tag).await,
                    ManifestRef::Digest(digest) => cache.by_digest(&repository, digest).await,
                };
                let document = found.map_err(|error| {
                    upstream_error(&repository.registry, &error, unknown_manifest(&reference))
                })?;
                cache.layout.mark_used(document.digest());
                cache.sizes.note(&repository.path, &document);
                Ok(document)
            })
        };
        self.documents.join(key, work).await
    }

    async fn by_digest(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Document> {
        if let Some(document) = self.stored(digest).await {
            return Ok(document);
        }
        self.fetch_document(repository, &ImageName::Digest(digest.clone())).await
    }

    /// The document of this digest in the store, pulled, pushed or cached.
    async fn stored(&self, digest: &Digest) -> Option<Document> {
        let found =
            self.layout.stat_blob(digest).ok().filter(|found| found.size <= DOCUMENT_LIMIT)?;
        let read = Lookup::read(&self.layout, &found, DOCUMENT_LIMIT, Effort::Local).await;
        let bytes = read.ok()?.present()?;
        Document::from_response(bytes, &MediaType::from_header(""), Some(digest)).ok()
    }

    async fn fetch_document(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        name: &ImageName,
    ) -> Result<Document> {
        let document = repository.source.resolve(name).await?;
        store(&self.layout, &document).await?;
        self.added(document.descriptor().size);
        Ok(document)
    }

    /// The document that the tag points to, as the upstream said within the time to live, or says now.
    async fn tagged(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        tag: &str,
    ) -> Result<Document> {
        let cached = self.layout.cached_tag(&repository.path, tag)?;
        let known = cached.and_then(|cached| {
            let document = self.layout.read_document(&cached.descriptor).ok()?;
            Some((document, cached.age()))
        });
        let Some((document, age)) = known else { return self.fetch_tag(repository, tag).await };
        let may_be_stale = age <= self.options.ttl.saturating_add(self.options.stale_if_error);
        if age <= self.options.ttl || (may_be_stale && self.is_away(&repository.registry)) {
            return Ok(document);
        }
        let checking = self.check_tag(repository, tag, &document);
        let checked = if may_be_stale {
            tokio::time::timeout(MAX_CHECK, checking).await.unwrap_or_else(|_| {
                let seconds = MAX_CHECK.as_secs();
                Err(Error::new(ErrorKind::Transport, tag)
                    .at(&repository.path)
                    .with_reason(format!("no answer within {seconds} s")))
            })
        } else {
            checking.await
        };
        match checked {
            Err(error) if may_be_stale && is_away(&error) => {
                self.set_away(&repository.registry, true);
                let (path, age) = (&repository.path, age.as_secs());
                tracing::warn!("{path}:{tag}: using an answer of {age} s ago: {}", error.chain());
                Ok(document)
            }
            checked => {
                self.set_away(&repository.registry, false);
                checked
            }
        }
    }

    /// Asks whether the tag still points to the document, and fetches the new one if not.
    async fn check_tag(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        tag: &str,
        known: &Document,
    ) -> Result<Document> {
        let name = ImageName::Tag(tag.to_owned());
        let document = match repository.source.name(&name, Effort::Request).await? {
            Presence::Present(found) if found.digest == *known.digest() => known.clone(),
            Presence::Present(found) => self.by_digest(repository, &found.digest).await?,
            Presence::Absent => {
                self.layout.remove_cached_tag(&repository.path, tag)?;
                return Err(Error::new(ErrorKind::NotFound, tag).at(&repository.path));
            }
            Presence::Unknown => return self.fetch_tag(repository, tag).await,
        };
        self.layout.set_cached_tag(&repository.path, tag, document.descriptor())?;
        Ok(document)
    }

    async fn fetch_tag(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        tag: &str,
    ) -> Result<Document> {
        let document = self.fetch_document(repository, &ImageName::Tag(tag.to_owned())).await?;
        self.layout.set_cached_tag(&repository.path, tag, document.descriptor())?;
        Ok(document)
    }
}
