//! The referrers list under a tag made of the subject's digest, which clients maintain at registries without the API.
//! Spec: distribution-spec "Referrers Tag Schema".

use serde_json::value::RawValue;

use super::Repository;
use super::api::may_mean_none;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, EMPTY_INDEX, ParsedDocument, RawIndex};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::reference::referrers_tag;
use crate::registry::manifest;
use crate::registry::scope::ScopeSet;
use crate::retry::retry;
use crate::verifier::verify;

/// The content of a subject's referrers tag.
enum TagContent {
    List(Box<Document>),
    Nothing,
    /// The subject itself: GitLab resolves the tag as a digest (oras-project/oras#2174).
    Subject,
    /// The registry did not say: some refuse requests for missing content.
    Refused(Error),
}

/// Adds a stored referrer to the list of its subject.
///
/// Another client may overwrite the list with an older copy, so the entry is checked afterwards and added again.
pub(in crate::registry) async fn add(
    repository: &Repository,
    referrer: &Document,
    subject: &Digest,
) -> Result<()> {
    let name = ImageName::Tag(referrers_tag(subject));
    let _guard = repository.transport.referrers_lock.lock().await;
    retry(&repository.transport.http.retry, || async {
        let current = match read(repository, subject).await? {
            TagContent::List(list) if lists(&list, referrer.digest()) => return Ok(()),
            TagContent::List(list) => Some(*list),
            TagContent::Nothing | TagContent::Refused(_) => None,
            TagContent::Subject => {
                return Err(not_a_list(repository, subject, "its digest is the subject's own"));
            }
        };
        let list = with_referrer(current.as_ref(), referrer)?;
        manifest::send(repository, &list, &name).await?;
        match read(repository, subject).await? {
            TagContent::List(list) if lists(&list, referrer.digest()) => Ok(()),
            // It stored the list, although it does not show it to this client.
            TagContent::Refused(_) => Ok(()),
            _ => Err(Error::new(ErrorKind::Registry, format!("referrers list {name}"))
                .at(repository.full_name())
                .with_reason("other clients keep changing it, giving up")
                .transient(None)),
        }
    })
    .await
}

/// Removes a deleted referrer from the list of its subject. An empty list is deleted too, if the registry supports it.
pub(in crate::registry) async fn remove(
    repository: &Repository,
    referrer: &Digest,
    subject: &Digest,
) -> Result<()> {
    let tag = referrers_tag(subject);
    let name = ImageName::Tag(tag.clone());
    let repository =
        Repository { scopes: ScopeSet::push(&repository.name), ..Repository::clone(repository) };
    let _guard = repository.transport.referrers_lock.lock().await;
    let left = retry(&repository.transport.http.retry, || async {
        let current = match read(&repository, subject).await? {
            TagContent::List(list) if lists(&list, referrer) => *list,
            _ => return Ok(None),
        };
        let list = without_referrer(&current, referrer)?;
        if is_empty(&list) {
            return Ok(Some((current, list)));
        }
        manifest::send(&repository, &list, &name).await?;
        Ok(None)
    });
    let Some((current, empty)) = left.await? else { return Ok(()) };
    match repository.untag(&tag, current.digest()).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            tracing::info!("{}; leaving it without entries", error.chain());
            manifest::store(&repository, &empty, &name).await.map(drop)
        }
        other => other,
    }
}

