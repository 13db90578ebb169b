//! Sends blobs: one request asks for the blob, mounts it or opens a session; a second one sends the bytes.
//!
//! A mount whose `from` is the target repository itself asks and opens in one request: 201 where the blob is there, else
//! the session that a plain POST would have opened. Spec: distribution-spec "Pushing blobs" and "Mounting a blob".

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Repository;
use super::counter::Endpoint;
use super::manifest::announced_digest;
use super::origin::redact;
use super::request::Request;
use super::survey::Offer;
use super::transport::Transport;
use crate::checked::Verified;
use crate::content::{Admission, ByteStream, Ingest};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Asks the registry to take the blob.
pub(super) async fn admit(repository: &Repository, descriptor: &Descriptor) -> Result<Admission> {
    descriptor.digest.algorithm()?;
    let digest = &descriptor.digest;
    let offer = repository.known().offer(digest, &repository.name);
    let location = match offer {
        Offer::None => return Ok(Admission::Present),
        Offer::Plain => None,
        Offer::Mount(from) => match mount(repository, digest, &from).await? {
            Mounted::Yes => {
                repository.known().tell(digest);
                return Ok(if from == repository.name {
                    Admission::Present
                } else {
                    Admission::Mounted(from)
                });
            }
            Mounted::Session(location) => Some(location),
            Mounted::Refused => {
                repository.known().refused(&from);
                None
            }
        },
    };
    let location = match location {
        Some(location) => location,
        None => open(repository, digest).await?,
    };
    Ok(Admission::Open(Box::new(Session {
        repository: repository.clone(),
        descriptor: descriptor.clone(),
        location: Some(location),
        held_back: None,
        sending: None,
    })))
}

enum Mounted {
    Yes,
    /// Not, but here is an upload session.
    Session(Url),
    Refused,
}

async fn mount(repository: &Repository, digest: &Digest, from: &str) -> Result<Mounted> {
    let transport = &repository.transport;
    let what = format!("mount of blob {digest}");
    let mut url = transport.url(&format!("{}/blobs/uploads/", repository.name))?;
    url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
    let scopes = repository.scopes.and_pull(from);
    let request = Request {
        method: Method::POST,
        scopes: &scopes,
        ..repository.get(Endpoint::Upload, url, &what)
    };
    let response = match transport.send(&request).await {
        // The user may not read there, which is no reason not to send the blob.
        Err(error) if error.kind() == ErrorKind::Denied && from != repository.name => {
            return Ok(Mounted::Refused);
        }
        response => response?,
    };
    match response.status() {
        StatusCode::CREATED => Ok(Mounted::Yes),
        StatusCode::ACCEPTED => Ok(Mounted::Session(location(transport, &response, &what)?)),
        status if status.is_success() => Ok(Mounted::Refused),
        StatusCode::TOO_MANY_REQUESTS => Err(transport.failure(&request, response).await),
        status => {
            tracing::info!("{}: no mount from {from}: {status}", transport.name);
            Ok(Mounted::Refused)
        }
    }
}

async fn open(repository: &Repository, digest: &Digest) -> Result<Url> {
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let url = transport.url(&format!("{}/blobs/uploads/", repository.name))?;
    let request = Request { method: Method::POST, ..repository.get(Endpoint::Upload, url, &what) };
    let response = transport.expect_success(&request).await?;
    location(transport, &response, &what)
}

/// Where the upload goes on. It is opaque, may change with each answer, and may lead anywhere: it is judged like any URL
/// that a server names, and gets no credential at another origin.
fn location(transport: &Transport, response: &Response, what: &str) -> Result<Url> {
    let refuse = |why: &str| Error::new(ErrorKind::Registry, what).at(&transport.name).because(why);
    let named = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let named = named.filter(|text| !text.trim().is_empty());
    let named = named.ok_or_else(|| refuse("the answer does not say where to upload"))?;
    let asked = response.url();
    let mut url = asked
        .join(named.trim())
        .map_err(|error| refuse("the upload's place is no URL").caused_by(error))?;
    url.set_fragment(None);
    // Behind a proxy that ends TLS a registry believes that it speaks http (distribution#2225).
    if asked.scheme() == "https" && url.scheme() == "http" && url.host() == asked.host() {
        _ = url.set_scheme("https");
        if url.port() == Some(80) {
            _ = url.set_port(asked.port());
        }
    }
    transport.check_named(&url, what, ErrorKind::Transport)?;
    Ok(url)
}

