//! A server as a cache of other registries: what a client asks for is fetched there once, verified, stored and passed on while
//! it arrives.
//!
//! ```text
//! route       which registry and repository a request is for
//! answer      the response: documents by tag and digest, blobs, lists
//! fetch       moves one blob into the store; `arriving` is the blob meanwhile, for waiting readers
//! flight      one request to a registry for all concurrent callers
//! evict       keeps the store below its size
//! failure     the response to a client when the registry fails
//! ```

mod answer;
mod arriving;
mod blob_sizes;
mod blobs;
mod documents;
mod evict;
mod failure;
mod fetch;
mod flight;
mod lists;
mod registry;
mod route;
mod space;
mod tag_lists;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::arriving::ArrivingBlobs;
use self::blob_sizes::BlobSizes;
use self::flight::SingleFlight;
pub use self::registry::Upstream;
use self::space::Space;
use self::tag_lists::TagLists;
use super::response::ApiError;
use super::route::ManifestRef;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::layout::Layout;
use crate::setters::setters;

/// Time for which an upstream that did not answer is not asked about tags that are in the cache.
const AWAY: Duration = Duration::from_secs(10);

/// Options of a server with upstreams.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Age up to which the answer about a tag is used without asking the registry again.
    pub ttl: Duration,
    /// Further time for which an answer is used if the registry cannot be reached.
    pub stale_if_error: Duration,
    /// Bytes of all blobs in the store up to which nothing is deleted. What a name in the store needs never is.
    pub max_size: Option<u64>,
}

impl Default for CacheOptions {
    /// One minute, one day, and no limit.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { ttl: Duration::from_secs(60), stale_if_error: day, max_size: None }
    }
}

impl CacheOptions {
    setters! {
        value ttl: Duration;
        value stale_if_error: Duration;
        optional max_size: u64;
    }
}

/// The cache of a server.
pub(super) struct PullThrough {
    upstreams: Vec<Upstream>,
    options: CacheOptions,
    layout: Layout,
    documents: SingleFlight<(String, ManifestRef), Result<Document, ApiError>>,
    lists: SingleFlight<String, Result<Arc<Vec<String>>, ApiError>>,
    recent_lists: TagLists,
    sizes: BlobSizes,
    sizing: SingleFlight<(String, Digest), Result<u64, ApiError>>,
    arriving: ArrivingBlobs,
    space: Space,
    /// Registries that did not answer, each with the time of that.
    away: Mutex<HashMap<String, Instant>>,
    /// Ends fetches that no client waits for, too.
    stop: CancellationToken,
}

impl PullThrough {
    /// Returns `None` without upstreams.
    pub(super) fn new(
        layout: &Layout,
        upstreams: Vec<Upstream>,
        options: CacheOptions,
    ) -> Result<Option<Arc<Self>>> {
        if upstreams.is_empty() {
            return Ok(None);
        }
        let used = if options.max_size.is_some() { layout.blob_bytes()? } else { 0 };
        Ok(Some(Arc::new(Self {
            upstreams,
            options,
            layout: layout.clone(),
            documents: SingleFlight::default(),
            lists: SingleFlight::default(),
            recent_lists: TagLists::default(),
            sizes: BlobSizes::default(),
            sizing: SingleFlight::default(),
            arriving: ArrivingBlobs::default(),
            space: Space::new(options.max_size, used),
            away: Mutex::default(),
            stop: CancellationToken::new(),
        })))
    }

    /// Ends running fetches.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether this registry did not answer a moment ago.
    fn is_away(&self, registry: &str) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.get(registry).is_some_and(|since| since.elapsed() < AWAY)
    }

    /// Records whether the registry answers.
    fn set_away(&self, registry: &str, is_away: bool) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if is_away {
            away.insert(registry.to_owned(), Instant::now());
        } else {
            away.remove(registry);
        }
    }
}
