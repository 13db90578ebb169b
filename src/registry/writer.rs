//! [`TargetWriter`] for a repository.
//!
//! The registry enforces the order: it rejects a manifest whose content is missing and a blob with another digest.
//! Several writers may run at the same time, and blobs may come in any order, also unplanned ones. Blobs and tags that
//! were sent remain when a writer is dropped; `finish` sends nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use super::Repository;
use super::put::{put, put_tags};
use super::upload::{self, UploadState};
use crate::content::{FinishGuard, OpenBlobOptions, Opened, Role, TargetPlan, TargetWriter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::ImageName;

/// Maximum tags in one request: URLs are limited in length.
const MAX_TAGS: usize = 16;

pub(super) struct RepositoryWriter {
    repository: Repository,
    tags: Mutex<Tags>,
    uploads: Arc<UploadState>,
    finished: FinishGuard,
}

/// The tags of a run.
#[derive(Default)]
struct Tags {
    /// Planned tags of a document that were not sent yet.
    planned: HashMap<Digest, Vec<String>>,
    /// Tags sent together with another one, until they are requested.
    confirmed: HashSet<(Digest, String)>,
}

impl Tags {
    fn plan(&mut self, digest: &Digest, name: &ImageName) {
        let ImageName::Tag(tag) = name else { return };
        let planned = self.planned.entry(digest.clone()).or_default();
        if !planned.contains(tag) {
            planned.push(tag.clone());
        }
    }

    /// Takes the planned tags of the document for one request, `first` first.
    fn take(&mut self, digest: &Digest, first: &str) -> Vec<String> {
        let Some(planned) = self.planned.get_mut(digest) else { return Vec::new() };
        planned.retain(|tag| tag != first);
        let mut taken = vec![first.to_owned()];
        taken.extend(planned.drain(..planned.len().min(MAX_TAGS - 1)));
        taken
    }

    /// Whether the tag was sent together with another one. True only once: a later call may set it again.
    fn take_confirmed(&mut self, digest: &Digest, tag: &str) -> bool {
        self.confirmed.remove(&(digest.clone(), tag.to_owned()))
    }
}

impl RepositoryWriter {
    pub(super) fn begin(repository: &Repository, plan: &TargetPlan<'_>) -> Self {
        let mut tags = Tags::default();
        for (digest, name) in &plan.names {
            tags.plan(digest, name);
        }
        Self {
            repository: repository.clone(),
            tags: Mutex::new(tags),
            uploads: Arc::default(),
            finished: FinishGuard::default(),
        }
    }

    fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn put(&self, document: &Document, role: Role<'_>) -> Result<()> {
        self.finished.check(self.repository.full_name())?;
        let digest = document.digest();
        let names = role.names();
        if names.is_empty() {
            return self.put_named(document, &ImageName::Digest(digest.clone())).await;
        }
        if names.len() > 1 {
            let mut tags = self.tags();
            for name in names {
                tags.plan(digest, name);
            }
        }
        for name in names {
            self.put_named(document, name).await?;
        }
        Ok(())
    }

    /// Stores the document under its tag, or under its digest for any other name.
    async fn put_named(&self, document: &Document, name: &ImageName) -> Result<()> {
        let (repository, digest) = (&self.repository, document.digest());
        let name = match name {
            ImageName::Tag(_) => name.clone(),
            ImageName::Digest(planned) if planned != digest => {
                return Err(Error::new(ErrorKind::Mismatch, format!("manifest {digest}"))
                    .at(repository.full_name())
                    .with_reason(format!("digest mismatch: expected {planned}")));
            }
            _ => ImageName::Digest(digest.clone()),
        };
        if digest.algorithm_name() != "sha256" && matches!(name, ImageName::Tag(_)) {
            // Not every registry supports this digest algorithm; find out before the tag changes.
            put(repository, document, &ImageName::Digest(digest.clone())).await?;
        }
        if let ImageName::Tag(tag) = &name
            && self.tag_with_others(document, tag).await
        {
            return Ok(());
        }
        put(repository, document, &name).await?;
        Ok(())
    }

    /// Sets the tag and the document's other planned tags in one request, if the registry supports it. Returns whether
    /// the tag is set.
    async fn tag_with_others(&self, document: &Document, tag: &str) -> bool {
        let digest = document.digest();
        let planned = {
            let mut tags = self.tags();
            if tags.take_confirmed(digest, tag) {
                return true;
            }
            tags.take(digest, tag)
        };
        let refused = &self.repository.transport.tags_refused;
        if planned.len() < 2 || refused.load(Ordering::Relaxed) {
            return false;
        }
        match put_tags(&self.repository, document, &planned).await {
            Ok(confirmed) => {
                if confirmed.is_empty() {
                    // It stored the manifest and ignored the query.
                    refused.store(true, Ordering::Relaxed);
                }
                let mut tags = self.tags();
                tags.confirmed.extend(confirmed.into_iter().map(|tag| (digest.clone(), tag)));
                tags.take_confirmed(digest, tag)
            }
            // Setting each tag by itself will show the error.
            Err(error) => {
                tracing::info!("{}; pushing each tag separately", error.chain());
                false
            }
        }
    }
}

impl TargetWriter for RepositoryWriter {
    fn open_blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        options: &'a OpenBlobOptions,
    ) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async {
            self.finished.check(self.repository.full_name())?;
            upload::open_blob(&self.repository, &self.uploads, descriptor, options).await
        })
    }

    fn is_redirected(&self, digest: &Digest) -> bool {
        self.uploads.is_redirected(digest)
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        role: Role<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.put(document, role))
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.finished.finish(self.repository.full_name()) })
    }
}
