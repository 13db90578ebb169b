//! Pushes manifests, and lists them as referrers of their subjects. Spec: distribution-spec "Pushing Manifests" and
//! "Pushing Manifests with Subject".

use reqwest::header::HeaderMap;

use super::referrers::{self, tag_schema};
use super::{Repository, manifest};
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;
use crate::retry::retry;

/// Lists the tags of the query that were set. In distribution-spec's main branch only.
const TAG_HEADER: &str = "oci-tag";

/// Set if the registry maintains the list of referrers itself.
const SUBJECT_HEADER: &str = "oci-subject";

/// Stores the document under this name, byte for byte, and maintains the referrers list of its subject if the registry
/// does not. A failure of the list is only a warning.
///
/// # Errors
/// [`ErrorKind::MissingBlobs`](crate::error::ErrorKind::MissingBlobs) if the registry reports missing blobs; [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) if it stored something
/// else.
pub(super) async fn put(
    repository: &Repository,
    document: &Document,
    name: &ImageName,
) -> Result<()> {
    let headers = manifest::store(repository, document, name).await?;
    list_as_referrer(repository, document, headers).await;
    Ok(())
}

/// Stores the document under its digest and all of these tags in one request. Returns the tags that the registry
/// confirms.
pub(super) async fn put_tags(
    repository: &Repository,
    document: &Document,
    tags: &[String],
) -> Result<Vec<String>> {
    let name = ImageName::Digest(document.digest().clone());
    let sending = retry(&repository.transport.http.retry, || {
        manifest::send_with_tags(repository, document, &name, tags)
    });
    let headers = sending.await?;
    let confirmed = headers.get_all(TAG_HEADER).iter().filter_map(|value| value.to_str().ok());
    let confirmed: Vec<&str> =
        confirmed.flat_map(|value| value.split(',')).map(str::trim).collect();
    let confirmed = tags.iter().filter(|tag| confirmed.contains(&tag.as_str())).cloned().collect();
    list_as_referrer(repository, document, Some(headers)).await;
    Ok(confirmed)
}

/// Maintains the referrers list of the subject, unless the response to the PUT says that the registry does.
async fn list_as_referrer(
    repository: &Repository,
    document: &Document,
    headers: Option<HeaderMap>,
) {
    let Some(subject) = document.subject().map(|subject| &subject.digest) else { return };
    let listing = async {
        let is_listed = match headers {
            Some(headers) => {
                headers.get(SUBJECT_HEADER).is_some_and(|value| value == subject.as_str())
            }
            None => referrers::has_api(repository, subject).await?,
        };
        if is_listed { Ok(()) } else { tag_schema::add(repository, document, subject).await }
    };
    // The document itself is stored.
    if let Err(error) = listing.await {
        let digest = document.digest();
        tracing::warn!(
            "{digest} was stored but not listed as a referrer of {subject}: {}",
            error.chain()
        );
    }
}
