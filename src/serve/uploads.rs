//! Receives blobs, in one request or in chunks. Spec: distribution-spec "Pushing blobs".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, HeaderMap, HeaderName, LOCATION, RANGE};
use hyper::{Method, Request, StatusCode};

use super::body::RequestBody;
use super::query::QueryParams;
use super::range::parse_content_range;
use super::response::{ApiError, ApiResponse, DIGEST, header_text, set, with_bytes};
use super::route::{digest, unknown_upload};
use super::sessions::Sessions;
use crate::digest::{Algorithm, Digest};
use crate::layout::{IngestSession, Layout, ResumeResult, SessionId};
use crate::verifier::DeferredVerifier;

/// docker's header for the session id.
const UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Timeout of a request while another one writes to the same session: the other client may already have disconnected.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum sessions with a cached hash state. Other sessions are hashed again when they continue.
const CACHE_SIZE: usize = 1024;

/// Receives blobs into a layout.
#[derive(Debug, Default)]
pub(super) struct UploadHandler {
    pub(super) sessions: Sessions,
    /// Hash state of each session that this process has written to.
    hashes: Mutex<HashMap<SessionId, (Algorithm, DeferredVerifier)>>,
}

/// A session being written by a request.
struct ActiveUpload {
    id: SessionId,
    session: IngestSession,
    algorithm: Algorithm,
    hash: DeferredVerifier,
}

impl UploadHandler {
    /// `POST`: receives a complete blob, or opens a session.
    pub(super) async fn open(
        &self,
        layout: &Layout,
        repository: &str,
        request: Request<Incoming>,
    ) -> Result<ApiResponse, ApiError> {
        let query = QueryParams::from_uri(request.uri());
        let expected = query.get("digest").map(digest).transpose()?;
        let Some(expected) = expected else {
            let algorithm = query.get("digest-algorithm").map(parse_algorithm).transpose()?;
            self.sessions.make_room(layout)?;
            let (id, _) = layout.open_session()?;
            self.sessions.opened(id);
            if let Some(algorithm) = algorithm {
                self.cache_hash(id, algorithm, DeferredVerifier::new(algorithm));
            }
            return Ok(progress(StatusCode::ACCEPTED, repository, id, 0));
        };
        let (id, session) = layout.open_session()?;
        let algorithm = algorithm_of(&expected);
        let (session, hash) = (session.delete_on_drop(), DeferredVerifier::new(algorithm));
        let mut upload = ActiveUpload { id, session, algorithm, hash };
        upload.receive(request).await?;
        upload.commit(layout, repository, &expected)
    }

