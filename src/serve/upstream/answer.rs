//! Answers reads of upstream content.

use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderMap;

use super::super::lists::{referrer_list, tag_list};
use super::super::manifests::document_response;
use super::super::query::QueryParams;
use super::super::response::{ApiError, ApiResponse};
use super::super::route::ApiEndpoint;
use super::PullThrough;
use super::route::UpstreamRepository;

impl PullThrough {
    /// Answers `GET` and `HEAD` of an endpoint.
    pub(in crate::serve) async fn respond(
        self: &Arc<Self>,
        repository: &UpstreamRepository,
        endpoint: &ApiEndpoint,
        method: &Method,
        headers: &HeaderMap,
        query: &QueryParams,
    ) -> Result<ApiResponse, ApiError> {
        match endpoint {
            ApiEndpoint::Blob(digest) => self.blob(repository, digest, method, headers).await,
            ApiEndpoint::Manifest(reference) => {
                let document = self.document(repository, reference).await?;
                Ok(document_response(&document, method, headers))
            }
            ApiEndpoint::Tags => {
                tag_list(&repository.path, self.tags(repository).await?.iter(), query)
            }
            ApiEndpoint::Referrers(subject) => {
                let found = repository.referrers(subject).await?;
                referrer_list(&repository.path, subject, found.iter(), query)
            }
            ApiEndpoint::Uploads | ApiEndpoint::Upload(_) => {
                Err(ApiError::unsupported(format!("method {method} not allowed")))
            }
        }
    }
}
