//! Offers blobs: one request asks for the blob, mounts it or opens a session; a [`Session`] then sends the bytes.
//!
//! A mount whose `from` is the target repository itself asks and opens in one request: 201 where the blob is there, else
//! the session that a plain POST would have opened. Spec: distribution-spec "Pushing blobs" and "Mounting a blob".

mod cancel;
mod location;
mod session;

use reqwest::{Method, StatusCode, Url};

pub(super) use self::location::Location;
use self::location::open;
use self::session::Session;

use super::Repository;
use super::counter::Endpoint;
use super::error_body::asks_to_wait;
use super::request::Request;
use super::survey::Offer;
use crate::content::{Admission, Uploads};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};

/// Asks the registry to take the blob.
pub(super) async fn admit(repository: &Repository, descriptor: &Descriptor) -> Result<Admission> {
    descriptor.digest.algorithm()?;
    let digest = &descriptor.digest;
    let session = |location| {
        let session = Session::new(repository.clone(), descriptor.clone(), location);
        Ok(Admission::Open(Box::new(session)))
    };
    let offer = repository.known().offer(digest, &repository.name);
    if let Offer::None = offer {
        return Ok(Admission::Present);
    }
    let redirected = repository.known().redirected(digest);
    if let Some(location) = redirected {
        return session(location);
    }
    if let Some(location) = unfinished(repository, descriptor).await? {
        return session(location);
    }
    let location = match offer {
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
        Offer::None | Offer::Plain => None,
    };
    session(match location {
        Some(location) => location,
        None => open(repository, digest).await?,
    })
}

enum Mounted {
    Yes,
    /// Not, but here is an upload session.
    Session(Location),
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
        StatusCode::ACCEPTED => Ok(Mounted::Session(Location::of(transport, &response, &what)?)),
        status if status.is_success() => Ok(Mounted::Refused),
        _ if asks_to_wait(&response) => Err(transport.failure(&request, response).await),
        status => {
            tracing::info!("{}: no mount from {from}: {status}", transport.name);
            Ok(Mounted::Refused)
        }
    }
}

/// Asks how far an earlier upload of the blob came; whatever stands against going on there, it starts over.
///
/// # Errors
/// Where the registry is away: the upload may go on when it is back.
async fn unfinished(repository: &Repository, descriptor: &Descriptor) -> Result<Option<Location>> {
    let digest = &descriptor.digest;
    let recall = |uploads: &dyn Uploads| uploads.recall(&repository.address(), digest);
    let Some(url) = repository.uploads_of(descriptor).and_then(recall) else { return Ok(None) };
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let asking = async {
        let Ok(url) = Url::parse(url.reveal()) else { return Ok(None) };
        if transport.check_named(&url, &what, ErrorKind::Transport).is_err() {
            return Ok(None);
        }
        let request = repository.get(Endpoint::Upload, url, &what);
        let response = match transport.send(&request).await {
            Err(error) if error.outage().is_some() => return Err(error),
            Err(_) => return Ok(None),
            Ok(response) => response,
        };
        if response.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let location = Location::of(transport, &response, &what).ok();
        Ok(location.filter(|location| location.offset > 0 && location.offset < descriptor.size))
    };
    let location = asking.await?;
    if location.is_none() {
        repository.forget_upload(descriptor);
    }
    Ok(location)
}
