//! Referrers of a manifest: signatures, SBOMs, attestations. Spec: distribution-spec "Listing Referrers".
//!
//! Without the API, clients maintain the list under a tag made of the digest (the "referrers tag schema").

pub(super) mod tag_schema;

use std::iter::Peekable;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Repository;
use super::pages::{Page, Paginator};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{TreeWalk, WalkLimits, WalkStep};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::json::{Object, null_is_default};
use crate::limits::{Budget, Exceeded, MAX_REFERRER_DEPTH, MAX_REFERRERS};
use crate::registry::http::counter::RequestKind;

const ACCEPT: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// Lists the filters that the registry applied.
const FILTERS_HEADER: &str = "oci-filters-applied";

/// How far referrers of referrers are followed.
const LIMITS: WalkLimits =
    WalkLimits { depth: MAX_REFERRER_DEPTH, count: MAX_REFERRERS, what: "referrers" };

#[derive(Deserialize)]
struct ReferrerIndex {
    #[serde(default, deserialize_with = "null_is_default")]
    manifests: Vec<Box<RawValue>>,
}

/// Parses an entry of a list. Invalid optional fields are dropped: the referrer itself has them too.
fn entry(raw: &RawValue) -> serde_json::Result<Descriptor> {
    serde_json::from_str(raw.get())
        .or_else(|error| {
            let mut value: Value = serde_json::from_str(raw.get())?;
            let members = value.as_object_mut().ok_or(error)?;
            for key in ["artifactType", "annotations"] {
                members.remove(key);
            }
            serde_json::from_value(value)
        })
        .map(|Object(descriptor)| descriptor)
}

/// A manifest with a subject, and its own referrers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Referrer {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Manifests whose subject it is.
    pub referrers: Vec<Referrer>,
}

