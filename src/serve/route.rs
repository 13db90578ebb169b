//! Parses request paths. Spec: distribution-spec "Endpoints".
//!
//! Repository names contain slashes and may look like endpoints, so paths are parsed from their end.

use hyper::{Method, StatusCode};

use super::response::ApiError;
use crate::digest::Digest;
use crate::layout::SessionId;
use crate::reference::{is_repository, is_tag};

/// A parsed path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// An endpoint below `/v2/<name>/`.
    Repository(&'a str, ApiEndpoint),
}

/// An endpoint of one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApiEndpoint {
    /// `tags/list`
    Tags,
    /// `referrers/<digest>`
    Referrers(Digest),
    /// `manifests/<tag or digest>`
    Manifest(ManifestRef),
    /// `blobs/<digest>`
    Blob(Digest),
    /// `blobs/uploads/`
    Uploads,
    /// `blobs/uploads/<id>`
    Upload(SessionId),
}

/// A tag or digest in a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ManifestRef {
    Tag(String),
    Digest(Digest),
}

/// # Errors
/// The response for an unknown endpoint, or an invalid name, digest or session.
pub(super) fn route<'a>(path: &'a str, method: &Method) -> Result<Route<'a>, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such endpoint");
    let rest = match path.strip_prefix("/v2").ok_or_else(unknown)? {
        "" | "/" => return Ok(Route::Base),
        "/_catalog" => return Ok(Route::Catalog),
        rest => rest.strip_prefix('/').ok_or_else(unknown)?,
    };
    let (rest, last) = rest.rsplit_once('/').ok_or_else(unknown)?;
    let (name, endpoint) = match rest.rsplit_once('/').ok_or_else(unknown)? {
        (name, "tags") if last == "list" => (name, ApiEndpoint::Tags),
        (name, "referrers") => (name, ApiEndpoint::Referrers(digest(last)?)),
        (name, "manifests") => (
            name,
            ApiEndpoint::Manifest(manifest_ref(last).map_err(|error| as_not_found(error, method))?),
        ),
        (name, "blobs") if last == "uploads" => (name, ApiEndpoint::Uploads),
        (name, "blobs") => {
            (name, ApiEndpoint::Blob(digest(last).map_err(|error| as_not_found(error, method))?))
        }
        (rest, "uploads") => {
            let name = rest.strip_suffix("/blobs").ok_or_else(unknown)?;
            (
                name,
                if last.is_empty() {
                    ApiEndpoint::Uploads
                } else {
                    ApiEndpoint::Upload(session(last)?)
                },
            )
        }
        _ => return Err(unknown()),
    };
    if !is_repository(name) {
        let reason = "invalid repository name, expected lowercase letters and digits, separated by `/ . _ -`";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "NAME_INVALID", reason));
    }
    Ok(Route::Repository(name, endpoint))
}

/// Converts an error to "not found" for methods whose endpoints define no other error.
fn as_not_found(error: ApiError, method: &Method) -> ApiError {
    match *method {
        Method::GET | Method::HEAD | Method::DELETE => error.with_status(StatusCode::NOT_FOUND),
        _ => error,
    }
}

fn manifest_ref(text: &str) -> Result<ManifestRef, ApiError> {
    if is_tag(text) {
        return Ok(ManifestRef::Tag(text.to_owned()));
    }
    if text.contains(':') || text.contains('%') {
        return digest(text).map(ManifestRef::Digest);
    }
    Err(ApiError::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "expected a tag or digest"))
}

/// Parses a digest whose algorithm can be verified. Other digests cannot be stored.
pub(super) fn digest(text: &str) -> Result<Digest, ApiError> {
    let invalid = |reason| ApiError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", reason);
    // Some clients encode the colon.
    let text = text.replacen("%3A", ":", 1).replacen("%3a", ":", 1);
    let digest: Digest = text.parse().map_err(|_| invalid("malformed digest"))?;
    digest
        .algorithm()
        .map_err(|_| invalid("unsupported digest algorithm, expected sha256 or sha512"))?;
    Ok(digest)
}

fn session(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(|_| unknown_upload())
}

/// Returns the error for a session that ended or never existed.
pub(super) fn unknown_upload() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "BLOB_UPLOAD_UNKNOWN",
        "unknown upload session; start a new one",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read(path: &str) -> String {
        match route(path, &Method::GET) {
            Ok(route) => format!("{route:?}"),
            Err(error) => error.status.as_u16().to_string(),
        }
    }

    #[test]
    fn repository_named_like_endpoint_is_routed() {
        assert_eq!(read("/v2/"), "Base");
        assert_eq!(read("/v2"), "Base");
        assert_eq!(read("/v2/_catalog"), "Catalog");
        assert_eq!(read("/v2/a/tags/list"), r#"Repository("a", Tags)"#);
        assert_eq!(read("/v2/tags/list/tags/list"), r#"Repository("tags/list", Tags)"#);
        assert_eq!(
            read("/v2/a/blobs/uploads/manifests/list"),
            r#"Repository("a/blobs/uploads", Manifest(Tag("list")))"#
        );
        assert_eq!(
            read("/v2/blobs/uploads/blobs/uploads/"),
            r#"Repository("blobs/uploads", Uploads)"#
        );
        assert_eq!(read("/v2/a/blobs/uploads"), r#"Repository("a", Uploads)"#);
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            read(&format!("/v2/a/b/blobs/uploads/{id}")),
            r#"Repository("a/b", Upload(SessionId))"#
        );
        let blob = format!(r#"Repository("a", Blob(sha256:{HEX}))"#);
        assert_eq!(read(&format!("/v2/a/blobs/sha256:{HEX}")), blob);
        assert_eq!(read(&format!("/v2/a/blobs/sha256%3A{HEX}")), blob);
    }

    #[test]
    fn malformed_path_is_not_found_or_bad_request() {
        for (path, status) in [
            ("/", "404"),
            ("/v1/", "404"),
            ("/v2x/", "404"),
            ("/v2/a", "404"),
            ("/v2//tags/list", "404"),
            ("/v2/../tags/list", "404"),
            ("/v2/a/../../etc/manifests/x", "404"),
            ("/v2/A/tags/list", "404"),
            ("/v2/a%2fb/tags/list", "404"),
            ("/v2/a/manifests/.x", "404"),
            ("/v2/a/manifests/", "404"),
            ("/v2/a/manifests/sha256:zz", "404"),
            ("/v2/a/blobs/sha256:../../../../etc/passwd", "404"),
            ("/v2/a/blobs/..", "404"),
            ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "404"),
            ("/v2/a/blobs/uploads/..", "404"),
            ("/v2/a/blobs/uploads/0123", "404"),
        ] {
            assert_eq!(read(path), status, "{path}");
        }
        assert_eq!(read(&format!("/v2/{}/tags/list", "a".repeat(300))), "404");
        for path in ["/v2/a/manifests/.x", "/v2/a/manifests/", "/v2/a/manifests/sha256:zz"] {
            let error = route(path, &Method::PUT).unwrap_err();
            assert_eq!(error.status, StatusCode::BAD_REQUEST, "{path}");
        }
        let referrers = route("/v2/a/referrers/sha256:zz", &Method::GET).unwrap_err();
        assert_eq!(referrers.status, StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn arbitrary_path_does_not_panic(path in "/v2(/|[a-z]{0,3}|blobs|uploads|manifests|tags|list|%3A|\\.\\.|:|sha256){0,12}") {
            drop(route(&path, &Method::PUT));
        }
    }
}
