//! Fetches paged lists: tags, repositories, referrers. Spec: distribution-spec "Listing Tags".

use std::collections::HashSet;

use bytes::Bytes;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::link;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Budget, Exceeded, MAX_PAGE_BYTES};
use crate::registry::http::body::read_up_to;
use crate::registry::http::request::Request;
use crate::registry::send::Transport;
use crate::retry::retry;

/// Entries requested per page. ECR rejects more (google/go-containerregistry#1091), distribution returns fewer.
pub(super) const PAGE_SIZE: &str = "n=1000";

/// Iterates over the pages of a list.
pub(super) struct Paginator<'a> {
    transport: &'a Transport,
    request: Request<'a>,
    next: Option<Url>,
    requested: HashSet<Url>,
    budget: Budget,
}

/// One page, not yet read.
pub(super) struct Page<'a> {
    what: &'a str,
    location: &'a str,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl<'a> Paginator<'a> {
    /// Lists the pages from `request` on.
    pub(super) fn new(transport: &'a Transport, request: Request<'a>) -> Self {
        let next = Some(request.url.clone());
        Self { transport, request, next, requested: HashSet::new(), budget: Budget::default() }
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page<'a>>> {
        let Some(url) = self.next.take() else { return Ok(None) };
        if !self.requested.insert(url.clone()) {
            return Err(self.too_many_pages("the pages of the list never end"));
        }
        self.request.url = url;
        let transport = self.transport;
        let (page, following) =
            retry(&transport.http.retry, || fetch(transport, &self.request)).await?;
        self.next = following;
        Ok(Some(page))
    }

    /// Counts a new entry whose name has `name_bytes` bytes.
    pub(super) fn entry(&mut self, name_bytes: usize) -> Result<()> {
        self.budget.entry(name_bytes).map_err(|limit| self.exceeded(limit))
    }

    /// Counts a page with `new_entries` new entries.
    pub(super) fn page(&mut self, new_entries: usize) -> Result<()> {
        self.budget.requests(1, new_entries).map_err(|limit| self.exceeded(limit))
    }

    fn exceeded(&self, limit: Exceeded) -> Error {
        limit.error(self.request.what).at(&self.transport.http.name)
    }

    /// The error of a list that exceeds its limits.
    pub(super) fn too_many_pages(&self, reason: &str) -> Error {
        Error::new(ErrorKind::InvalidDocument, self.request.what)
            .at(&self.transport.http.name)
            .with_reason(reason)
    }
}

async fn fetch<'a>(
    transport: &'a Transport,
    request: &Request<'a>,
) -> Result<(Page<'a>, Option<Url>)> {
    let mut request = Request {
        method: Method::GET,
        url: request.url.clone(),
        accept: request.accept.clone(),
        content: None,
        ..*request
    };
    let mut response = transport.send(&request).await?;
    if response.status() == StatusCode::BAD_REQUEST && request.url.query() == Some(PAGE_SIZE) {
        request.url.set_query(None);
        response = transport.send(&request).await?;
    }
    if !response.status().is_success() {
        return Err(transport.http.failure(&request, response).await);
    }
    let headers = response.headers().clone();
    let following = link::next(headers.get_all(LINK).iter(), &request.url);
    let idle = transport.http.options.timeouts.idle;
    let body = read_up_to(response, MAX_PAGE_BYTES, request.what, idle).await?;
    let following = following.map_err(|error| error.at(&transport.http.name))?;
    Ok((Page { what: request.what, location: &transport.http.name, headers, body }, following))
}

impl Page<'_> {
    /// Parses the page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if it is not a list.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let reason = if self.body.trim_ascii_start().starts_with(b"<") {
                "not a registry response, but a web page"
            } else {
                "malformed"
            };
            Error::new(ErrorKind::InvalidDocument, self.what)
                .at(self.location)
                .with_reason(reason)
                .with_source(error)
        })
    }
}
