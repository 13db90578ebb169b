//! Takes blobs: in one request, or in as many as the client likes. Spec: distribution-spec "Pushing blobs".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, HeaderMap, HeaderName, LOCATION, RANGE};
use hyper::{Method, Request, StatusCode};

use super::answer::{Answer, DIGEST, Fault, set, with_bytes};
use super::body::Arriving;
use super::query::Query;
use super::range::chunk;
use super::route::{digest, unknown_upload};
use super::sessions::Sessions;
use super::text;
use crate::checked::Unnamed;
use crate::digest::{Algorithm, Digest};
use crate::layout::{Layout, Resumed, Session, SessionId};

/// How docker names a session.
const UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// How long a request waits for another one that writes to the same session: its client may be gone already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions whose hash is remembered; others are read again when they end.
const REMEMBERED: usize = 1024;

/// Takes blobs into a layout.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) sessions: Sessions,
    /// The hash so far of each session that this process has written to.
    hashes: Mutex<HashMap<SessionId, (Algorithm, Unnamed)>>,
}

/// A session that a request writes to.
struct Writing {
    id: SessionId,
    session: Session,
    algorithm: Algorithm,
    hash: Unnamed,
}

impl Uploads {
    /// `POST`: takes a whole blob, or opens a session.
    pub(super) async fn open(
        &self,
        layout: &Layout,
        repository: &str,
        request: Request<Incoming>,
    ) -> Result<Answer, Fault> {
        let query = Query::of(request.uri());
        let whole = query.get("digest").map(digest).transpose()?;
        let Some(whole) = whole else {
            let algorithm = query.get("digest-algorithm").map(algorithm_called).transpose()?;
            self.sessions.make_room(layout)?;
            let (id, _) = layout.open_session()?;
            self.sessions.opened(id);
            if let Some(algorithm) = algorithm {
                self.remember(id, algorithm, Unnamed::new(algorithm));
            }
            return Ok(progress(StatusCode::ACCEPTED, repository, id, 0));
        };
        let (id, session) = layout.open_session()?;
        let algorithm = algorithm_of(&whole);
        let (session, hash) = (session.fleeting(), Unnamed::new(algorithm));
        let mut writing = Writing { id, session, algorithm, hash };
        writing.receive(request).await?;
        writing.commit(layout, repository, &whole)
    }

    /// A request about an open session.
    pub(super) async fn go_on(
        &self,
        layout: &Layout,
        repository: &str,
        id: SessionId,
        request: Request<Incoming>,
    ) -> Result<Answer, Fault> {
        match *request.method() {
            Method::GET | Method::HEAD => {
                let offset = layout.session_offset(id)?.ok_or_else(unknown_upload)?;
                Ok(progress(StatusCode::NO_CONTENT, repository, id, offset))
            }
            Method::PATCH => {
                let mut writing = self.writing(layout, id, None).await?;
                fits(request.headers(), request.body().size_hint().exact(), repository, &writing)?;
                let received = writing.receive(request).await;
                let offset = self.put_by(writing);
                received?;
                Ok(progress(StatusCode::ACCEPTED, repository, id, offset))
            }
            Method::PUT => {
                let query = Query::of(request.uri());
                let missing = || {
                    Fault::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the digest is missing")
                };
                let whole = digest(query.get("digest").ok_or_else(missing)?)?;
                let mut writing = self.writing(layout, id, Some(algorithm_of(&whole))).await?;
                let length = request.body().size_hint().exact();
                if length != Some(0) {
                    fits(request.headers(), length, repository, &writing)?;
                }
                if let Err(fault) = writing.receive(request).await {
                    self.put_by(writing);
                    return Err(fault);
                }
                self.sessions.ended(id);
                writing.commit(layout, repository, &whole)
            }
            Method::DELETE => {
                self.resume(layout, id).await?.cancel()?;
                self.lock().remove(&id);
                self.sessions.ended(id);
                Ok(with_bytes(StatusCode::NO_CONTENT, ""))
            }
            _ => Err(Fault::unsupported("an upload takes GET, PATCH, PUT and DELETE")),
        }
    }

