//! Blobs of upstreams: from the store, or while they arrive.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use super::super::blobs::{from_file, respond, stored, unknown_blob};
use super::super::response::{ApiError, ApiResponse};
use super::PullThrough;
use super::arriving::{ArrivingBlob, Begun};
use super::failure::upstream_error;
use super::route::UpstreamRepository;
use crate::content::ByteStream;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::media::MediaType;

/// How often a blob is fetched for one request that is evicted before it is read.
const MAX_ATTEMPTS: usize = 3;

impl PullThrough {
    /// Answers `GET` and `HEAD` of a blob.
    pub(super) async fn blob(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        digest: &Digest,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<ApiResponse, ApiError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(file) = stored(&self.layout, digest)? {
                self.layout.mark_used(digest);
                return from_file(&self.layout, file, digest, method, headers);
            }
            if method == Method::HEAD {
                let size = self.ask_size(repository, digest).await?;
                return respond(digest, size, method, headers, |_| {
                    Ok(Box::pin(stream::empty()) as ByteStream<'static>)
                });
            }
            let fetch = self.fetch(repository, digest).await?;
            if fetch.begun().await? == Begun::Arriving {
                let open = |range| Ok(ArrivingBlob::stream(&fetch, range));
                return respond(digest, fetch.size(), method, headers, open);
            }
        }
        let reason = "evicted as soon as it was fetched; the server needs a larger --max-size";
        Err(ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", reason))
    }

    /// The fetch of this blob that is running, or a new one.
    async fn fetch(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Arc<ArrivingBlob>, ApiError> {
        if let Some(running) = self.arriving.running(digest) {
            return Ok(running);
        }
        let key = (repository.path.clone(), digest.clone());
        let size = match self.sizes.get(&key) {
            Some(size) => size,
            None => self.ask_size(repository, digest).await?,
        };
        let media_type = MediaType::from("application/octet-stream");
        Ok(self.start_fetch(repository, Descriptor::new(media_type, digest.clone(), size)))
    }

    /// Asks the upstream for the size of a blob.
    async fn ask_size(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<u64, ApiError> {
        let key = (repository.path.clone(), digest.clone());
        let (cache, repository) = (Arc::clone(self), repository.clone());
        let (digest, known) = (digest.clone(), key.clone());
        let work = || -> BoxFuture<'static, Result<u64, ApiError>> {
            Box::pin(async move {
                let found = repository.source.stat_blob(&digest).await.map_err(|error| {
                    upstream_error(&repository.registry, &error, unknown_blob(&digest))
                })?;
                cache.sizes.set(known, found.size);
                Ok(found.size)
            })
        };
        self.sizing.join(key, work).await
    }
}