/// The entries of the list; `None` if there is no list.
///
/// # Errors
/// If the registry is busy or unavailable, or does not know the repository.
pub(super) async fn entries(
    repository: &Repository,
    subject: &Digest,
) -> Result<Option<Vec<Descriptor>>> {
    let current = retry(&repository.transport.http.retry, || read(repository, subject)).await;
    match current {
        Ok(TagContent::List(list)) => Ok(listed(&list).map(<[_]>::to_vec)),
        Ok(TagContent::Nothing | TagContent::Subject) => Ok(None),
        Ok(TagContent::Refused(error)) => {
            tracing::warn!("failed to list the referrers of {subject}: {}", error.chain());
            Ok(None)
        }
        Err(error) => match error.kind() {
            // A web page, a corrupt document, an image: not a list.
            ErrorKind::InvalidDocument | ErrorKind::Mismatch | ErrorKind::Unsupported => {
                tracing::warn!("failed to list the referrers of {subject}: {}", error.chain());
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// One attempt to fetch the list.
///
/// # Errors
/// [`ErrorKind::InvalidDocument`] if the tag is not a list, and any error of fetching it.
async fn read(repository: &Repository, subject: &Digest) -> Result<TagContent> {
    match manifest::get(repository, &ImageName::Tag(referrers_tag(subject))).await {
        Ok(document) if is_subject(&document, subject) => Ok(TagContent::Subject),
        Ok(document) if listed(&document).is_none() => {
            Err(not_a_list(repository, subject, "is not a referrers list"))
        }
        Ok(list) => Ok(TagContent::List(Box::new(list))),
        Err(error) if error.detail() == Some(ErrorDetail::RepositoryNotFound) => Err(error),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(TagContent::Nothing),
        Err(error) if may_mean_none(&error) => Ok(TagContent::Refused(error)),
        Err(error) => Err(error),
    }
}

fn not_a_list(repository: &Repository, subject: &Digest, reason: &str) -> Error {
    Error::new(
        ErrorKind::InvalidDocument,
        format!("tag {}:{}", repository.name, referrers_tag(subject)),
    )
    .at(&repository.transport.http.name)
    .with_reason(reason)
}

/// Whether the document is the subject, which may be named by another digest algorithm than the document.
fn is_subject(document: &Document, subject: &Digest) -> bool {
    let size = document.bytes().len() as u64;
    let named = Descriptor::new(document.descriptor().media_type.clone(), subject.clone(), size);
    verify(&named, document.bytes()).is_ok()
}

fn listed(list: &Document) -> Option<&[Descriptor]> {
    match list.parsed() {
        ParsedDocument::Index(index) => Some(&index.manifests),
        ParsedDocument::Manifest(_) | ParsedDocument::Artifact(_) => None,
    }
}

fn lists(list: &Document, digest: &Digest) -> bool {
    listed(list).into_iter().flatten().any(|entry| entry.digest == *digest)
}

fn is_empty(list: &Document) -> bool {
    listed(list).is_none_or(<[_]>::is_empty)
}

fn with_referrer(current: Option<&Document>, referrer: &Document) -> Result<Document> {
    with_entries(current, |entries| {
        entries.push(serde_json::value::to_raw_value(&referrer.as_referrer())?);
        Ok(())
    })
}

fn without_referrer(current: &Document, referrer: &Digest) -> Result<Document> {
    let entries = listed(current).unwrap_or_default();
    with_entries(Some(current), |raw| {
        let mut keep = entries.iter().map(|entry| entry.digest != *referrer);
        raw.retain(|_| keep.next().unwrap_or(true));
        Ok(())
    })
}

/// Edits the entries; everything else in the list, also of other clients, stays.
fn with_entries(
    current: Option<&Document>,
    edit: impl FnOnce(&mut Vec<Box<RawValue>>) -> serde_json::Result<()>,
) -> Result<Document> {
    let (bytes, media_type) = match current {
        Some(list) => (&list.bytes()[..], list.descriptor().media_type.clone()),
        None => (EMPTY_INDEX.as_bytes(), MediaType::OCI_INDEX),
    };
    let rewrite = || {
        let mut index = RawIndex::parse(bytes)?;
        edit(&mut index.manifests)?;
        index.to_vec()
    };
    let bytes = rewrite().map_err(|error| {
        Error::new(ErrorKind::InvalidDocument, "referrers list")
            .with_reason("malformed")
            .with_source(error)
    })?;
    Document::from_response(bytes.into(), &media_type, None)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn referrer(kind: &str) -> Document {
        let config = Descriptor::for_bytes("x/config".into(), b"{}");
        let manifest = json!({"schemaVersion": 2, "config": config, "artifactType": kind});
        Document::from_response(manifest.to_string().into(), &MediaType::OCI_MANIFEST, None)
            .unwrap()
    }

    #[test]
    fn referrers_index_edit_preserves_other_entries() {
        let (one, two) = (referrer("x/one"), referrer("x/two"));
        let list = with_referrer(None, &one).unwrap();
        assert!(lists(&list, one.digest()) && !lists(&list, two.digest()));
        let mut text: Value = serde_json::from_slice(list.bytes()).unwrap();
        text["annotations"] = json!({"whose": "another's"});
        text["manifests"][0]["strange"] = json!(true);
        let list = Document::from_response(text.to_string().into(), &MediaType::OCI_INDEX, None);
        let both = with_referrer(Some(&list.unwrap()), &two).unwrap();
        let left = without_referrer(&both, two.digest()).unwrap();
        let left: Value = serde_json::from_slice(left.bytes()).unwrap();
        assert_eq!(left, text);
        let none = without_referrer(&without_referrer(&both, one.digest()).unwrap(), two.digest())
            .unwrap();
        assert!(is_empty(&none));
        let null = br#"{"schemaVersion":2,"manifests":null}"#;
        let null = Document::from_response(null[..].into(), &MediaType::OCI_INDEX, None).unwrap();
        assert!(lists(&with_referrer(Some(&null), &one).unwrap(), one.digest()));
    }
}
