//! Lists the tags of a repository. Spec: distribution-spec "Listing Tags".

use std::collections::{BTreeSet, HashSet};

use reqwest::header::LINK;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::Repository;
use super::body::read_up_to;
use super::counter::Endpoint;
use super::link;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::is_tag;
use crate::retry::retry;

/// Tags asked for per page; ECR refuses more (google/go-containerregistry#1091), distribution gives fewer.
const PAGE_SIZE: &str = "1000";

/// The most that is read of one page, in bytes.
const PAGE_LIMIT: u64 = 8 << 20;

/// Pages and tags after which a listing is taken for endless.
const MAX_PAGES: usize = 2000;

/// See [`MAX_PAGES`].
const MAX_TAGS: usize = 2_000_000;

#[derive(Deserialize)]
struct Page {
    /// `null` past the last page (GHCR), and in it `null` or "" (sonatype Nexus: containers/skopeo#2409).
    tags: Option<Vec<Option<String>>>,
}

/// All tags, each once, in the registry's order.
pub(super) async fn list(repository: &Repository) -> Result<Vec<String>> {
    let transport = &repository.transport;
    let what = format!("tags of {}", repository.name);
    let endless =
        |why: String| Error::new(ErrorKind::Document, &what).at(&transport.name).because(why);
    let mut next = Some(transport.url(&format!("{}/tags/list?n={PAGE_SIZE}", repository.name))?);
    let mut asked = HashSet::new();
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    while let Some(url) = next {
        if asked.len() == MAX_PAGES || !asked.insert(url.clone()) {
            return Err(endless("the list of pages does not end".into()));
        }
        let (page, following) =
            retry(&transport.options.retry, || page(repository, url.clone(), &what)).await?;
        for tag in page.tags.unwrap_or_default().into_iter().flatten() {
            // Artifactory lists digests among the tags (containers/skopeo#2346).
            if is_tag(&tag) && seen.insert(tag.clone()) {
                tags.push(tag);
            }
        }
        if tags.len() > MAX_TAGS {
            return Err(endless(format!("more than {MAX_TAGS} tags")));
        }
        next = following;
    }
    Ok(tags)
}

async fn page(repository: &Repository, url: Url, what: &str) -> Result<(Page, Option<Url>)> {
    let transport = &repository.transport;
    let mut request = repository.get(Endpoint::Other, url, what);
    let mut response = transport.send(&request).await?;
    if response.status() == StatusCode::BAD_REQUEST
        && request.url.query() == Some(&format!("n={PAGE_SIZE}"))
    {
        request.url.set_query(None);
        response = transport.send(&request).await?;
    }
    if !response.status().is_success() {
        return Err(transport.failure(&request, response).await);
    }
    let following = next_page(&response, &request.url);
    let body = read_up_to(response, PAGE_LIMIT, what, transport.options.timeouts.idle).await?;
    let page = serde_json::from_slice(&body).map_err(|error| {
        let why = if body.trim_ascii_start().starts_with(b"<") {
            "not a registry answer but a web page"
        } else {
            "malformed"
        };
        Error::new(ErrorKind::Document, what).at(&transport.name).because(why).caused_by(error)
    })?;
    Ok((page, following.map_err(|error| error.at(&transport.name))?))
}

fn next_page(response: &Response, asked: &Url) -> Result<Option<Url>> {
    let headers = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    link::next(headers, asked)
}
