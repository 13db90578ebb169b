//! Uploads the bytes of one blob: in one PUT, or in chunks if the registry wants them.
//!
//! The last buffer is sent only after the digest is verified, so that wrong bytes never become a blob.

mod writer;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::cancel::cancel;
use super::location::{UploadLocation, open};
use super::state::UploadState;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_REDIRECTS;
use crate::registry::Repository;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::origin::redact;
use crate::registry::http::request::{ConnectionUse, Request};
use crate::registry::manifest::mismatched_digest;
use crate::registry::send::UploadResponse;
use crate::verifier::Verified;

/// For a registry, or a proxy before it, that accepts no large bodies.
const DEFAULT_CHUNK_SIZE: u64 = 16 << 20;

pub(super) struct UploadSession {
    repository: Repository,
    state: Arc<UploadState>,
    descriptor: Descriptor,
    /// Where the next request goes; `None` during a request and after a failed one.
    location: Option<UploadLocation>,
    /// The URL of the open session, if known, for cancelling it.
    open: Option<Url>,
    /// Whether the received bytes are not a prefix of the blob.
    is_corrupt: bool,
    resumed: u64,
    min_chunk: u64,
    /// Redirects of all requests so far.
    redirects: usize,
    /// Bytes passed to requests, including resumed ones.
    position: u64,
    pending: Option<Bytes>,
    sending: Option<UploadRequest>,
}

/// A running request with bytes of the blob.
struct UploadRequest {
    body: mpsc::Sender<Result<Bytes, std::io::Error>>,
    response: AbortOnDropHandle<Result<UploadResponse>>,
    /// Offset of its first byte.
    start: u64,
    /// Bytes still to be sent.
    left: u64,
    is_chunk: bool,
    /// Whether it has all bytes of the blob.
    is_whole_blob: bool,
}

impl UploadSession {
    pub(super) fn new(
        repository: Repository,
        state: Arc<UploadState>,
        descriptor: Descriptor,
        location: UploadLocation,
    ) -> Self {
        let resumed = location.offset;
        let open = (location.redirects == 0).then(|| location.url.clone());
        let location = Some(location);
        Self {
            repository,
            state,
            descriptor,
            location,
            open,
            is_corrupt: false,
            resumed,
            min_chunk: 0,
            redirects: 0,
            position: resumed,
            pending: None,
            sending: None,
        }
    }

    fn what(&self) -> String {
        format!("upload of blob {}", self.descriptor.digest)
    }

    /// Starts the next request: a chunk, or all remaining bytes.
    ///
    /// The last chunk goes with the request that completes the upload: some registries fail at an empty one
    /// (aws/containers-roadmap#2831).
    async fn start_request(&mut self) -> Result<UploadRequest> {
        let location = if let Some(location) = self.location.take() {
            location
        } else {
            self.cancel().await;
            let location = open(&self.repository, &self.descriptor.digest).await?;
            self.open = Some(location.url.clone());
            location
        };
        self.min_chunk = location.min_chunk;
        self.redirects += location.redirects;
        let remaining = self.descriptor.size.saturating_sub(self.position);
        let chunk = self.chunk_size(location.min_chunk);
        // Later ones were recorded when the previous chunk was acknowledged.
        if self.position == self.resumed && location.redirects == 0 {
            self.repository.save_upload(&self.descriptor, &location.url);
        }
        if let Some(chunk) = chunk.filter(|&chunk| chunk < remaining) {
            return self.request(Method::PATCH, location.url, chunk);
        }
        let mut url = location.url;
        if location.redirects == 0 {
            url.query_pairs_mut().append_pair("digest", self.descriptor.digest.as_str());
        }
        self.request(Method::PUT, url, remaining)
    }

    /// The size of a chunk, at least what the registry asks for; `None` without chunks.
    fn chunk_size(&self, min_chunk: u64) -> Option<u64> {
        self.repository.transport.chunk_size().map(|size| size.max(min_chunk))
    }

