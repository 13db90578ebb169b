//! Exit codes and hints: the only place that knows them.

use std::process::ExitCode;

use rustix::io::Errno;

use super::output;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// Usage, invalid reference, platform or digest.
pub(super) const USAGE: u8 = 2;

/// The store, an archive or unpacking failed, or this machine otherwise.
const STORE: u8 = 7;

/// The exit code of an error.
pub(super) fn code(error: &Error) -> u8 {
    match error.kind() {
        // Whatever wanted to open the file or the connection, this machine is the cause.
        _ if lacks_descriptors(error) => STORE,

        ErrorKind::InvalidInput => USAGE,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Mismatch | ErrorKind::InvalidDocument => 5,
        ErrorKind::Registry | ErrorKind::MissingBlobs | ErrorKind::Transport => 6,
        ErrorKind::Store | ErrorKind::Unpack => STORE,
        ErrorKind::Unsupported => 1,
        ErrorKind::Interrupted => super::signals::exit_code(),
    }
}

/// Tells the error with a hint, and gives its code.
pub(super) fn report(error: &Error) -> ExitCode {
    // They know.
    if error.detail() != Some(ErrorDetail::BrokenPipe) {
        output::error_line(&error.chain());
        if let Some(hint) = hint(error) {
            output::hint_line(hint);
        }
    }
    ExitCode::from(code(error))
}

/// Whether the process, or the system, had as many files open as it may.
fn lacks_descriptors(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let number = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let errno = number.map(Errno::from_raw_os_error);
        if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What to do next, where there is something.
#[expect(clippy::too_many_lines, reason = "one table, a line or two for each detail")]
fn hint(error: &Error) -> Option<&str> {
    if lacks_descriptors(error) {
        return Some("raise the limit of open files: ulimit -n 1024");
    }
    if let Some(hint) = error.hint() {
        return Some(hint);
    }
    Some(match error.detail()? {
        ErrorDetail::CredentialInReference => {
            "give them with --creds USER:PASS, or log in with `rpull login HOST`"
        }
        ErrorDetail::AmbiguousCredential => {
            "log in with `rpull login HOST`, or give `copy` --src-creds and --dest-creds"
        }
        ErrorDetail::SecretOverHttp => "--plain-http lets everybody on the way read it",
        ErrorDetail::InvalidCredential => {
            "check user and password; some registries want a token for it"
        }
        ErrorDetail::CatalogUnsupported => {
            "many registries have no such list, or only for administrators"
        }
        ErrorDetail::TagDeleteUnsupported => {
            "give the digest in place of the tag to delete them all"
        }
        ErrorDetail::CrossRepositoryTag => "`rpull copy SRC NAME` brings images to other places",
        ErrorDetail::NotInStore => "`rpull images` lists what is there",
        ErrorDetail::NoStorePath => "give the directory with --store DIR",
        ErrorDetail::PlatformNotFound => {
            "choose one with --platform, or take all with --all-platforms"
        }
        ErrorDetail::NothingRuns => {
            "`rpull inspect` shows what it lists; pull and copy take all of it with --all-platforms"
        }
        ErrorDetail::MissingChildren => {
            "choose what to move with --platform, or pull it with --all-platforms first"
        }
        ErrorDetail::ChildrenGone => "choose what is there with --platform",
        ErrorDetail::RepositoryNotFound => "check the name of the repository",
        ErrorDetail::ManifestNotFound => "`rpull tags REPO` lists the tags of a repository",
        ErrorDetail::CredentialRequired => {
            "log in with `rpull login HOST`, or give --creds USER:PASS"
        }
        ErrorDetail::ExpiredCredential => "get a fresh password for this registry and log in again",
        ErrorDetail::Forbidden => {
            "check the name: many registries answer this for repositories that do not exist"
        }
        ErrorDetail::RateLimited => {
            "log in to be allowed more, or try again later; what arrived is kept"
        }
        ErrorDetail::InternalHost => {
            "if that network is yours, pass `--internal-host HOST` with the name of that host"
        }
        ErrorDetail::UntrustedCertificate => {
            "give the registry's CA with --ca-file, or put it into certs.d; --insecure accepts any certificate"
        }
        ErrorDetail::NotTls => "the registry may speak plain http: --plain-http",
        ErrorDetail::ArchiveDiskFull | ErrorDetail::UnpackDiskFull => {
            "free some space there and run it again"
        }
        ErrorDetail::IncompleteRoot => {
            "remove all that is in it, .rpull-incomplete too, and run it again"
        }
        ErrorDetail::BrokenPipe | ErrorDetail::UploadRedirected | ErrorDetail::NoReferrersApi => {
            return None;
        }
        ErrorDetail::SpoolDiskFull => {
            "a pipe or a compressed archive is unpacked there first; TMPDIR names another place"
        }
        ErrorDetail::BlobOmitted => {
            "load the earlier archives first, or save it again with what is there: `rpull inventory`"
        }
        ErrorDetail::NotOciArchive => {
            "if it is what `docker save` wrote, it is docker-archive:FILE"
        }
        ErrorDetail::NotAnImage => "`rpull inspect` shows what it consists of",
        ErrorDetail::NotDockerArchive => {
            "if it is a tar of an image layout, it is oci-archive:FILE"
        }
        ErrorDetail::LinkOutOfLayout => "copy the layout without its links: cp -rL",
        ErrorDetail::FileForLayout => {
            "a tar of an image layout is oci-archive:FILE, what `docker save` wrote is docker-archive:FILE"
        }
        ErrorDetail::StoreDiskFull => {
            "free some space (`rpull rm`, `rpull prune`) and run it again: what arrived is kept, until `rpull prune --partials`"
        }
    })
}
