//! Lists of tags in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Maximum lists in memory. When it is reached all are forgotten.
const CACHE_SIZE: usize = 64;

/// Lists of tags by repository, so that the pages of one list are requested once.
#[derive(Debug, Default)]
pub(super) struct TagLists(Mutex<HashMap<String, TagList>>);

/// When a list was received, and its tags.
type TagList = (Instant, Arc<Vec<String>>);

impl TagLists {
    pub(super) fn get(&self, path: &str, ttl: Duration) -> Option<Arc<Vec<String>>> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, tags) = lists.get(path)?;
        (since.elapsed() < ttl).then(|| Arc::clone(tags))
    }

    pub(super) fn insert(&self, path: &str, tags: &Arc<Vec<String>>) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= CACHE_SIZE {
            lists.clear();
        }
        lists.insert(path.to_owned(), (Instant::now(), Arc::clone(tags)));
    }
}
