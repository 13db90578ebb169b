//! Sizes of blobs that were not fetched yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::digest::Digest;
use crate::document::Document;

/// Maximum sizes in memory. When it is reached all are forgotten.
const CACHE_SIZE: usize = 100_000;

/// Sizes of blobs as the manifests of their repository give them, which saves a request. Those of another repository may be wrong
/// on purpose.
#[derive(Debug, Default)]
pub(super) struct BlobSizes(Mutex<HashMap<(String, Digest), u64>>);

impl BlobSizes {
    /// Records the sizes of the blobs that the document references.
    pub(super) fn note(&self, path: &str, document: &Document) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.len() >= CACHE_SIZE {
            sizes.clear();
        }
        sizes.extend(
            document.blobs().map(|blob| ((path.to_owned(), blob.digest.clone()), blob.size)),
        );
    }

    pub(super) fn get(&self, key: &(String, Digest)) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(super) fn set(&self, key: (String, Digest), size: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, size);
    }

    /// Forgets a size that may have been wrong.
    pub(super) fn forget(&self, path: &str, digest: &Digest) {
        let key = (path.to_owned(), digest.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
