//! The list of referrers that a registry maintains itself. Spec: distribution-spec "Listing Referrers".

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Repository;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{Object, null_is_default};
use crate::limits::MAX_REFERRERS;
use crate::registry::http::counter::RequestKind;
use crate::registry::pages::{Page, Paginator};

const ACCEPT: HeaderValue = HeaderValue::from_static("application/vnd.oci.image.index.v1+json");

/// Lists the filters that the registry applied.
const FILTERS_HEADER: &str = "oci-filters-applied";

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

/// The response of the referrers API.
pub(super) enum ApiResponse {
    List(Vec<Descriptor>),
    NoList(Refusal),
}

/// Why the API returned no list.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) reason: RefusalReason,
}

#[derive(PartialEq, Eq)]
pub(super) enum RefusalReason {
    /// The registry has no such API; the spec's status for it is 404.
    Unsupported,
    /// Something other than an API responded, such as a login page.
    NotAnApi,
    /// The registry refused the request for another reason.
    Other,
}

/// Whether the registry itself maintains the list of this subject's referrers.
pub(in crate::registry) async fn has_api(
    repository: &Repository,
    subject: &Digest,
) -> Result<bool> {
    let response = list(repository, subject, None).await?;
    Ok(matches!(response, ApiResponse::List(_)))
}

/// The referrers of this digest, from the API; only those of `artifact_type`, if given and the registry filters.
pub(super) async fn list(
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

/// Whether an error can mean that this API, or the list, does not exist. Registries use other statuses than 404: Harbor
/// 401 (goharbor/harbor#18305), Artifactory 403 (sigstore/cosign#2973), others 400; Google redirects to a login page
/// (awslabs/soci-snapshotter#512). A busy or unavailable registry means neither.
pub(super) fn may_mean_none(error: &Error) -> bool {
    match error.status() {
        Some(408 | 425 | 429 | 499) => false,
        Some(status) => status < 500 || status == 501,
        None => error.kind() == ErrorKind::Denied,
    }
}
