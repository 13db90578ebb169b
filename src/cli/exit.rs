//! Exit codes and hints: the only place that knows them.

use std::process::ExitCode;

use rustix::io::Errno;

use super::output;
use crate::error::{Error, ErrorKind, Matter};

/// Usage, invalid reference, platform or digest.
pub(super) const USAGE: u8 = 2;

/// The store, an archive or unpacking failed, or this machine otherwise.
const STORE: u8 = 7;

/// The exit code of an error.
pub(super) fn code(error: &Error) -> u8 {
    match error.kind() {
        // Whatever wanted to open the file or the connection, this machine is the cause.
        _ if lacks_descriptors(error) => STORE,

        ErrorKind::Reference => USAGE,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Mismatch | ErrorKind::Document => 5,
        ErrorKind::Registry | ErrorKind::Incomplete | ErrorKind::Transport => 6,
        ErrorKind::Store | ErrorKind::Unpack => STORE,
        ErrorKind::Unsupported => 1,
        ErrorKind::Interrupted => super::signals::exit_code(),
    }
}

/// Tells the error with a hint, and gives its code.
pub(super) fn report(error: &Error) -> ExitCode {
    // They know.
    if error.matter() != Some(Matter::ReaderGone) {
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
fn hint(error: &Error) -> Option<&'static str> {
    if lacks_descriptors(error) {
        return Some("raise the limit of open files: ulimit -n 1024");
    }
    Some(match error.matter()? {
        Matter::UserInName => "give them with --creds USER:PASS, or log in with `rpull login HOST`",
        Matter::SharedCredential => {
            "log in with `rpull login HOST`, or give `copy` --src-creds and --dest-creds"
        }
        Matter::PlainSecret => "--plain-http lets everybody on the way read it",
        Matter::WrongCredential => "check user and password; some registries want a token for it",
        Matter::NoCatalog => "many registries have no such list, or only for administrators",
        Matter::TagAlone => "give the digest in place of the tag to delete them all",
        Matter::LayersElsewhere => "`rpull copy SRC NAME` brings images to other places",
        Matter::NotStored => "`rpull images` lists what is there",
        Matter::NoStorePath => "give the directory with --store DIR",
        Matter::NoPlatform => "choose one with --platform, or take all with --all-platforms",
        Matter::NothingRuns => {
            "`rpull inspect` shows what it lists; pull and copy take all of it with --all-platforms"
        }
        Matter::NoChildren => {
            "choose what to move with --platform, or pull it with --all-platforms first"
        }
        Matter::ChildrenGone => "choose what is there with --platform",
        Matter::NoRepository => "check the name of the repository",
        Matter::NoManifest => "`rpull tags REPO` lists the tags of a repository",
        Matter::Credential => "log in with `rpull login HOST`, or give --creds USER:PASS",
        Matter::ExpiredCredential => "get a fresh password for this registry and log in again",
        Matter::Forbidden => {
            "check the name: many registries answer this for repositories that do not exist"
        }
        Matter::RateLimit => "log in to be allowed more, or try again later; what arrived is kept",
        Matter::InternalHost => {
            "if that network is yours, pass `--internal-host HOST` with the name of that host"
        }
        Matter::Certificate => {
            "give the registry's CA with --ca-file, or put it into certs.d; --insecure accepts any certificate"
        }
        Matter::NoTls => "the registry may speak plain http: --plain-http",
        Matter::ArchiveDiskFull | Matter::RootDiskFull => "free some space there and run it again",
        Matter::UnfinishedRoot => {
            "remove all that is in it, .rpull-incomplete too, and run it again"
        }
        Matter::ReaderGone | Matter::SentElsewhere | Matter::NoReferrersApi => return None,
        Matter::SpoolFull => {
            "a pipe or a compressed archive is unpacked there first; TMPDIR names another place"
        }
        Matter::NotCarried => {
            "load the earlier archives first, or save it again with what is there: `rpull inventory`"
        }
        Matter::NoLayoutInside => "if it is what `docker save` wrote, it is docker-archive:FILE",
        Matter::NotAnImage => "`rpull inspect` shows what it consists of",
        Matter::NoDockerManifest => "if it is a tar of an image layout, it is oci-archive:FILE",
        Matter::LinkOutOfLayout => "copy the layout without its links: cp -rL",
        Matter::FileForLayout => {
            "a tar of an image layout is oci-archive:FILE, what `docker save` wrote is docker-archive:FILE"
        }
        Matter::DiskFull => {
            "free some space (`rpull rm`, `rpull prune`) and run it again: what arrived is kept, until `rpull prune --partials`"
        }
    })
}
