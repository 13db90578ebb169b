//! What the documents of a repository say: who is below whom, and who refers to whom.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::name_table::ServedRepository;
use crate::content;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::{ErrorKind, Result};
use crate::layout::Layout;

/// Documents that are remembered; beyond that it starts over.
const REMEMBERED: usize = 20_000;

/// What is remembered of a document: its bytes never change.
#[derive(Debug)]
pub(super) struct DocumentInfo {
    /// As a list of referrers would name it.
    pub(super) descriptor: Descriptor,
    pub(super) subject: Option<Digest>,
    /// What it names that is no document.
    blobs: Vec<Digest>,
    children: Vec<Descriptor>,
}

/// Facts of the documents that were read so far.
#[derive(Debug, Default)]
pub(super) struct DocumentCache(Mutex<HashMap<Digest, Arc<DocumentInfo>>>);

impl DocumentCache {
    /// Every document of a repository, those that its indexes list included, each once.
    pub(super) async fn of(
        &self,
        layout: &Layout,
        repository: &ServedRepository,
    ) -> Vec<Arc<DocumentInfo>> {
        let mut open: Vec<Descriptor> =
            repository.images().map(|image| image.entry.descriptor.clone()).collect();
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        while let Some(descriptor) = open.pop() {
            if !descriptor.media_type.is_document() || !seen.insert(descriptor.digest.clone()) {
                continue;
            }
            match self.facts(layout, &descriptor).await {
                Ok(facts) => {
                    open.extend(facts.children.iter().cloned());
                    found.push(facts);
                }
                // A platform that was not pulled.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!("{}", error.chain()),
            }
        }
        found
    }

    /// Every blob that the documents of a repository name.
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
        let children = match document.parsed() {
            ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => Vec::new(),
            ParsedDocument::Index(index) => index.manifests.clone(),
        };
        Self {
            descriptor: document.as_referrer(),
            blobs: document.blobs().map(|blob| blob.digest.clone()).collect(),
            subject: document.subject().map(|subject| subject.digest.clone()),
            children,
        }
    }
}
