//! Tags and referrers of upstreams.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::StatusCode;

use super::super::response::ApiError;
use super::PullThrough;
use super::failure::upstream_error;
use super::route::UpstreamRepository;
use crate::content::Source as _;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};

impl PullThrough {
    /// Returns the tags of a repository, sorted.
    pub(super) async fn tags(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
    ) -> Result<Arc<Vec<String>>, ApiError> {
        let (cache, repository) = (Arc::clone(self), repository.clone());
        let key = repository.path.clone();
        let work = || -> BoxFuture<'static, Result<Arc<Vec<String>>, ApiError>> {
            Box::pin(async move {
                if let Some(tags) = cache.recent_lists.get(&repository.path, cache.options.ttl) {
                    return Ok(tags);
                }
                let mut tags = repository.source.tags().await.map_err(|error| {
                    upstream_error(&repository.registry, &error, unknown_repository(&repository))
                })?;
                tags.sort();
                let tags = Arc::new(tags);
                cache.recent_lists.insert(&repository.path, &tags);
                Ok(tags)
            })
        };
        self.lists.join(key, work).await
    }
}

impl UpstreamRepository {
    /// Returns the referrers of a subject as the upstream lists them; none if it does not know the subject.
    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ApiError> {
        match self.source.referrers(subject).await {
            Ok(found) => Ok(found.present().unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(upstream_error(&self.registry, &error, unknown_repository(self))),
        }
    }
}

fn unknown_repository(repository: &UpstreamRepository) -> ApiError {
    let reason = format!("repository {} unknown", repository.path);
    ApiError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", reason)
}
