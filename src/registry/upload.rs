//! Offers blobs: one request asks for the blob, mounts it or opens a session; a [`Session`] then sends the bytes.
//!
//! A mount whose `from` is the target repository itself asks and opens in one request: 201 where the blob is there, else
//! the session that a plain POST would have opened. Spec: distribution-spec "Pushing blobs" and "Mounting a blob".

use reqwest::header::{HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::Repository;
use super::counter::Endpoint;
use super::request::Request;
use super::session::{Place, Session};
use super::survey::Offer;
use super::transport::Transport;
use crate::content::Admission;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Asks the registry to take the blob.
pub(super) async fn admit(repository: &Repository, descriptor: &Descriptor) -> Result<Admission> {
    descriptor.digest.algorithm()?;
    let digest = &descriptor.digest;
    let session = |place| {
        let session = Session::new(repository.clone(), descriptor.clone(), place);
        Ok(Admission::Open(Box::new(session)))
    };
    let offer = repository.known().offer(digest, &repository.name);
    if let Offer::None = offer {
        return Ok(Admission::Present);
    }
    if let Some(place) = unfinished(repository, descriptor).await {
        return session(place);
    }
    let place = match offer {
        Offer::Mount(from) => match mount(repository, digest, &from).await? {
            Mounted::Yes => {
                repository.known().tell(digest);
                return Ok(if from == repository.name {
                    Admission::Present
                } else {
                    Admission::Mounted(from)
                });
            }
            Mounted::Session(place) => Some(place),
            Mounted::Refused => {
                repository.known().refused(&from);
                None
            }
        },
        Offer::None | Offer::Plain => None,
    };
    session(match place {
        Some(place) => place,
        None => open(repository, digest).await?,
    })
}

enum Mounted {
    Yes,
    /// Not, but here is an upload session.
    Session(Place),
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
        StatusCode::ACCEPTED => Ok(Mounted::Session(place(transport, &response, &what)?)),
        status if status.is_success() => Ok(Mounted::Refused),
        StatusCode::TOO_MANY_REQUESTS => Err(transport.failure(&request, response).await),
        status => {
            tracing::info!("{}: no mount from {from}: {status}", transport.name);
            Ok(Mounted::Refused)
        }
    }
}

/// Opens a session that has no bytes yet.
pub(super) async fn open(repository: &Repository, digest: &Digest) -> Result<Place> {
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let url = transport.url(&format!("{}/blobs/uploads/", repository.name))?;
    let request = Request { method: Method::POST, ..repository.get(Endpoint::Upload, url, &what) };
    let response = transport.expect_success(&request).await?;
    place(transport, &response, &what)
}

/// Asks how far an earlier upload of the blob came; whatever stands against going on there, it starts over.
async fn unfinished(repository: &Repository, descriptor: &Descriptor) -> Option<Place> {
    let digest = &descriptor.digest;
    let url = repository.uploads_of(descriptor)?.recall(&repository.address(), digest)?;
    let transport = &repository.transport;
    let what = format!("upload of blob {digest}");
    let asking = async {
        let url = Url::parse(url.reveal()).ok()?;
        transport.check_named(&url, &what, ErrorKind::Transport).ok()?;
        let request = repository.get(Endpoint::Upload, url, &what);
        let response = transport.send(&request).await.ok()?;
        (response.status() == StatusCode::NO_CONTENT).then_some(())?;
        let place = place(transport, &response, &what).ok()?;
        (place.offset > 0 && place.offset < descriptor.size).then_some(place)
    };
    let place = asking.await;
    if place.is_none() {
        repository.forget_upload(descriptor);
    }
    place
}

/// Where an upload goes on, and how far it is, as this answer says.
///
/// The URL is opaque, may change with each answer, and may lead anywhere: it is judged like any URL that a server names,
/// and gets no credential at another origin.
pub(super) fn place(transport: &Transport, response: &Response, what: &str) -> Result<Place> {
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
    let header = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse().ok();
    let smallest_chunk = header("oci-chunk-min-length").unwrap_or(0);
    Ok(Place { url, offset: arrived(response.headers()).unwrap_or(0), smallest_chunk })
}

/// Bytes that `Range: 0-<last>` tells of; `bytes=0-9` is an old form of `0-9`.
///
/// `0-0` means one byte or none: distribution says it of an empty upload. It is taken for none.
fn arrived(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RANGE)?.to_str().ok()?.trim();
    let (first, last) = value.strip_prefix("bytes=").unwrap_or(value).split_once('-')?;
    let last: u64 = last.parse().ok().filter(|_| first == "0")?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_tells_how_much_has_arrived_or_nothing() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            arrived(&headers)
        };
        assert_eq!(read("0-9"), Some(10));
        assert_eq!(read("bytes=0-9"), Some(10));
        assert_eq!(read("0-0"), Some(0));
        for odd in ["", "9", "5-9", "0-", "0--1", "0-18446744073709551615", "0-x", "bytes 0-9"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
