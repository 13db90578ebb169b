//! Caches the relations between the documents of a repository: children, blobs and subjects.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::name_table::ServedRepository;
use crate::content;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, TreeWalk};
use crate::error::{ErrorKind, Result};
use crate::layout::Layout;

/// Maximum cached documents. When it is reached the cache is cleared.
const REMEMBERED: usize = 20_000;

/// Cached data of a document, which is immutable.
#[derive(Debug)]
pub(super) struct DocumentInfo {
    /// The descriptor as it appears in a list of referrers.
    pub(super) descriptor: Descriptor,
    pub(super) subject: Option<Digest>,
    /// Referenced content that is not a document.
    blobs: Vec<Digest>,
    /// Documents that it lists.
    children: Vec<Descriptor>,
}

/// Cache of documents by digest.
#[derive(Debug, Default)]
pub(super) struct DocumentCache(Mutex<HashMap<Digest, Arc<DocumentInfo>>>);

impl DocumentCache {
    /// Returns every document of a repository once, including those listed in its indexes.
    pub(super) async fn of(
        &self,
        layout: &Layout,
        repository: &ServedRepository,
    ) -> Vec<Arc<DocumentInfo>> {
        let roots = repository.images().map(|image| &image.entry.descriptor);
        let roots = roots.filter(|root| root.media_type.is_document());
        let (mut walk, mut found) = (TreeWalk::default(), Vec::new());
        walk.queue(0, roots.cloned());
        while let Some(step) = walk.next_step() {
            match self.facts(layout, &step.item).await {
                Ok(facts) => {
                    walk.queue(step.depth + 1, facts.children.iter().cloned());
                    found.push(facts);
                }
                // An index may list platforms that were not pulled.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!("{}", error.chain()),
            }
        }
        found
    }

    /// Returns every blob that the repository's documents reference.
    pub(super) async fn blobs<'a>(
        &self,
        layout: &Layout,
        repository: &'a ServedRepository,
    ) -> &'a HashSet<Digest> {
        let find = async || {
            let found = self.of(layout, repository).await;
            found.iter().flat_map(|facts| facts.blobs.iter().cloned()).collect()
        };
        repository.blobs.get_or_init(find).await
    }

    async fn facts(&self, layout: &Layout, descriptor: &Descriptor) -> Result<Arc<DocumentInfo>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&descriptor.digest) {
            return Ok(Arc::clone(known));
        }
        let facts = Arc::new(DocumentInfo::of(&content::document(layout, descriptor).await?));
        let mut known = lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(descriptor.digest.clone(), Arc::clone(&facts));
        Ok(facts)
    }
}

impl DocumentInfo {
    fn of(document: &Document) -> Self {
        Self {
            descriptor: document.as_referrer(),
            blobs: document.blobs().map(|blob| blob.digest.clone()).collect(),
            subject: document.subject().map(|subject| subject.digest.clone()),
            children: document.children().cloned().collect(),
        }
    }
}
