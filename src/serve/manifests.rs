//! Serves, stores and deletes manifests and indexes. Spec: distribution-spec "Pushing Manifests", "Deleting".

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use hyper::{Method, Request, StatusCode};

use super::RegistryService;
use super::body::RequestBody;
use super::name_table::{NameTable, NamedManifest, ServedRepository};
use super::query::QueryParams;
use super::response::{
    ApiError, ApiResponse, DIGEST, client_has, header_text, not_modified, set, with_bytes,
};
use super::route::{ManifestRef, digest};
use crate::content::{Role, Source, Target as _, TargetPlan};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::media::MediaType;
use crate::name::ImageName;
use crate::reference::is_tag;

/// Tells the client that the referrers API includes the manifest, so that it need not update the referrers tag.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Lists the tags that a manifest pushed by digest was given.
const TAG: HeaderName = HeaderName::from_static("oci-tag");

impl RegistryService {
    /// `GET` and `HEAD` of a manifest or index.
    pub(super) async fn manifest(
        &self,
        repository: &str,
        reference: &ManifestRef,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<ApiResponse, ApiError> {
        let names = self.names()?;
        let served = self
            .served_repository(&names, repository)?
            .ok_or_else(|| unknown_manifest(reference))?;
        let document = self.find_document(served, reference).await?;
        Ok(document_response(&document, method, headers))
    }

    async fn find_document(
        &self,
        served: &ServedRepository,
        reference: &ManifestRef,
    ) -> Result<Document, ApiError> {
        let descriptor = match reference {
            ManifestRef::Tag(tag) => {
                served.tags.get(tag).map(|image| image.entry.descriptor.clone())
            }
            ManifestRef::Digest(digest) => {
                let has = |image: &&NamedManifest| image.entry.has_digest(digest);
                match served.images().find(has).map(|image| &image.entry.descriptor) {
                    Some(descriptor) if descriptor.digest == *digest => Some(descriptor.clone()),
                    // The digest is that of the original index, whose entry describes the selected manifest.
                    Some(_) => {
                        let name = ImageName::Digest(digest.clone());
                        let found = Source::resolve(&self.layout, &name).await;
                        return found.map_err(|error| read_error(reference, error));
                    }
                    None => self.find_child(served, digest).await,
                }
            }
        };
        let descriptor = descriptor.ok_or_else(|| unknown_manifest(reference))?;
        self.layout.read_document(&descriptor).map_err(|error| read_error(reference, error))
    }

    /// Returns the named images of a repository; `None` if it has only blobs.
    pub(super) fn served_repository<'a>(
        &self,
        names: &'a NameTable,
        repository: &str,
    ) -> Result<Option<&'a ServedRepository>, ApiError> {
        let served = names.repositories.get(repository);
        if served.is_none() && !self.layout.has_repository(repository)? {
            return Err(unknown_repository(repository));
        }
        Ok(served)
    }

    /// Finds the document with this digest among those reachable from the repository's images.
    async fn find_child(&self, served: &ServedRepository, digest: &Digest) -> Option<Descriptor> {
        let documents = self.documents.reachable(&self.layout, served).await;
        let found = documents.iter().find(|info| info.descriptor.digest == *digest)?;
        let Descriptor { media_type, digest, size, .. } = &found.descriptor;
        Some(Descriptor::new(media_type.clone(), digest.clone(), *size))
    }

    /// `PUT`: stores the manifest if its blobs and children exist.
    pub(super) async fn put_manifest(
        self: &Arc<Self>,
        repository: &str,
        reference: &ManifestRef,
        request: Request<Incoming>,
    ) -> Result<ApiResponse, ApiError> {
        let query = QueryParams::from_uri(request.uri());
        let (names, digest) = names_and_digest(reference, &query)?;
        let declared = header_text(request.headers(), CONTENT_TYPE).unwrap_or_default();
        let declared = MediaType::from_header(declared);
        let bytes = RequestBody::new(request, "MANIFEST_INVALID").read_document().await?;
        let document = Document::from_response(bytes, &declared, digest.as_ref())?;
        self.check_complete(repository, &document).await?;
        // With what this repository may see.
        store(&self.layout, &document).await?;
        self.add_names(repository, names.clone(), document.clone()).await?;
        let digest = document.digest();
        let mut response = with_bytes(StatusCode::CREATED, "");
        set(&mut response, LOCATION, format!("/v2/{repository}/manifests/{digest}"));
        set(&mut response, DIGEST, digest.as_str());
        if let Some(subject) = document.subject() {
            set(&mut response, SUBJECT, subject.digest.as_str());
        }
        if let ManifestRef::Digest(_) = reference {
            for name in &names {
                if let ManifestRef::Tag(tag) = name
                    && let Ok(tag) = HeaderValue::from_str(tag)
                {
                    response.headers_mut().append(TAG, tag);
                }
            }
        }
        Ok(response)
    }

    /// `DELETE`: removes a tag, or all names of a digest in the repository.
    pub(super) async fn delete_manifest(
        self: &Arc<Self>,
        repository: &str,
        reference: ManifestRef,
    ) -> Result<ApiResponse, ApiError> {
        let names = self.names()?;
        let served = self
            .served_repository(&names, repository)?
            .ok_or_else(|| unknown_manifest(&reference))?;
        if self.remove_names(repository, reference.clone()).await? {
            return Ok(with_bytes(StatusCode::ACCEPTED, ""));
        }
        Err(match &reference {
            ManifestRef::Digest(digest) if self.find_child(served, digest).await.is_some() => {
                ApiError::unsupported(
                    "listed by an index of this repository; delete the index first",
                )
            }
            _ => unknown_manifest(&reference),
        })
    }
}

