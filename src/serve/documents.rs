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
const CACHE_SIZE: usize = 20_000;

/// Cached data of a document, which is immutable.
#[derive(Debug)]
pub(super) struct DocumentInfo {
    /// The descriptor as it appears in a list of referrers.
    pub(super) descriptor: Descriptor,
    pub(super) subject: Option<Digest>,
    /// Referenced content that is not a document.
    blobs: Vec<Digest>,
    /// Documents listed by an index.
    children: Vec<Descriptor>,
}

/// Cache of documents by digest.
#[derive(Debug, Default)]
pub(super) struct DocumentCache(Mutex<HashMap<Digest, Arc<DocumentInfo>>>);

impl DocumentCache {
    /// Returns every document of a repository once, including those listed in its indexes.
    pub(super) async fn reachable(
        &self,
        layout: &Layout,
        repository: &ServedRepository,
    ) -> Vec<Arc<DocumentInfo>> {
        let roots = repository.images().map(|image| &image.entry.descriptor);
        let roots = roots.filter(|root| root.media_type.is_document());
        let (mut walk, mut found) = (TreeWalk::default(), Vec::new());
        walk.queue(0, roots.cloned());
        while let Some(step) = walk.next_step() {
            match self.info(layout, &step.item).await {
                Ok(info) => {
                    walk.queue(step.depth + 1, info.children.iter().cloned());
                    found.push(info);
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
        let collect = async || {
            let found = self.reachable(layout, repository).await;
            found.iter().flat_map(|info| info.blobs.iter().cloned()).collect()
        };
        repository.blobs.get_or_init(collect).await
    }

    async fn info(&self, layout: &Layout, descriptor: &Descriptor) -> Result<Arc<DocumentInfo>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(info) = lock().get(&descriptor.digest) {
            return Ok(Arc::clone(info));
        }
        let info = Arc::new(DocumentInfo::from_document(
            &content::fetch_document(layout, descriptor).await?,
        ));
        let mut cache = lock();
        if cache.len() >= CACHE_SIZE {
            cache.clear();
        }
        cache.insert(descriptor.digest.clone(), Arc::clone(&info));
        Ok(info)
    }
}

impl DocumentInfo {
    fn from_document(document: &Document) -> Self {
        Self {
            descriptor: document.as_referrer(),
            blobs: document.blobs().map(|blob| blob.digest.clone()).collect(),
            subject: document.subject().map(|subject| subject.digest.clone()),
            children: document.children().cloned().collect(),
        }
    }
}
