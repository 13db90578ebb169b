//! What is known of the mirrors of a repository, by blob: which ones gave bytes of it, and which ones are not asked again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

/// Mirrors are told apart by their position in the list.
#[derive(Debug, Default)]
pub(in crate::registry) struct BlobHosts(Mutex<HashMap<Digest, KnownHosts>>);

#[derive(Debug, Default)]
struct KnownHosts {
    used: Vec<usize>,
    excluded: Vec<usize>,
}

impl BlobHosts {
    fn blobs(&self) -> MutexGuard<'_, HashMap<Digest, KnownHosts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::registry) fn record_use(&self, digest: &Digest, mirror: usize) {
        let mut blobs = self.blobs();
        let used = &mut blobs.entry(digest.clone()).or_default().used;
        if !used.contains(&mirror) {
            used.push(mirror);
        }
    }

    /// Does not ask the mirror for this blob again.
    pub(in crate::registry) fn exclude(&self, digest: &Digest, mirror: usize) {
        self.blobs().entry(digest.clone()).or_default().excluded.push(mirror);
    }

    pub(in crate::registry) fn is_excluded(&self, digest: &Digest, mirror: usize) -> bool {
        self.blobs().get(digest).is_some_and(|known| known.excluded.contains(&mirror))
    }

    /// Excludes the mirrors that gave bytes of the blob, and returns those that were not excluded before.
    pub(in crate::registry) fn exclude_used(&self, digest: &Digest) -> Vec<usize> {
        let mut blobs = self.blobs();
        let Some(known) = blobs.get_mut(digest) else { return Vec::new() };
        let mut used = std::mem::take(&mut known.used);
        used.retain(|mirror| !known.excluded.contains(mirror));
        known.excluded.extend(&used);
        used
    }
}