/// Answers `GET` and `HEAD` of a document.
pub(super) fn document_response(
    document: &Document,
    method: &Method,
    headers: &HeaderMap,
) -> ApiResponse {
    if client_has(headers, document.digest()) {
        return not_modified(document.digest());
    }
    let length = document.bytes().len();
    let is_head = method == Method::HEAD;
    let bytes = if is_head { Bytes::new() } else { document.bytes().clone() };
    let mut response = with_bytes(StatusCode::OK, bytes);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    set(&mut response, CONTENT_TYPE, document.descriptor().media_type.as_str());
    set(&mut response, DIGEST, document.digest().as_str());
    set(&mut response, ETAG, format!("\"{}\"", document.digest()));
    response
}

/// Stores a document whose content was checked, or is fetched when a client asks for it.
pub(super) async fn store(layout: &Layout, document: &Document) -> Result<()> {
    let plan = TargetPlan { sparse: true, ..TargetPlan::default() };
    layout.begin(&plan).await?.put_manifest(document, Role::Child).await
}

/// Returns the names for a pushed manifest, and the expected digest if the client sent it.
fn names_and_digest(
    reference: &ManifestRef,
    query: &QueryParams,
) -> Result<(Vec<ManifestRef>, Option<Digest>), ApiError> {
    let expected = match reference {
        ManifestRef::Digest(digest) => digest,
        ManifestRef::Tag(_) => {
            let expected = query.get("digest").map(digest).transpose()?;
            return Ok((vec![reference.clone()], expected));
        }
    };
    let mut names = vec![reference.clone()];
    for tag in query.values("tag") {
        if !is_tag(tag) {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "TAG_INVALID", "not a tag"));
        }
        let tag = ManifestRef::Tag(tag.to_owned());
        if !names.contains(&tag) {
            names.push(tag);
        }
    }
    Ok((names, Some(expected.clone())))
}

fn unknown_repository(repository: &str) -> ApiError {
    let reason = format!("repository {repository} unknown");
    ApiError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", reason)
}

pub(super) fn unknown_manifest(reference: &ManifestRef) -> ApiError {
    let name = match reference {
        ManifestRef::Tag(tag) => tag.clone(),
        ManifestRef::Digest(digest) => digest.to_string(),
    };
    ApiError::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("manifest {name} unknown"))
}

/// Converts the error of reading a document. A missing one is "not found", a damaged one an error of the server.
fn read_error(reference: &ManifestRef, error: Error) -> ApiError {
    match error.kind() {
        ErrorKind::NotFound => unknown_manifest(reference),
        ErrorKind::InvalidDocument | ErrorKind::Mismatch => {
            ApiError::from(Error::new(ErrorKind::Store, "manifest").with_source(error))
        }
        _ => error.into(),
    }
}
