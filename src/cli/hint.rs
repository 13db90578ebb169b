//! Hints: what the user can type after an error.
//!
//! A hint for a single message is set with it ([`Error::with_hint`]). This table has the hints for conditions that
//! several messages share, by [`ErrorDetail`].

use crate::error::{Error, ErrorDetail};

/// Details that are not listed have no hint.
const HINTS: &[(ErrorDetail, &str)] = &[
    // Credentials.
    (ErrorDetail::CredentialInReference, "pass `--creds USER:PASS`, or run `rpull login HOST`"),
    (
        ErrorDetail::AmbiguousCredential,
        "run `rpull login HOST`, or pass `--src-creds` and `--dest-creds` to `rpull copy`",
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
    (
        ErrorDetail::TagDeleteUnsupported,
        "use `REPO@DIGEST` to delete the manifest with all its tags",
    ),
    (ErrorDetail::CrossRepositoryTag, "use `rpull copy SRC DST` to copy the image"),
    (
        ErrorDetail::RateLimited,
        "run `rpull login HOST` for a higher limit, or retry later; downloaded data is kept",
    ),
    (ErrorDetail::InternalHost, "pass `--internal-host HOST` if that host is in your own network"),
    (
        ErrorDetail::UntrustedCertificate,
        "pass the CA with `--ca-file`, or add it to `certs.d`; `--insecure` disables verification",
    ),
    (ErrorDetail::NotTls, "if the registry uses plain HTTP, pass `--plain-http`"),
    // Images and platforms.
    (ErrorDetail::NotInStore, "run `rpull images` to list the images in the store"),
    (ErrorDetail::PlatformNotFound, "select one with `--platform`, or use `--all-platforms`"),
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
    (ErrorDetail::LinkOutOfLayout, "copy the layout with `cp -rL` to replace its links"),
    (
        ErrorDetail::FileForLayout,
        "use `oci-archive:FILE` for a tar of a layout, or `docker-archive:FILE` for the output of `docker save`",
    ),
];

/// Returns the error's hint, if any.
pub(super) fn hint(error: &Error) -> Option<&str> {
    if let Some(hint) = error.hint() {
        return Some(hint);
    }
    let detail = error.detail()?;
    HINTS.iter().find(|(of, _)| *of == detail).map(|&(_, hint)| hint)
}
