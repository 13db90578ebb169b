//! Manifests and indexes: GET, HEAD and PUT by tag and digest. Spec: distribution-spec "Pulling manifests", "Pushing
//! Manifests".

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use reqwest::{Method, Response, StatusCode};

use super::Repository;
use crate::content::Presence;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::registry::http::body::read_up_to;
use crate::registry::http::counter::RequestKind;
use crate::registry::http::encoding::Encoding;
use crate::registry::http::error_body::requests_backoff;
use crate::registry::http::request::Request;
use crate::retry::retry;
use crate::verifier::verify;

/// All four types in one header, because some proxies read only the first line; the wildcard is for registries that
/// know a type by another name. distribution converts a type that is not listed, or responds with 404.
const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, */*",
);

const DIGEST_HEADER: &str = "docker-content-digest";

/// Fetches the document with this name.
pub(super) async fn resolve(repository: &Repository, name: &ImageName) -> Result<Document> {
    retry(&repository.transport.http.retry, || get(repository, name)).await
}

/// Fetches the bytes of the document of this descriptor, verified.
pub(super) async fn read(
    repository: &Repository,
    descriptor: &Descriptor,
    limit: u64,
) -> Result<Bytes> {
    descriptor.digest.algorithm()?;
    let path = descriptor.digest.to_string();
    retry(&repository.transport.http.retry, || async {
        let what = describe(repository, &path);
        let response = request(repository, Method::GET, &path, &what).await?;
        let bytes = body(repository, response, limit, &what).await?;
        verify(descriptor, &bytes).map_err(|error| error.at(repository.location_of(&path)))?;
        Ok(bytes)
    })
    .await
}

/// Resolves a name by HEAD; `Unknown` if the response is incomplete, so that a GET is needed.
pub(super) async fn head(
    repository: &Repository,
    name: &ImageName,
) -> Result<Presence<Descriptor>> {
    let (path, _) = path(repository, name)?;
    let what = describe(repository, &path);
    retry(&repository.transport.http.retry, || async {
        let request = request_of(repository, Method::HEAD, &path, &what)?;
        let response = repository.transport.send(&request).await?;
        if requests_backoff(&response) {
            return Err(Box::pin(repository.transport.http.failure(&request, response)).await);
        }
        // Other errors of HEAD have no body: let GET report them (ECR and others reject HEAD as such).
        Ok(match response.status() {
            StatusCode::NOT_FOUND => Presence::Absent,
            status if status.is_success() => {
                described(response.headers()).map_or(Presence::Unknown, Presence::Present)
            }
            _ => Presence::Unknown,
        })
    })
    .await
}

/// Stores the document under this name, byte for byte, and nothing else. Returns the response headers; `None` if the
/// response was an error, but the name points to the document.
///
/// # Errors
/// [`ErrorKind::MissingBlobs`] if the registry reports missing blobs; [`ErrorKind::Mismatch`] if it stored something
/// else.
pub(super) async fn store(
    repository: &Repository,
    document: &Document,
    name: &ImageName,
) -> Result<Option<HeaderMap>> {
    let sending = retry(&repository.transport.http.retry, || send(repository, document, name));
    match sending.await {
        Ok(headers) => Ok(Some(headers)),
        // Immutable tags are rejected even if nothing would change (moby/buildkit#3776), and an earlier attempt whose
        // response was lost may have succeeded.
        Err(error)
            if is_about_the_tag(&error)
                && tag_points_to(repository, name, document.digest()).await =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_about_the_tag(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Registry | ErrorKind::Denied | ErrorKind::Transport)
}

/// Whether the name now points to this digest.
async fn tag_points_to(repository: &Repository, name: &ImageName, digest: &Digest) -> bool {
    matches!(head(repository, name).await, Ok(Presence::Present(there)) if there.digest == *digest)
}

/// One attempt to store the document. Returns the response headers.
pub(super) async fn send(
    repository: &Repository,
    document: &Document,
    name: &ImageName,
) -> Result<HeaderMap> {
    send_with_tags(repository, document, name, &[]).await
}

/// One attempt to store the document under this name and all of these tags. Returns the response headers.
pub(super) async fn send_with_tags(
    repository: &Repository,
    document: &Document,
    name: &ImageName,
    tags: &[String],
) -> Result<HeaderMap> {
    let (path, _) = path(repository, name)?;
    let what = describe(repository, &path);
    let media_type = document.descriptor().media_type.to_string();
    let media_type = HeaderValue::from_str(&media_type)
        .map_err(|error| Error::new(ErrorKind::InvalidDocument, &what).with_source(error))?;
    let mut request = request_of(repository, Method::PUT, &path, &what)?;
    request.accept = None;
    request.content = Some((media_type, document.bytes().clone()));
    if !tags.is_empty() {
        request.url.query_pairs_mut().extend_pairs(tags.iter().map(|tag| ("tag", tag)));
    }
    let response = repository.transport.expect_success(&request).await?;
    check_stored(repository, document, response.headers(), &what).await?;
    Ok(response.headers().clone())
}

/// Verifies that an accepted document exists under its digest.
///
/// The response need not contain a digest (ECR's does not), and some registries know every manifest by its sha256
/// alone, whatever it was pushed as.
async fn check_stored(
    repository: &Repository,
    document: &Document,
    headers: &HeaderMap,
    what: &str,
) -> Result<()> {
    let (digest, announced) = (document.digest(), header_digest(headers));
    let error = |reason: String| {
        Error::new(ErrorKind::Mismatch, what)
            .at(&repository.transport.http.name)
            .with_reason(reason)
    };
    if let Some(other) = mismatched_digest(headers, digest) {
        return Err(error(format!(
            "digest mismatch: expected {digest}, the registry stored {other}"
        )));
    }
    let is_sure = match &announced {
        Some(announced) => announced == digest,
        None => digest.algorithm_name() == "sha256",
    };
    if is_sure {
        return Ok(());
    }
    let name = ImageName::Digest(digest.clone());
    match Box::pin(get(repository, &name)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_transient() => Err(error),
        Err(source) => {
            let name =
                announced.map_or_else(|| "another name".to_owned(), |other| other.to_string());
            let reason =
                format!("the registry stored it as {name} and does not serve it as {digest}");
            Err(error(reason).with_source(source))
        }
    }
}

/// One attempt to fetch the document with this name.
pub(super) async fn get(repository: &Repository, name: &ImageName) -> Result<Document> {
    let (path, digest) = path(repository, name)?;
    let what = describe(repository, &path);
    let response = request(repository, Method::GET, &path, &what).await?;
    let headers = response.headers().clone();
    let bytes = body(repository, response, DOCUMENT_LIMIT, &what).await?;
    let document = verified(repository, &headers, bytes, digest.as_ref(), &path, &what);
    // Without a length, a body that broke off looks like a complete one.
    let has_end = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name));
    if has_end { document } else { document.map_err(|error| error.transient(None)) }
}

/// Parses a document, and compares its digest with the requested and the announced one.
fn verified(
    repository: &Repository,
    headers: &HeaderMap,
    bytes: Bytes,
    digest: Option<&Digest>,
    path: &str,
    what: &str,
) -> Result<Document> {
    let location = repository.location_of(path);
    let document = Document::from_response(bytes, &media_type(headers), digest)
        .map_err(|error| error.at(&location))?;
    let Some(announced) = mismatched_digest(headers, document.digest()) else {
        return Ok(document);
    };
    let reason = format!(
        "digest mismatch: `Docker-Content-Digest` is {announced}, content is {}",
        document.digest()
    );
    Err(Error::new(ErrorKind::Mismatch, what)
        .at(&repository.transport.http.name)
        .with_reason(reason))
}

async fn request(
    repository: &Repository,
    method: Method,
    path: &str,
    what: &str,
) -> Result<Response> {
    let request = request_of(repository, method, path, what)?;
    let answer = repository.transport.expect_success(&request).await;
    answer.map_err(|error| {
        let error = error.in_registry(repository.full_name());
        match (error.kind(), error.detail()) {
            (ErrorKind::NotFound, None) => error.with_detail(ErrorDetail::ManifestNotFound),
            _ => error,
        }
    })
}

fn request_of<'a>(
    repository: &'a Repository,
    method: Method,
    path: &str,
    what: &'a str,
) -> Result<Request<'a>> {
    let url = repository.transport.http.url(&format!("{}/manifests/{path}", repository.name))?;
    Ok(Request { method, accept: Some(ACCEPT), ..repository.get(RequestKind::Manifest, url, what) })
}

async fn body(
    repository: &Repository,
    response: Response,
    limit: u64,
    what: &str,
) -> Result<Bytes> {
    let transport = &repository.transport;
    let body = read_up_to(response, limit, what, transport.http.options.timeouts.idle).await;
    body.map_err(|error| error.at(&transport.http.name))
}

pub(super) fn describe(repository: &Repository, path: &str) -> String {
    let separator = if path.contains(':') { '@' } else { ':' };
    format!("manifest {}{separator}{path}", repository.name)
}

fn path(repository: &Repository, name: &ImageName) -> Result<(String, Option<Digest>)> {
    match name {
        ImageName::Tag(tag) => Ok((tag.clone(), None)),
        ImageName::Digest(digest) => {
            digest.algorithm()?;
            Ok((digest.to_string(), Some(digest.clone())))
        }
        ImageName::Layout(_) | ImageName::Only => {
            Err(Error::new(ErrorKind::InvalidInput, name.to_string())
                .at(&repository.transport.http.name)
                .with_reason("expected a tag or digest"))
        }
    }
}

fn media_type(headers: &HeaderMap) -> MediaType {
    MediaType::from_header(
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default(),
    )
}

/// The digest in the headers, if it differs from the content's.
///
/// Some registries send an invalid value, which is ignored. A valid digest that differs is a false statement about the
/// bytes.
pub(super) fn mismatched_digest(headers: &HeaderMap, digest: &Digest) -> Option<Digest> {
    header_digest(headers).filter(|announced| {
        announced.algorithm_name() == digest.algorithm_name() && announced != digest
    })
}

fn header_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DIGEST_HEADER)?.to_str().ok()?.parse().ok()
}

/// The descriptor in the headers; `None` if they are incomplete. The length of an encoded body is not the document's.
fn described(headers: &HeaderMap) -> Option<Descriptor> {
    (Encoding::from_headers(headers) == Encoding::Identity).then_some(())?;
    let size = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    let media_type = media_type(headers);
    media_type.is_document().then_some(())?;
    Some(Descriptor::new(media_type, header_digest(headers)?, size))
}
