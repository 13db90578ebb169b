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
    // Whoever read standard output has had enough, and knows.
    if !error.chain().starts_with("write the archive: stdout: Broken pipe") {
        output::error_line(&error.chain());
        if let Some(hint) = hint(error) {
            output::hint_line(hint);
        }
    }
    ExitCode::from(code(error))
}

/// What to do next, where there is something.
fn hint(error: &Error) -> Option<&'static str> {
    let text = error.chain();
    let says = |words: &str| text.contains(words);
    match error.kind() {
        ErrorKind::Denied if says("certificate or key") => None,
        ErrorKind::Denied if says("none is stored") || says("401") => {
            Some("log in with `docker login` or `podman login`, or give --creds USER:PASS")
        }
        ErrorKind::Denied if says("authorization token has expired") => {
            Some("get a fresh password for this registry and log in again")
        }
        ErrorKind::Denied => {
            Some("check the name: many registries answer this for repositories that do not exist")
        }
        ErrorKind::Reference if says("a user and a password") => {
            Some("give them with --creds USER:PASS, or log in with `docker login`")
        }
        ErrorKind::NotFound if says("the index has") => {
            Some("choose one with --platform, or take all with --all-platforms")
        }
        ErrorKind::NotFound if says("its index names") => {
            Some("choose what to move with --platform, or pull it with --all-platforms first")
        }
        ErrorKind::NotFound if says("neither in the archive nor in the store") => Some(
            "load the earlier archives first, or save it again with what is there: `rpull inventory`",
        ),
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
        ErrorKind::Store if says("has no oci-layout") => {
            Some("if it is what `docker save` wrote, it is docker-archive:FILE")
        }
        ErrorKind::Store if says("has no manifest.json") => {
            Some("if it is a tar of an image layout, it is oci-archive:FILE")
        }
        ErrorKind::Registry if says("429") => {
            Some("log in to be allowed more, or try again later; what arrived is kept")
        }
        ErrorKind::Store if says("No space left") && text.starts_with("spool") => Some(
            "a pipe or a compressed archive is unpacked there first; TMPDIR names another place",
        ),
        ErrorKind::Store if says("No space left") && text.starts_with("write the archive") => {
            Some("free some space there and run it again")
        }
        ErrorKind::Store if says("No space left") && !text.starts_with("stdout") => {
            Some("free some space (`rpull prune`) and run it again; what arrived is kept")
        }
        _ => None,
    }
}
