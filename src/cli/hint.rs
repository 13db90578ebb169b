//! Hints: what the user can type after an error.
//!
//! A hint for a single message is set with it ([`Error::with_hint`]). This table has the hints for conditions that
//! several messages share, by [`ErrorDetail`]. In it, `HOST` and `REPO` stand for the registry and repository that the
//! error is from, so that commands can be pasted.

use std::borrow::Cow;

use crate::error::{Error, ErrorDetail, ErrorKind};
use crate::local_path;

/// The hint of an interrupted run that can be resumed.
pub(super) const RESUMABLE: &str =
    "run the same command again to resume; it transfers only what is still missing";

/// The hint of an interrupted run that sends to a registry, which may not keep parts of a blob.
pub(super) const REPEATABLE: &str =
    "run the same command again; it sends only the blobs that the registry does not have yet";

/// The hint about a manifest in the store that is damaged or missing.
pub(super) const UNREADABLE_MANIFEST: &str =
    "run `rpull verify --repair` to fetch it again, or `rpull rm` to remove the image";

/// Details that are not listed have no hint.
const HINTS: &[(ErrorDetail, &str)] = &[
    // Credentials.
    (ErrorDetail::CredentialInReference, "pass `--creds USER:PASS`, or run `rpull login HOST`"),
    (
        ErrorDetail::AmbiguousCredential,
        "run `rpull login` for each registry; `rpull copy` also accepts `--src-creds` and `--dest-creds`",
    ),
    (ErrorDetail::CredentialRequired, "run `rpull login HOST`, or pass `--creds USER:PASS`"),
    (
        ErrorDetail::InvalidCredential,
        "check the user name and password; some registries require an access token",
    ),
    (
        ErrorDetail::ExpiredCredential,
        "get a new password for this registry and run `rpull login HOST`",
    ),
    (ErrorDetail::SecretOverHttp, "use HTTPS; `--plain-http` would send it unencrypted"),
    // Registries.
    (
        ErrorDetail::Forbidden,
        "check the name; many registries respond like this for repositories that do not exist",
    ),
    (ErrorDetail::RepositoryNotFound, "check the name of the repository"),
    (ErrorDetail::ManifestNotFound, "run `rpull tags REPO` to list its tags"),
    (
        ErrorDetail::CatalogUnsupported,
        "many registries do not support `_catalog`, or only for administrators",
    ),
    (ErrorDetail::CrossRepositoryTag, "use `rpull copy SRC DST` to copy the image"),
    (
        ErrorDetail::RateLimited,
        "set `requests-per-second` in the configuration file, run `rpull login HOST` for a higher limit, or wait with `--retry-for TIME`",
    ),
    (
        ErrorDetail::RateLimitFloor,
        "run the command again later, or `rpull login HOST` for a higher limit; `rate-limit-wait` waits",
    ),
    (ErrorDetail::InternalHost, "pass `--internal-host HOST` if that host is in your own network"),
    (
        ErrorDetail::UntrustedCertificate,
        "pass the CA with `--ca-file`, or add it to `certs.d`; `--insecure` disables verification",
    ),
    (
        ErrorDetail::ConnectionRefused,
        "check the address and the port, and that the registry is running",
    ),
    (ErrorDetail::HostNotFound, "check the spelling of the host, and the name servers"),
    (ErrorDetail::NotTls, "if the registry uses plain HTTP, pass `--plain-http`"),
    // Images and platforms.
    (ErrorDetail::NotInStore, "run `rpull images` to list the images in the store"),
    (ErrorDetail::UnreadableManifest, UNREADABLE_MANIFEST),
    (
        ErrorDetail::DamagedBlob,
        "run `rpull verify --repair IMAGE` to fetch damaged and missing blobs again",
    ),
    (
        ErrorDetail::PlatformNotFound,
        "select one with `--platform`; `rpull pull` and `rpull copy` take `--all-platforms` too",
    ),
    (
        ErrorDetail::NothingRuns,
        "run `rpull inspect` to see what it contains; `--all-platforms` pulls or copies all of it",
    ),
    (
        ErrorDetail::MissingChildren,
        "select a platform with `--platform`, or pull the others with `--all-platforms` first",
    ),
    (ErrorDetail::ChildrenGone, "select an available platform with `--platform`"),
    (ErrorDetail::NotAnImage, "run `rpull inspect` to see what it contains"),
    // The store, archives and directories.
    (ErrorDetail::NoStorePath, "pass the directory with `--store DIR`"),
    (
        ErrorDetail::StoreDiskFull,
        "free disk space (`rpull rm`, `rpull prune`) and run the command again; downloaded data is kept until `rpull prune --partials`",
    ),
    (ErrorDetail::ArchiveDiskFull, "free disk space there and run the command again"),
    (ErrorDetail::UnpackDiskFull, "free disk space there and run the command again"),
    (ErrorDetail::OutputDiskFull, "free disk space there and run the command again"),
    (ErrorDetail::SpoolDiskFull, "set `TMPDIR` to a directory with more space"),
    (
        ErrorDetail::IncompleteRoot,
        "empty the directory, including `.rpull-incomplete`, and run the command again",
    ),
    (
        ErrorDetail::BlobOmitted,
        "load the earlier archives first, or save again with a current `rpull inventory`",
    ),
    (ErrorDetail::NotOciArchive, "if `docker save` wrote it, use `docker-archive:FILE`"),
    (ErrorDetail::NotDockerArchive, "if it is a tar of an image layout, use `oci-archive:FILE`"),
    (ErrorDetail::ZstdWindow, "allow a larger window with `--zstd-window SIZE`, up to 2G"),
    (
        ErrorDetail::CompressedTwice,
        "copy the original image again with a tool that keeps its bytes: `rpull copy`, `skopeo copy --preserve-digests`",
    ),
    (ErrorDetail::LinkOutOfLayout, "copy the layout with `cp -rL` to replace its links"),
    (
        ErrorDetail::FileForLayout,
        "use `oci-archive:FILE` for a tar of a layout, or `docker-archive:FILE` for the output of `docker save`",
    ),
];

