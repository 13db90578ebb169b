//! Foreign layers: fetched from the `urls` of their descriptor, never with anything that belongs to the registry.
//!
//! Answering a challenge from such a host gave registry passwords away (containerd CVE-2020-15157).

use reqwest::{StatusCode, Url};

use super::Repository;
use super::address::check_foreign_url;
use super::blob::{body, check_length};
use super::counter::Endpoint;
use super::origin::{Origin, redact};
use super::transport::Request;
use crate::content::Body;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};

/// Opens the first of the descriptor's `urls` that answers 200; gives `missing` back where there is none.
pub(super) async fn open(repository: &Repository, descriptor: &Descriptor, missing: Error) -> Result<Body> {
    let mut last = missing;
    for url in &descriptor.urls {
        match open_one(repository, descriptor, url).await {
            Ok(body) => return Ok(body),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_one(repository: &Repository, descriptor: &Descriptor, url: &str) -> Result<Body> {
    let transport = &repository.transport;
    let what = format!("foreign layer {}", descriptor.digest);
    let url = Url::parse(url).map_err(|error| Error::new(ErrorKind::Transport, &what).caused_by(error))?;
    let refuse = |why: &str| Error::new(ErrorKind::Transport, &what).at(redact(&url)).because(why);
    let registry = transport.origin()?;
    if Origin::of(&url)? == registry {
        return Err(refuse("is at the registry itself, which does not have it"));
    }
    if url.scheme() != "https" && registry.is_https() {
        return Err(refuse("is not https"));
    }
    check_foreign_url(&url, &registry, ErrorKind::Transport)?;
    let request = Request {
        method: reqwest::Method::GET,
        url: url.clone(),
        endpoint: Endpoint::Blob,
        scopes: &repository.pull,
        accept: None,
        range: None,
        what: &what,
        counter: &repository.counter,
    };
    let response = transport.exchange(&request, &url, None).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(refuse("wants a password, which foreign hosts never get")),
        status => return Err(refuse(&format!("answered {}", status.as_u16()))),
    }
    check_length(&response, descriptor, 0, &what)?;
    Ok(Body { start: 0, stream: Box::pin(body(response, what)) })
}