    /// A request with the next `length` bytes. It states their range unless it has the whole blob.
    fn request(&self, method: Method, url: Url, length: u64) -> Result<UploadRequest> {
        let is_chunk = method == Method::PATCH;
        let end = self.position + length;
        let range = format!("{}-{}", self.position, end.saturating_sub(1));
        let range = HeaderValue::try_from(range)
            .map_err(|error| Error::new(ErrorKind::Transport, self.what()).with_source(error))?;
        let range = (is_chunk || self.position > 0).then_some((CONTENT_RANGE, range));
        let (body, mut received) = mpsc::channel(1);
        let stream = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
        let (repository, what) = (self.repository.clone(), self.what());
        let response = tokio::spawn(async move {
            let request = Request {
                method,
                connection: ConnectionUse::for_body(length),
                ..repository.get(RequestKind::Upload, url, &what)
            };
            let body = reqwest::Body::wrap_stream(stream);
            repository.transport.send_stream(&request, body, length, range).await
        });
        Ok(UploadRequest {
            body,
            response: AbortOnDropHandle::new(response),
            start: self.position,
            left: length,
            is_chunk,
            is_whole_blob: !is_chunk && self.position == 0,
        })
    }

    /// Sends bytes with the current request, and with further ones if they span several chunks.
    async fn send(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let mut sending = match self.sending.take() {
                Some(sending) => sending,
                None => self.start_request().await?,
            };
            let fits = usize::try_from(sending.left).unwrap_or(usize::MAX).min(bytes.len());
            let part = bytes.split_to(fits);
            self.position += fits as u64;
            sending.left -= fits as u64;
            let idle = self.repository.transport.http.options.timeouts.idle;
            match tokio::time::timeout(idle, sending.body.send(Ok(part))).await {
                Ok(Ok(())) => {}
                // The server answered before the end of the body; its response says why.
                Ok(Err(_)) => {
                    let response = self.await_response(sending).await?;
                    let reason =
                        format!("responded {} before the upload finished", response.status());
                    return Err(self.connection_error(&reason));
                }
                Err(_) => {
                    return Err(self.connection_error(&format!(
                        "accepted no data for {} s",
                        idle.as_secs_f32()
                    )));
                }
            }
            if sending.is_chunk && sending.left == 0 {
                let response = self.await_response(sending).await?;
                self.update_location(&response)?;
            } else {
                self.sending = Some(sending);
            }
        }
        Ok(())
    }

    /// Reads where the next chunk goes. The status says how much was received: the `Range` beside it may count only
    /// this chunk (regclient#627), stay where it was (dotnet/sdk#33019) or be off by one.
    fn update_location(&mut self, response: &Response) -> Result<()> {
        let mut location =
            UploadLocation::from_response(&self.repository.transport, response, &self.what())?;
        // Not every response repeats it.
        location.min_chunk = location.min_chunk.max(self.min_chunk);
        self.repository.save_upload(&self.descriptor, &location.url);
        self.open = Some(location.url.clone());
        self.location = Some(location);
        Ok(())
    }

    async fn await_response(&mut self, sending: UploadRequest) -> Result<Response> {
        let UploadRequest { body, response, start, is_whole_blob, .. } = sending;
        // Ends the body.
        drop(body);
        let timeout = self.repository.transport.http.options.timeouts.commit;
        match tokio::time::timeout(timeout, response).await {
            Ok(Ok(Ok(UploadResponse::Done(response)))) => Ok(response),
            Ok(Ok(Ok(UploadResponse::Redirected(url)))) => Err(self.redirected(url, start)),
            Ok(Ok(Err(error))) => Err(self.record_failure(error, is_whole_blob)),
            Ok(Err(error)) => {
                Err(self.connection_error("the upload failed").with_source(error).permanent())
            }
            Err(_) => {
                Err(self.connection_error(&format!("no response for {} s", timeout.as_secs_f32())))
            }
        }
    }

    /// The registry wants the bytes from `start` on at another URL. They must be read again, for which a new session
    /// begins.
    fn redirected(&self, url: Url, start: u64) -> Error {
        let redirects = self.redirects + 1;
        let error = Error::new(ErrorKind::Transport, self.what()).at(redact(&url));
        if redirects > MAX_REDIRECTS {
            return error.with_reason(format!("more than {MAX_REDIRECTS} redirects"));
        }
        let location = UploadLocation { url, offset: start, min_chunk: self.min_chunk, redirects };
        self.state.redirect(&self.descriptor.digest, location);
        error.with_reason("is the location that the registry requires")
    }

    /// Decides what a failure means for the next attempt.
    fn record_failure(&mut self, error: Error, was_whole_blob: bool) -> Error {
        let was_resumed = self.resumed > 0;
        match error.status() {
            // Too large for the registry or for a proxy before it; chunks may not be.
            Some(413) if was_whole_blob && self.descriptor.size > DEFAULT_CHUNK_SIZE => {
                self.repository.transport.enable_chunks(DEFAULT_CHUNK_SIZE);
                error.transient(None)
            }
            // The session is gone: the blob starts over.
            Some(404) => {
                self.repository.remove_upload(&self.descriptor);
                error.transient(None)
            }
            // The registry is at another offset, or the bytes it kept of an earlier run are wrong.
            Some(status) if status == 416 || (status == 400 && was_resumed) => {
                self.is_corrupt = true;
                self.repository.remove_upload(&self.descriptor);
                error.transient(None)
            }
            _ => error,
        }
    }

    /// Cancels the open session, if any.
    async fn cancel(&mut self) {
        // The connection of a running request ends first.
        self.sending = None;
        if let Some(url) = self.open.take() {
            cancel(&self.repository, url, &self.what()).await;
        }
    }

    /// Whether the upload can be resumed after this error. A recorded session may outlast a registry that refuses it
    /// today.
    fn is_resumable_after(&self, error: &Error) -> bool {
        let is_recorded = self.repository.upload_store_for(&self.descriptor).is_some();
        let may_change = match error.kind() {
            ErrorKind::Transport | ErrorKind::Denied | ErrorKind::Registry | ErrorKind::Stopped => {
                is_recorded
            }
            _ => false,
        };
        let is_redirected = self.state.is_redirected(&self.descriptor.digest);
        !self.is_corrupt && (error.is_transient() || is_redirected || may_change)
    }

    /// Sends the last bytes if they end a chunk, which the next run then continues after: a registry may drop a session in which a
    /// chunk breaks off (docker-registry 2.8).
    async fn end_chunk(&mut self) {
        let is_all = self.received() == self.descriptor.size;
        let Some(bytes) = self.pending.take().filter(|_| !is_all) else { return };
        let chunk = self.chunk_size(self.min_chunk).unwrap_or_default();
        let left = self.sending.as_ref().map_or(0, |sending| sending.left);
        let ends_chunk = (bytes.len() as u64)
            .checked_sub(left)
            .and_then(|further| further.checked_rem(chunk))
            .is_some_and(|rest| rest == 0);
        if ends_chunk && let Err(error) = self.send(bytes).await {
            tracing::info!("{}; the last chunk is sent again by the next run", error.chain());
        }
    }

    /// Ends the upload for good, at the registry too.
    async fn discard(&mut self) {
        self.repository.remove_upload(&self.descriptor);
        self.cancel().await;
    }

    async fn finish(&mut self, proof: &Verified) -> Result<()> {
        let digest = self.descriptor.digest.clone();
        let proven = proof.descriptor();
        if proven.digest != digest || proven.size != self.received() {
            return Err(self.mismatch("internal error: sent bytes differ from verified bytes"));
        }
        let last = self.pending.take().unwrap_or_default();
        self.send(last).await?;
        let sending = match self.sending.take() {
            Some(sending) => sending,
            None => self.start_request().await?,
        };
        let response = self.await_response(sending).await?;
        self.repository.remove_upload(&self.descriptor);
        if let Some(announced) = mismatched_digest(response.headers(), &digest) {
            return Err(Error::new(ErrorKind::Mismatch, self.what())
                .at(redact(response.url()))
                .with_reason(format!("digest mismatch: the registry stored it as {announced}")));
        }
        Ok(())
    }

    /// Bytes of the blob that the registry has or that are on their way.
    fn received(&self) -> u64 {
        self.position + self.pending.as_ref().map_or(0, |last| last.len() as u64)
    }

    fn mismatch(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Mismatch, self.what()).with_reason(reason)
    }

    fn connection_error(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Transport, self.what())
            .at(&self.repository.transport.http.name)
            .with_reason(reason)
            .transient(None)
    }
}