impl Repository {
    /// The referrers of this digest and their referrers, each once; only those of `artifact_type`, if given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`] if they are too many or nested too deep.
    pub async fn referrer_tree(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>> {
        let fail = |limit: Exceeded| limit.error("referrers").at(self.full_name());
        let (mut spent, mut budget) = (self.counter.read().total(), Budget::default());
        let (mut walk, mut found) = (TreeWalk::below(subject.clone()), Vec::new());
        let (mut subject, mut depth) = (subject.clone(), 0);
        loop {
            let listed = list(self, &subject, artifact_type).await?;
            let new = walk.queue(depth + 1, listed);
            let now = self.counter.read().total();
            let since = now - std::mem::replace(&mut spent, now);
            budget.requests(since, new).map_err(fail)?;
            walk.check(&LIMITS).map_err(fail)?;
            let Some(step) = walk.next_step() else { break };
            (subject, depth) = (step.item.digest.clone(), step.depth);
            found.push(step);
        }
        Ok(nested(&mut found.into_iter().peekable(), 1))
    }
}

/// Builds a tree from the steps of a walk from this depth on: deeper steps belong to the step before them.
fn nested(steps: &mut Peekable<IntoIter<WalkStep<Descriptor>>>, depth: usize) -> Vec<Referrer> {
    let mut found = Vec::new();
    while let Some(step) = steps.next_if(|step| step.depth == depth) {
        let referrers = nested(steps, depth + 1);
        found.push(Referrer { descriptor: step.item, referrers });
    }
    found
}

/// The response of the referrers API.
enum ApiResponse {
    List(Vec<Descriptor>),
    NoList(Refusal),
}

/// Why the API returned no list.
struct Refusal {
    error: Error,
    reason: RefusalReason,
}

#[derive(PartialEq, Eq)]
enum RefusalReason {
    /// The registry has no such API; the spec's status for it is 404.
    Unsupported,
    /// Something other than an API responded, such as a login page.
    NotAnApi,
    /// The registry refused the request for another reason.
    Other,
}

/// The referrers of this digest, from the API or else from the referrers tag.
pub(super) async fn list(
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>> {
    subject.algorithm()?;
    let no_api = &repository.transport.no_referrers_api;
    let mut listed = if no_api.load(Ordering::Relaxed) {
        list_from_tag_schema(repository, subject, None).await?
    } else {
        match list_from_api(repository, subject, artifact_type).await? {
            ApiResponse::List(listed) => listed,
            ApiResponse::NoList(refusal) => {
                tracing::info!("{}; falling back to the referrers tag", refusal.error.chain());
                if refusal.reason != RefusalReason::Other
                    && refusal.error.detail() != Some(ErrorDetail::RepositoryNotFound)
                {
                    no_api.store(true, Ordering::Relaxed);
                }
                list_from_tag_schema(repository, subject, Some(refusal)).await?
            }
        }
    };
    listed.retain(|one| {
        artifact_type.is_none_or(|wanted| one.artifact_type.as_deref() == Some(wanted))
    });
    Ok(listed)
}

async fn list_from_api(
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<ApiResponse> {
    match read_pages(repository, subject, artifact_type).await {
        Err(error) if may_mean_none(&error) => {
            let reason = match error.status() {
                Some(404 | 405 | 501) => RefusalReason::Unsupported,
                Some(300..400) => RefusalReason::NotAnApi,
                _ => RefusalReason::Other,
            };
            Ok(ApiResponse::NoList(Refusal { error, reason }))
        }
        other => other,
    }
}

async fn read_pages(
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<ApiResponse> {
    let what = format!("referrers of {}@{subject}", repository.name);
    let mut url =
        repository.transport.http.url(&format!("{}/referrers/{subject}", repository.name))?;
    if let Some(artifact_type) = artifact_type {
        url.query_pairs_mut().append_pair("artifactType", artifact_type);
    }
    let mut request = repository.get(RequestKind::Other, url, &what);
    request.accept = Some(ACCEPT);
    let mut pages = Paginator::new(&repository.transport, request);
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await? {
        if !is_json(&page) {
            let error = Error::new(ErrorKind::InvalidDocument, &what)
                .at(&repository.transport.http.name)
                .with_reason("not a referrers list");
            return Ok(ApiResponse::NoList(Refusal { error, reason: RefusalReason::NotAnApi }));
        }
        let entries = page.read::<ReferrerIndex>()?.manifests;
        let found: serde_json::Result<Vec<_>> = entries.iter().map(|raw| entry(raw)).collect();
        let mut found = found.map_err(|error| {
            let location = &repository.transport.http.name;
            Error::new(ErrorKind::InvalidDocument, &what)
                .at(location)
                .with_reason("malformed")
                .with_source(error)
        })?;
        pages.page(found.len())?;
        if let Some(artifact_type) = artifact_type
            && is_filtered(&page)
        {
            // A registry that filters need not repeat the artifact type.
            for one in &mut found {
                one.artifact_type.get_or_insert_with(|| artifact_type.to_owned());
            }
        }
        listed.extend(found);
        if listed.len() > MAX_REFERRERS {
            return Err(pages.too_many_pages(&format!("more than {MAX_REFERRERS} referrers")));
        }
    }
    Ok(ApiResponse::List(listed))
}

/// Some do not declare an index; a login page is not even JSON.
fn is_json(page: &Page<'_>) -> bool {
    let declared = page.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    declared.is_none_or(|text| text.contains("json"))
}

fn is_filtered(page: &Page<'_>) -> bool {
    let applied =
        page.headers.get_all(FILTERS_HEADER).iter().filter_map(|value| value.to_str().ok());
    applied.flat_map(|value| value.split(',')).any(|filter| filter.trim() == "artifactType")
}

/// Whether an error can mean that there is no such API, or no such list. Registries use other statuses than 404: Harbor
/// 401 (goharbor/harbor#18305), Artifactory 403 (sigstore/cosign#2973), others 400; Google redirects to a login page
/// (awslabs/soci-snapshotter#512). A busy or unavailable registry means neither.
pub(super) fn may_mean_none(error: &Error) -> bool {
    match error.status() {
        Some(408 | 425 | 429 | 499) => false,
        Some(status) => status < 500 || status == 501,
        None => error.kind() == ErrorKind::Denied,
    }
}

/// The list under the referrers tag, after the API failed with `refusal` or was found to be unsupported.
async fn list_from_tag_schema(
    repository: &Repository,
    subject: &Digest,
    refusal: Option<Refusal>,
) -> Result<Vec<Descriptor>> {
    match (tag_schema::entries(repository, subject).await?, refusal) {
        (Some(entries), _) => Ok(entries),
        // Neither has a list; a refusal that says more than that must not be lost.
        (None, Some(Refusal { error, reason: RefusalReason::Other })) => Err(error),
        (None, Some(Refusal { error, reason: RefusalReason::NotAnApi })) => {
            tracing::warn!("{}; referrers there may be incomplete", error.chain());
            Ok(Vec::new())
        }
        (None, _) => Ok(Vec::new()),
    }
}

/// Whether the registry itself maintains the list of this subject's referrers.
pub(super) async fn has_api(repository: &Repository, subject: &Digest) -> Result<bool> {
    let response = list_from_api(repository, subject, None).await?;
    Ok(matches!(response, ApiResponse::List(_)))
}