/// Returns the error's hint, if any.
pub(super) fn hint(error: &Error) -> Option<Cow<'_, str>> {
    if let Some(hint) = error.hint() {
        return Some(hint.into());
    }
    let detail = error.detail()?;
    if let Some(hint) = local_hint(error, detail) {
        return Some(hint.into());
    }
    let (_, hint) = HINTS.iter().find(|(of, _)| *of == detail)?;
    let Some(repository) = error.registry() else { return Some((*hint).into()) };
    let host = repository.split('/').next().unwrap_or_default();
    let mut hint = hint.replace("login HOST", &format!("login {host}"));
    if host != repository {
        hint = hint.replace("tags REPO", &format!("tags {repository}"));
    }
    Some(hint.into())
}

/// Returns the location to write if what was not found as an image of Docker Hub is a file or an image layout.
fn local_hint(error: &Error, detail: ErrorDetail) -> Option<String> {
    let is_not_found = matches!(
        detail,
        ErrorDetail::NotInStore
            | ErrorDetail::ManifestNotFound
            | ErrorDetail::RepositoryNotFound
            | ErrorDetail::CredentialRequired
            | ErrorDetail::Forbidden
            | ErrorDetail::HostNotFound
            | ErrorDetail::ConnectionRefused
    );
    let name = if detail == ErrorDetail::NotInStore { error.what() } else { error.registry()? };
    let name = name.strip_prefix("docker.io/").filter(|_| is_not_found)?;
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    local_path::locations(name).map(|locations| format!("`{name}` exists here: write {locations}"))
}

/// Adds to an interruption that the same command goes on where it was.
pub(super) fn resumable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Interrupted if error.hint().is_none() => error.with_hint(RESUMABLE),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_names_registry_and_repository_of_error() {
        let hint_of = |detail, name: Option<&str>| {
            let error = Error::new(ErrorKind::NotFound, "manifest a:1").with_detail(detail);
            let error = match name {
                Some(name) => error.in_registry(name),
                None => error,
            };
            hint(&error).unwrap().into_owned()
        };
        for (detail, name, text) in [
            (
                ErrorDetail::ManifestNotFound,
                Some("r.test:5000/a/b"),
                "`rpull tags r.test:5000/a/b`",
            ),
            (ErrorDetail::ManifestNotFound, None, "`rpull tags REPO`"),
            (ErrorDetail::CredentialRequired, Some("r.test/a/b"), "`rpull login r.test`"),
            (ErrorDetail::RateLimited, Some("r.test"), "`rpull login r.test`"),
            (ErrorDetail::RateLimited, None, "`rpull login HOST`"),
            (ErrorDetail::InternalHost, Some("r.test"), "`--internal-host HOST`"),
        ] {
            let hint = hint_of(detail, name);
            assert!(hint.contains(text), "{hint}");
        }
    }

    #[test]
    fn only_interruption_can_be_resumed() {
        let hint_of = |kind| hint(&resumable(Error::new(kind, "pull"))).map(Cow::into_owned);
        assert_eq!(hint_of(ErrorKind::Interrupted).as_deref(), Some(RESUMABLE));
        assert_eq!(hint_of(ErrorKind::Mismatch), None);
    }
}
