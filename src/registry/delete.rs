//! Deletes a tag, or a manifest with all its tags. Spec: distribution-spec "Deleting tags", "Deleting Manifests".

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;

use super::referrers::{self, tag_schema};
use super::scope::ScopeSet;
use super::{Repository, manifest};
use crate::content;
use crate::digest::Digest;
use crate::document::{Document, TreeWalk, WalkLimits};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::limits::{CONCURRENT_REQUESTS, MAX_INDEX_DEPTH, MAX_NESTED_INDEXES};
use crate::name::ImageName;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::request::Request;
use crate::retry::retry;

/// How to allow deletion at a registry that refuses it. Most others are the same program, or have a setting of their own.
const SWITCH_ON: &str = "allow it where the registry runs: for docker-registry with \
     `storage: {delete: {enabled: true}}` in its file, or with REGISTRY_STORAGE_DELETE_ENABLED=true";

/// How far an index of another tag is followed.
const INDEX_LIMITS: WalkLimits =
    WalkLimits { depth: MAX_INDEX_DEPTH, count: MAX_NESTED_INDEXES, what: "indexes" };

impl Repository {
    /// Deletes a tag and nothing else. Its manifest `digest` is deleted only if the registry cannot delete tags and the
    /// manifest has no other tag.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if other tags would be deleted too.
    pub async fn delete_tag(&self, tag: &str, digest: &Digest) -> Result<()> {
        self.delete_tags(&[tag.to_owned()], digest).await
    }

    /// Like [`Repository::delete_tag`], for several tags of one manifest.
    ///
    /// # Errors
    /// Those of the first tag that cannot be deleted.
    pub async fn delete_tags(&self, tags: &[String], digest: &Digest) -> Result<()> {
        for tag in tags {
            if !self.try_delete_tag(tag, tags, digest).await? {
                return self.delete_manifest(digest).await;
            }
        }
        Ok(())
    }

    /// Like [`Repository::delete_tag`], for a manifest without a subject.
    pub(super) async fn untag(&self, tag: &str, digest: &Digest) -> Result<()> {
        if self.try_delete_tag(tag, &[tag.to_owned()], digest).await? {
            return Ok(());
        }
        self.delete_manifest_only(digest).await
    }