    async fn resume(&self, layout: &Layout, id: SessionId) -> Result<Session, Fault> {
        let resume = async {
            loop {
                match layout.resume_session(id)? {
                    Resumed::Open(session) => return Ok(session),
                    Resumed::Unknown => return Err(unknown_upload()),
                    Resumed::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let busy = |_| {
            let why = "another request is writing to this upload";
            Err(Fault::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", why))
        };
        tokio::time::timeout(PATIENCE, resume).await.unwrap_or_else(busy)
    }

    /// The session, with the hash of what it has: remembered, or computed where another process wrote it.
    async fn writing(
        &self,
        layout: &Layout,
        id: SessionId,
        algorithm: Option<Algorithm>,
    ) -> Result<Writing, Fault> {
        let session = self.resume(layout, id).await?;
        let known = self.lock().remove(&id);
        let told = known.as_ref().map(|(told, _)| *told);
        let algorithm = algorithm.or(told).unwrap_or(Algorithm::Sha256);
        let hash = match known {
            Some((of, hash)) if of == algorithm && hash.seen() == session.offset() => hash,
            _ => {
                let mut hash = Unnamed::new(algorithm);
                let mut bytes = session.read()?;
                while let Some(piece) = bytes.try_next().await? {
                    hash.update(&piece);
                }
                hash
            }
        };
        Ok(Writing { id, session, algorithm, hash })
    }

    /// Remembers the hash for the next request, and tells how many bytes are there.
    fn put_by(&self, writing: Writing) -> u64 {
        self.remember(writing.id, writing.algorithm, writing.hash);
        writing.session.offset()
    }

    fn remember(&self, id: SessionId, algorithm: Algorithm, hash: Unnamed) {
        let mut hashes = self.lock();
        if hashes.len() >= REMEMBERED {
            hashes.clear();
        }
        hashes.insert(id, (algorithm, hash));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, (Algorithm, Unnamed)>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// What came before the client went away stays.
    async fn receive(&mut self, request: Request<Incoming>) -> Result<(), Fault> {
        let mut body = Arriving::new(request, "BLOB_UPLOAD_INVALID");
        while let Some(piece) = body.next().await? {
            self.session.write(&piece)?;
            self.hash.update(&piece);
        }
        Ok(())
    }

    fn commit(self, layout: &Layout, repository: &str, digest: &Digest) -> Result<Answer, Fault> {
        match self.hash.name(digest) {
            Ok(proof) => {
                self.session.commit(&proof)?;
                layout.link(repository, digest)?;
                Ok(stored(repository, digest))
            }
            Err(error) => {
                // More bytes would not make it right.
                self.session.cancel()?;
                Err(error.into())
            }
        }
    }
}

/// What the client says it will name the blob by, so that it is hashed once.
fn algorithm_called(name: &str) -> Result<Algorithm, Fault> {
    match name {
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        _ => {
            let why = "only sha256 and sha512 are kept here";
            Err(Fault::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", why))
        }
    }
}

fn algorithm_of(digest: &Digest) -> Algorithm {
    digest.algorithm().unwrap_or(Algorithm::Sha256)
}

/// Refuses a body that does not go on where the session ends. Without a `Content-Range` it always does.
fn fits(
    headers: &HeaderMap,
    length: Option<u64>,
    repository: &str,
    writing: &Writing,
) -> Result<(), Fault> {
    let Some(header) = text(headers, CONTENT_RANGE) else { return Ok(()) };
    let invalid = |why| Fault::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", why);
    let range = chunk(header).ok_or_else(|| invalid("Content-Range is FIRST-LAST"))?;
    if length.is_some_and(|length| length != range.end - range.start) {
        return Err(invalid("the body does not have the length that Content-Range says"));
    }
    let offset = writing.session.offset();
    if range.start == offset {
        return Ok(());
    }
    let why = format!("the upload goes on at byte {offset}");
    let code = "BLOB_UPLOAD_INVALID";
    Err(Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, code, why)
        .with(RANGE, arrived(offset))
        .with(LOCATION, location(repository, writing.id)))
}

/// As distribution writes it: nothing and one byte look alike.
fn arrived(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn location(repository: &str, id: SessionId) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}")
}

fn progress(status: StatusCode, repository: &str, id: SessionId, offset: u64) -> Answer {
    let mut answer = with_bytes(status, "");
    set(&mut answer, LOCATION, location(repository, id));
    set(&mut answer, RANGE, arrived(offset));
    set(&mut answer, UUID, id.to_string());
    answer
}

/// Says where a blob is that was taken or mounted.
pub(super) fn stored(repository: &str, digest: &Digest) -> Answer {
    let mut answer = with_bytes(StatusCode::CREATED, "");
    set(&mut answer, LOCATION, format!("/v2/{repository}/blobs/{digest}"));
    set(&mut answer, DIGEST, digest.as_str());
    answer
}
