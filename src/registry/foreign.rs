//! Foreign layers, fetched from the `urls` of their descriptor, without any credential of the registry.
//!
//! Answering a challenge from such a host gave registry passwords away (containerd CVE-2020-15157).

use reqwest::{StatusCode, Url};

use super::Repository;
use super::http::exchange::redirect_target;
use crate::content::BlobStream;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_REDIRECTS;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::origin::{Origin, redact};
use crate::registry::http::request::ConnectionUse;
use crate::registry::http::{body, error_body};

/// Maximum `urls` of a descriptor that are tried: a manifest must not send its reader to a thousand hosts.
const MAX_URLS: usize = 8;

/// Opens the first of the descriptor's `urls` that responds with 200; returns `missing` if none does.
pub(super) async fn open(
    repository: &Repository,
    descriptor: &Descriptor,
    missing: Error,
) -> Result<BlobStream> {
    let mut last = missing;
    for url in descriptor.urls.iter().take(MAX_URLS) {
        match open_one(repository, descriptor, url).await {
            Ok(body) => return Ok(body),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_one(
    repository: &Repository,
    descriptor: &Descriptor,
    url: &str,
) -> Result<BlobStream> {
    let transport = &repository.transport;
    let what = format!("foreign layer {}", descriptor.digest);
    let mut url = Url::parse(url)
        .map_err(|error| Error::new(ErrorKind::Transport, &what).with_source(error))?;
    let error = |url: &Url, reason: &str| {
        Error::new(ErrorKind::Transport, &what).at(redact(url)).with_reason(reason)
    };
    if Origin::from_url(&url)? == transport.http.origin()? {
        return Err(error(&url, "points to the registry itself, which does not have it"));
    }
    transport.http.check_server_url(&url, &what, ErrorKind::Transport)?;
    for _ in 0..=MAX_REDIRECTS {
        let mut request = repository.get(RequestKind::Blob, url.clone(), &what);
        request.connection = ConnectionUse::for_body(descriptor.size);
        let response = transport.http.exchange(&request, &url, None).await?;
        if let Some(target) = redirect_target(&response) {
            url = transport.http.redirect_url(&url, target?, &what)?;
            continue;
        }
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(error(
                    &url,
                    "requires authentication; credentials are never sent for foreign layers",
                ));
            }
            status => {
                return Err(error_body::error(
                    &what,
                    &redact(&url),
                    status,
                    response.headers(),
                    b"",
                    &transport.http.options.redactor,
                ));
            }
        }
        let idle = transport.http.options.timeouts.idle;
        let stream = body::blob(response, descriptor, 0..descriptor.size, what, idle).await?;
        return Ok(BlobStream::new(0, stream));
    }
    Err(error(&url, &format!("more than {MAX_REDIRECTS} redirects")))
}
