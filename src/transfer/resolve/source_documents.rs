//! Documents that several images of a run need, each fetched once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::content::{self, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;

/// Endpoints are compared as objects, not by their text: see [`content::is_same_endpoint`].
type EndpointId = usize;

fn id(source: &dyn Source) -> EndpointId {
    std::ptr::from_ref(source.endpoint()).addr()
}

/// A document that one caller fetches while the others wait.
type Slot = Arc<OnceCell<Document>>;

/// Documents that a run has read from its sources, for its other targets.
///
/// The default stores nothing: a run with one target reads each name only once.
#[derive(Default)]
pub(in crate::transfer) struct SourceDocuments {
    cache: Option<DocumentCache>,
}

#[derive(Default)]
struct DocumentCache {
    roots: Mutex<HashMap<(EndpointId, ImageName), Slot>>,
    children: Mutex<HashMap<(EndpointId, Digest), Slot>>,
}

impl SourceDocuments {
    /// Stores all documents that are read.
    pub(in crate::transfer) fn shared() -> Self {
        Self { cache: Some(DocumentCache::default()) }
    }

    /// [`Source::resolve`], once for each name.
    pub(super) async fn resolve(&self, source: &dyn Source, name: &ImageName) -> Result<Document> {
        let Some(cache) = &self.cache else { return source.resolve(name).await };
        let slot = slot(&cache.roots, (id(source), name.clone()));
        slot.get_or_try_init(|| source.resolve(name)).await.cloned()
    }

    /// [`content::fetch_document`], once for each digest.
    pub(super) async fn document(
        &self,
        source: &dyn Source,
        descriptor: &Descriptor,
    ) -> Result<Document> {
        let Some(cache) = &self.cache else {
            return content::fetch_document(source, descriptor).await;
        };
        let slot = slot(&cache.children, (id(source), descriptor.digest.clone()));
        let read = slot.get_or_try_init(|| content::fetch_document(source, descriptor)).await?;
        // The same digest can have descriptors with different other fields.
        Document::from_descriptor(read.bytes().clone(), descriptor)
    }
}

fn slot<K: Eq + Hash>(slots: &Mutex<HashMap<K, Slot>>, key: K) -> Slot {
    let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(slots.entry(key).or_default())
}