/// An open upload. Its last piece is held back until the digest is proven, so that wrong bytes never become a blob.
struct Session {
    repository: Repository,
    descriptor: Descriptor,
    /// Where the bytes go; a session that was begun and dropped is gone.
    location: Option<Url>,
    held_back: Option<Bytes>,
    sending: Option<Sending>,
}

/// The one request with the bytes, under way.
struct Sending {
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
    answer: AbortOnDropHandle<Result<Response>>,
}

impl Session {
    fn what(&self) -> String {
        format!("upload of blob {}", self.descriptor.digest)
    }

    async fn begin(&mut self) -> Result<Sending> {
        let mut url = match self.location.take() {
            Some(location) => location,
            None => open(&self.repository, &self.descriptor.digest).await?,
        };
        url.query_pairs_mut().append_pair("digest", self.descriptor.digest.as_str());
        let (pieces, mut received) = mpsc::channel(1);
        let body = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
        let (repository, size, what) = (self.repository.clone(), self.descriptor.size, self.what());
        let answer = tokio::spawn(async move {
            let request =
                Request { method: Method::PUT, ..repository.get(Endpoint::Upload, url, &what) };
            let body = reqwest::Body::wrap_stream(body);
            repository.transport.send_stream(&request, body, size).await
        });
        Ok(Sending { pieces, answer: AbortOnDropHandle::new(answer) })
    }

    async fn send(&mut self, piece: Bytes) -> Result<()> {
        let sending = match self.sending.take() {
            Some(sending) => sending,
            None => self.begin().await?,
        };
        let idle = self.repository.transport.options.timeouts.idle;
        match tokio::time::timeout(idle, sending.pieces.send(Ok(piece))).await {
            Ok(Ok(())) => {
                self.sending = Some(sending);
                Ok(())
            }
            // The request is over before its body was: its answer says why.
            Ok(Err(_)) => match self.answer(sending).await {
                Ok(response) => {
                    Err(self.broken(&format!("answered {} before the end", response.status())))
                }
                Err(error) => Err(error),
            },
            Err(_) => Err(self.broken(&format!("took nothing for {} s", idle.as_secs_f32()))),
        }
    }

    async fn answer(&self, sending: Sending) -> Result<Response> {
        let Sending { pieces, answer } = sending;
        // Ends the body.
        drop(pieces);
        let patience = self.repository.transport.options.timeouts.commit;
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(self.broken("the upload failed").caused_by(error).lasting()),
            Err(_) => Err(self.broken(&format!("no answer for {} s", patience.as_secs_f32()))),
        }
    }

    async fn finish(mut self, proof: &Verified) -> Result<()> {
        let digest = self.descriptor.digest.clone();
        if proof.descriptor().digest != digest {
            return Err(Error::new(ErrorKind::Mismatch, self.what())
                .because("what was verified is not what was sent"));
        }
        let last = self.held_back.take().unwrap_or_default();
        if !last.is_empty() {
            self.send(last).await?;
        }
        let sending = match self.sending.take() {
            Some(sending) => sending,
            None => self.begin().await?,
        };
        let response = self.answer(sending).await?;
        match announced_digest(response.headers()) {
            Some(announced)
                if announced.algorithm_name() == digest.algorithm_name() && announced != digest =>
            {
                Err(Error::new(ErrorKind::Mismatch, self.what())
                    .at(redact(response.url()))
                    .because(format!("the registry stored it as {announced}")))
            }
            _ => {
                self.repository.known().sent(&digest);
                Ok(())
            }
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::new(ErrorKind::Transport, self.what())
            .at(&self.repository.transport.name)
            .because(why)
            .transient(None)
    }
}

impl Ingest for Session {
    fn kept(&self) -> u64 {
        0
    }

    fn read_kept(&mut self) -> Result<ByteStream<'_>> {
        Ok(Box::pin(futures_util::stream::empty()))
    }

    fn write<'a>(&'a mut self, piece: &'a Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.held_back.replace(piece.clone()) {
                Some(ready) => self.send(ready).await,
                None => Ok(()),
            }
        })
    }

    fn restart(&mut self) -> Result<()> {
        self.held_back = None;
        self.sending = None;
        Ok(())
    }

    fn commit(self: Box<Self>, proof: Verified) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.finish(&proof).await })
    }
}