    /// Deletes a manifest and thus all its tags. If it has a subject, also removes it from the referrers list that
    /// clients maintain for the subject.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the registry does not support deletion.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let subject = self.subject_of(digest).await?;
        self.delete_manifest_only(digest).await?;
        let Some(subject) = subject else { return Ok(()) };
        let unlist = async {
            if referrers::has_api(self, &subject).await? {
                return Ok(());
            }
            tag_schema::remove(self, digest, &subject).await
        };
        if let Err(error) = Box::pin(unlist).await {
            tracing::warn!("{digest} was deleted but is still listed: {}", error.chain());
        }
        Ok(())
    }

    /// The subject of the manifest; `None` if the manifest cannot be parsed.
    async fn subject_of(&self, digest: &Digest) -> Result<Option<Digest>> {
        // With the scopes of the deletion, which follows: one token serves both.
        let repository = Self { scopes: ScopeSet::delete(&self.name), ..self.clone() };
        match manifest::resolve(&repository, &ImageName::Digest(digest.clone())).await {
            Ok(document) => Ok(document.subject().map(|subject| subject.digest.clone())),
            Err(error) => match error.kind() {
                ErrorKind::NotFound
                | ErrorKind::InvalidDocument
                | ErrorKind::Unsupported
                | ErrorKind::Mismatch => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Deletes a manifest and thus all its tags. It stays in the referrers list that clients maintain for its subject.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the registry does not support deletion.
    pub(crate) async fn delete_manifest_only(&self, digest: &Digest) -> Result<()> {
        self.delete(digest.as_str()).await.map_err(|error| {
            if !is_unsupported(&error) {
                return error;
            }
            let unsupported =
                Error::new(ErrorKind::Unsupported, format!("manifest {}@{digest}", self.name))
                    .at(&self.transport.http.name)
                    .with_reason(format!(
                        "this registry does not support deletion ({})",
                        error.reason()
                    ));
            if error.status() == Some(405) { unsupported.with_hint(SWITCH_ON) } else { unsupported }
        })
    }

    /// Deletes a tag, and the manifest where the registry does so. Returns false if the registry cannot delete tags.
    pub(crate) async fn delete_only_tag(&self, tag: &str) -> Result<bool> {
        match self.delete(tag).await {
            Err(error) if is_unsupported(&error) => {
                tracing::info!("{}", error.chain());
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// Deletes a tag. Returns false if the registry cannot, so that the manifest may be deleted instead, with these `tags`.
    async fn try_delete_tag(&self, tag: &str, tags: &[String], digest: &Digest) -> Result<bool> {
        if Box::pin(self.delete_tag_alone(tag, digest, tags, false)).await? {
            return Ok(true);
        }
        let unsupported = |reason: &str| {
            Error::new(ErrorKind::Unsupported, format!("tag {}:{tag}", self.name))
                .at(&self.transport.http.name)
                .with_reason(reason)
        };
        if !self.resolves_to(tag, digest).await? {
            return Err(unsupported("now points to a different manifest; nothing was deleted"));
        }
        let siblings = self.siblings(tags, digest).await?;
        if siblings.is_empty() {
            return Ok(false);
        }
        let others = siblings.join(", ");
        let reason = format!(
            "this registry cannot delete a single tag, and {digest} also has the tags {others}"
        );
        let whole = format!("{}@{digest}", self.full_name());
        Err(unsupported(&reason)
            .with_detail(ErrorDetail::TagDeleteUnsupported)
            .with_hint(format!("run `rpull delete {whole}` to delete it with all its tags")))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let what = manifest::describe(self, path);
        let url = self.transport.http.url(&format!("{}/manifests/{path}", self.name))?;
        let request = Request {
            method: Method::DELETE,
            scopes: &ScopeSet::delete(&self.name),
            ..self.get(RequestKind::Manifest, url, &what)
        };
        let failed = AtomicBool::new(false);
        let deleted = retry(&self.transport.http.retry, || async {
            let result = self.transport.expect_success(&request).await;
            let is_retry = failed.swap(result.is_err(), Ordering::Relaxed);
            match result {
                // The response to an earlier attempt was lost, not the request.
                Err(error) if is_retry && error.kind() == ErrorKind::NotFound => Ok(()),
                other => other.map(drop),
            }
        });
        deleted.await
    }

    /// The other tags that point to the digest, or to an index that lists it.
    ///
    /// # Errors
    /// If a tag cannot be resolved: it might need the manifest.
    pub(super) async fn siblings(&self, tags: &[String], digest: &Digest) -> Result<Vec<String>> {
        let others = self.tags().await?.into_iter().filter(|other| !tags.contains(other));
        let resolutions = others.map(|other| async {
            let is_one = self.tag_depends_on(&other, digest).await?;
            Ok(is_one.then_some(other))
        });
        let resolved =
            futures_util::stream::iter(resolutions).buffer_unordered(CONCURRENT_REQUESTS);
        let found: Result<Vec<Option<String>>> = resolved.try_collect().await;
        let mut found: Vec<String> = found?.into_iter().flatten().collect();
        found.sort();
        Ok(found)
    }

    /// Whether the tag needs the manifest.
    async fn tag_depends_on(&self, tag: &str, digest: &Digest) -> Result<bool> {
        let name = ImageName::Tag(tag.to_owned());
        match manifest::head(self, &name).await?.present() {
            Some(found) if found.digest == *digest => return Ok(true),
            Some(found) if !found.media_type.is_index() => return Ok(false),
            _ => {}
        }
        let document = match manifest::resolve(self, &name).await {
            Ok(document) => document,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(document.digest() == digest || self.index_lists(document, digest).await?)
    }

    /// Whether an index, or a nested one, lists the manifest.
    ///
    /// # Errors
    /// If the nested indexes are too many or too deep: one of them might list it.
    async fn index_lists(&self, root: Document, digest: &Digest) -> Result<bool> {
        let mut walk = TreeWalk::below(root.digest().clone());
        let (mut index, mut depth) = (root, 0);
        loop {
            if index.entries().iter().any(|entry| entry.digest == *digest) {
                return Ok(true);
            }
            let nested = index.children().filter(|child| child.media_type.is_index());
            walk.queue(depth + 1, nested.cloned());
            walk.check(&INDEX_LIMITS).map_err(|limit| {
                limit.error(format!("index {}", index.digest())).at(self.full_name())
            })?;
            let Some(step) = walk.next_step() else { return Ok(false) };
            index = content::fetch_document(self, &step.item).await?;
            depth = step.depth;
        }
    }

    async fn resolves_to(&self, tag: &str, digest: &Digest) -> Result<bool> {
        let name = ImageName::Tag(tag.to_owned());
        if let Some(found) = manifest::head(self, &name).await?.present() {
            return Ok(found.digest == *digest);
        }
        match manifest::resolve(self, &name).await {
            Ok(document) => Ok(document.digest() == digest),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether the registry does not support this deletion: distribution 2.8 reports a tag as an invalid digest; registries
/// with deletion disabled or not implemented respond with 405.
fn is_unsupported(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 405 | 501))
}
