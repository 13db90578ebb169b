//! Cancels an upload session. Spec: distribution-spec "Canceling blob uploads".

use std::time::Duration;

use reqwest::{Method, Url};

use crate::registry::Repository;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::request::Request;
use crate::registry::scope::ScopeSet;

/// Longest wait for the response. The registry expires sessions by itself anyway.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Cancels the upload session at this URL. Errors are ignored.
pub(super) async fn cancel(repository: &Repository, url: Url, what: &str) {
    // distribution requires the right to delete.
    let request = Request {
        method: Method::DELETE,
        scopes: &ScopeSet::delete(&repository.name),
        ..repository.get(RequestKind::Upload, url, what)
    };
    let request = repository.transport.expect_success(&request);
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::info!("failed to cancel the upload: {}", error.chain()),
        Err(_) => tracing::info!("failed to cancel the upload: {what}"),
    }
}
