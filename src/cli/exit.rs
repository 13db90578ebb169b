//! Exit codes and hints: the only place that knows them.

use std::process::ExitCode;

use super::output;
use crate::error::{Error, ErrorKind};

/// Usage, invalid reference, platform or digest.
pub(super) const USAGE: u8 = 2;

/// The exit code of an error.
pub(super) fn code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Reference => USAGE,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Mismatch | ErrorKind::Document => 5,
        ErrorKind::Registry | ErrorKind::Incomplete | ErrorKind::Transport => 6,
        ErrorKind::Store => 7,
        ErrorKind::Unsupported => 1,
        ErrorKind::Interrupted => super::signals::exit_code(),
    }
}

/// Tells the error with a hint, and gives its code.
pub(super) fn report(error: &Error) -> ExitCode {
    output::error_line(&error.chain());
    if let Some(hint) = hint(error) {
        output::hint_line(hint);
    }
    ExitCode::from(code(error))
}

/// What to do next, where there is something.
fn hint(error: &Error) -> Option<&'static str> {
    let text = error.chain();
    let says = |words: &str| text.contains(words);
    match error.kind() {
        ErrorKind::Denied if says("certificate or key") || text.starts_with("credentials") => None,
        ErrorKind::Denied if text.starts_with("catalog") && !says("none is stored") => {
            Some("many registries have no such list, or only for administrators")
        }
        ErrorKind::Unsupported if says("cannot delete a tag alone") => {
            Some("give the digest in place of the tag to delete them all")
        }
        ErrorKind::Denied if says("over plain http") => {
            Some("--plain-http lets everybody on the way read it")
        }
        ErrorKind::Denied if text.starts_with("login") => {
            Some("check user and password; some registries want a token for it")
        }
        ErrorKind::Denied if says("none is stored") || says("401") => {
            Some("log in with `rpull login HOST`, or give --creds USER:PASS")
        }
        ErrorKind::Denied if says("authorization token has expired") => {
            Some("get a fresh password for this registry and log in again")
        }
        ErrorKind::Denied => {
            Some("check the name: many registries answer this for repositories that do not exist")
        }
        ErrorKind::Reference if says("would have to move") => {
            Some("`rpull copy SRC NAME` brings images to other places")
        }
        ErrorKind::Reference if says("a user and a password") => {
            Some("give them with --creds USER:PASS, or log in with `rpull login HOST`")
        }
        ErrorKind::NotFound if says("the index has") => {
            Some("choose one with --platform, or take all with --all-platforms")
        }
        ErrorKind::NotFound if says("its index names") => {
            Some("choose what to move with --platform, or pull it with --all-platforms first")
        }
        ErrorKind::NotFound if says("store") => Some("`rpull images` lists what is there"),
        ErrorKind::NotFound if says("name unknown") => Some("check the name of the repository"),
        ErrorKind::NotFound if text.starts_with("manifest") => {
            Some("`rpull tags REPO` lists the tags of a repository")
        }
        ErrorKind::Transport if says("certificate") || says("UnknownIssuer") => Some(
            "give the registry's CA with --ca-file, or put it into certs.d; --insecure accepts any certificate",
        ),
        ErrorKind::Transport if says("corrupt message") || says("InvalidContentType") => {
            Some("the registry may speak plain http: --plain-http")
        }
        ErrorKind::Registry if says("429") => {
            Some("log in to be allowed more, or try again later; what arrived is kept")
        }
        ErrorKind::Store if says("No space left") && !text.starts_with("stdout") => {
            Some("free some space (`rpull prune`) and run it again; what arrived is kept")
        }
        _ => None,
    }
}