    /// Handles a request for an open session.
    pub(super) async fn handle_session(
        &self,
        layout: &Layout,
        repository: &str,
        id: SessionId,
        request: Request<Incoming>,
    ) -> Result<ApiResponse, ApiError> {
        match *request.method() {
            Method::GET | Method::HEAD => {
                let offset = layout.session_offset(id)?.ok_or_else(unknown_upload)?;
                Ok(progress(StatusCode::NO_CONTENT, repository, id, offset))
            }
            Method::PATCH => {
                let mut upload = self.open_upload(layout, id, None).await?;
                check_range(
                    request.headers(),
                    request.body().size_hint().exact(),
                    repository,
                    &upload,
                )?;
                let received = upload.receive(request).await;
                let offset = self.suspend(upload);
                received?;
                Ok(progress(StatusCode::ACCEPTED, repository, id, offset))
            }
            Method::PUT => {
                let query = QueryParams::from_uri(request.uri());
                let missing =
                    || ApiError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "missing digest");
                let expected = digest(query.get("digest").ok_or_else(missing)?)?;
                let mut upload =
                    self.open_upload(layout, id, Some(algorithm_of(&expected))).await?;
                let length = request.body().size_hint().exact();
                if length != Some(0) {
                    check_range(request.headers(), length, repository, &upload)?;
                }
                if let Err(error) = upload.receive(request).await {
                    self.suspend(upload);
                    return Err(error);
                }
                self.sessions.ended(id);
                upload.commit(layout, repository, &expected)
            }
            Method::DELETE => {
                self.resume(layout, id).await?.cancel()?;
                self.lock().remove(&id);
                self.sessions.ended(id);
                Ok(with_bytes(StatusCode::NO_CONTENT, ""))
            }
            _ => Err(ApiError::unsupported(
                "method not allowed on an upload, expected GET, PATCH, PUT or DELETE",
            )),
        }
    }

    async fn resume(&self, layout: &Layout, id: SessionId) -> Result<IngestSession, ApiError> {
        let resume = async {
            loop {
                match layout.resume_session(id)? {
                    ResumeResult::Opened(session) => return Ok(session),
                    ResumeResult::NotFound => return Err(unknown_upload()),
                    ResumeResult::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let busy = |_| {
            let reason = "another request is writing to this upload";
            Err(ApiError::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", reason))
        };
        tokio::time::timeout(BUSY_TIMEOUT, resume).await.unwrap_or_else(busy)
    }

    /// Resumes the session with its hash state: from the cache, or by reading its bytes again.
    async fn open_upload(
        &self,
        layout: &Layout,
        id: SessionId,
        algorithm: Option<Algorithm>,
    ) -> Result<ActiveUpload, ApiError> {
        let session = self.resume(layout, id).await?;
        let cached = self.lock().remove(&id);
        let announced = cached.as_ref().map(|(algorithm, _)| *algorithm);
        let algorithm = algorithm.or(announced).unwrap_or(Algorithm::Sha256);
        let hash = match cached {
            Some((cached, hash)) if cached == algorithm && hash.position() == session.offset() => {
                hash
            }
            _ => {
                let mut hash = DeferredVerifier::new(algorithm);
                let mut bytes = session.read()?;
                while let Some(chunk) = bytes.try_next().await? {
                    hash.update(&chunk);
                }
                hash
            }
        };
        Ok(ActiveUpload { id, session, algorithm, hash })
    }

    /// Caches the hash state for the next request, and returns the session's offset.
    fn suspend(&self, upload: ActiveUpload) -> u64 {
        self.cache_hash(upload.id, upload.algorithm, upload.hash);
        upload.session.offset()
    }

    fn cache_hash(&self, id: SessionId, algorithm: Algorithm, hash: DeferredVerifier) {
        let mut hashes = self.lock();
        if hashes.len() >= CACHE_SIZE {
            hashes.clear();
        }
        hashes.insert(id, (algorithm, hash));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, (Algorithm, DeferredVerifier)>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveUpload {
    /// Writes the body to the session. If the client disconnects, the bytes received so far are kept.
    async fn receive(&mut self, request: Request<Incoming>) -> Result<(), ApiError> {
        let mut body = RequestBody::new(request, "BLOB_UPLOAD_INVALID");
        while let Some(chunk) = body.next().await? {
            self.session.write(&chunk)?;
            self.hash.update(&chunk);
        }
        Ok(())
    }

    fn commit(
        self,
        layout: &Layout,
        repository: &str,
        digest: &Digest,
    ) -> Result<ApiResponse, ApiError> {
        match self.hash.finish(digest) {
            Ok(proof) => {
                self.session.commit(&proof)?;
                layout.link(repository, digest)?;
                Ok(blob_created(repository, digest))
            }
            Err(error) => {
                // A digest mismatch cannot be corrected by further chunks.
                self.session.cancel()?;
                Err(error.into())
            }
        }
    }
}

/// Parses the digest algorithm that the client announced, which saves hashing the blob again at the end.
fn parse_algorithm(name: &str) -> Result<Algorithm, ApiError> {
    Algorithm::from_name(name).ok_or_else(|| {
        let reason = "unsupported digest algorithm, expected sha256 or sha512";
        ApiError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", reason)
    })
}

fn algorithm_of(digest: &Digest) -> Algorithm {
    digest.algorithm().unwrap_or(Algorithm::Sha256)
}

/// Rejects a chunk that does not begin at the session's offset. Without `Content-Range` it does.
fn check_range(
    headers: &HeaderMap,
    length: Option<u64>,
    repository: &str,
    upload: &ActiveUpload,
) -> Result<(), ApiError> {
    let Some(header) = header_text(headers, CONTENT_RANGE) else { return Ok(()) };
    let invalid = |reason| ApiError::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", reason);
    let range = parse_content_range(header)
        .ok_or_else(|| invalid("invalid Content-Range, expected FIRST-LAST"))?;
    if length.is_some_and(|length| length != range.end - range.start) {
        return Err(invalid("body length differs from Content-Range"));
    }
    let offset = upload.session.offset();
    if range.start == offset {
        return Ok(());
    }
    let reason = format!("out of order, the upload continues at byte {offset}");
    let code = "BLOB_UPLOAD_INVALID";
    Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, code, reason)
        .with_header(RANGE, range_header(offset))
        .with_header(LOCATION, location(repository, upload.id)))
}

/// Formats the range as distribution does: 0 bytes and 1 byte give the same value.
fn range_header(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn location(repository: &str, id: SessionId) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}")
}

fn progress(status: StatusCode, repository: &str, id: SessionId, offset: u64) -> ApiResponse {
    let mut response = with_bytes(status, "");
    set(&mut response, LOCATION, location(repository, id));
    set(&mut response, RANGE, range_header(offset));
    set(&mut response, UUID, id.to_string());
    response
}

/// Returns the response with the location of a stored or mounted blob.
pub(super) fn blob_created(repository: &str, digest: &Digest) -> ApiResponse {
    let mut response = with_bytes(StatusCode::CREATED, "");
    set(&mut response, LOCATION, format!("/v2/{repository}/blobs/{digest}"));
    set(&mut response, DIGEST, digest.as_str());
    response
}
