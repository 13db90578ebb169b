//! Reads request bodies, with a minimum rate and a size limit for documents.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout};

use super::htpasswd::Admission;
use super::response::ApiError;
use crate::document::DOCUMENT_LIMIT;
use crate::min_rate::MinimumRate;

/// Over each window a body must average at least 1 KiB/s.
const WINDOW: Duration = Duration::from_secs(30);

/// A request body being received.
pub(super) struct RequestBody {
    body: Incoming,
    min_rate: MinimumRate,
    /// The authenticated user, if authentication is required. It is checked again for each chunk: the user may be
    /// removed meanwhile.
    admission: Option<Admission>,
    /// The endpoint's code for errors.
    code: &'static str,
}

impl RequestBody {
    pub(super) fn new(request: Request<Incoming>, code: &'static str) -> Self {
        let (Parts { extensions, .. }, body) = request.into_parts();
        let admission = extensions.get().cloned();
        Self { body, min_rate: MinimumRate::over(WINDOW), admission, code }
    }

    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    /// If the body ends early or is too slow, or the user has lost access.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let start = Instant::now();
            let frame = timeout(self.min_rate.left(), self.body.frame()).await;
            self.admission.as_ref().map_or(Ok(()), Admission::check)?;
            let chunk = match frame {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) => {
                    let reason = format!("the body ended early: {error}");
                    return Err(ApiError::new(StatusCode::BAD_REQUEST, self.code, reason));
                }
                Err(_) => Bytes::new(),
            };
            if self.min_rate.record(chunk.len() as u64, start.elapsed()) == Some(false) {
                let reason = "request body too slow: less than 1 KiB/s for 30 s";
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, self.code, reason));
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    /// Reads a complete document.
    ///
    /// # Errors
    /// As [`RequestBody::next`], and if the document exceeds the size limit.
    pub(super) async fn read_document(mut self) -> Result<Bytes, ApiError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            if (bytes.len() + chunk.len()) as u64 > DOCUMENT_LIMIT {
                let reason = format!("more than {} MiB", DOCUMENT_LIMIT >> 20);
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, self.code, reason));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}
