//! Maps errors to exit codes.

use std::process::ExitCode;

use rustix::io::Errno;

use super::hint::hint;
use super::output;
use crate::error::{Error, ErrorDetail, ErrorKind};

/// Invalid command line, reference, platform or digest.
pub(super) const USAGE: u8 = 2;

/// Failure of the store, an archive, unpacking or this machine.
const STORE: u8 = 7;

pub(super) fn code(error: &Error) -> u8 {
    match error.kind() {
        // A lack of descriptors is a fault of this machine, even if a registry connection failed by it.
        _ if is_descriptor_limit(error) => STORE,

        ErrorKind::InvalidInput => USAGE,
        ErrorKind::NotFound => 3,
        ErrorKind::Denied => 4,
        ErrorKind::Mismatch | ErrorKind::InvalidDocument => 5,
        ErrorKind::Registry | ErrorKind::MissingBlobs | ErrorKind::Transport => 6,
        ErrorKind::Store | ErrorKind::Unpack => STORE,
        ErrorKind::Unsupported | ErrorKind::Stopped => 1,
        ErrorKind::Interrupted => super::signals::exit_code(),
    }
}

/// Returns the error that decides the exit code: an interruption, else the first one.
pub(super) fn deciding<'a>(
    mut errors: impl Iterator<Item = &'a Error> + Clone,
) -> Option<&'a Error> {
    let interruption = errors.clone().find(|error| error.kind() == ErrorKind::Interrupted);
    interruption.or_else(|| errors.next())
}

/// The exit code of several images, given the errors of those that failed.
pub(super) fn code_of_all<'a>(errors: impl Iterator<Item = &'a Error> + Clone) -> ExitCode {
    deciding(errors).map_or(ExitCode::SUCCESS, |error| ExitCode::from(code(error)))
}

/// Prints the error and its hint; returns its exit code.
pub(super) fn report(error: &Error) -> ExitCode {
    report_text(&error.chain(), error)
}

/// As [`report`], with the image that failed, unless the error begins with its name.
pub(super) fn report_for(reference: &str, error: &Error) -> ExitCode {
    let chain = error.chain();
    let is_named = chain.strip_prefix(reference).is_some_and(|rest| rest.starts_with(": "));
    let text = if is_named { chain } else { format!("{reference}: {chain}") };
    report_text(&text, error)
}

fn report_text(text: &str, error: &Error) -> ExitCode {
    // A reader that closed the pipe needs no message.
    if error.detail() != Some(ErrorDetail::BrokenPipe) {
        output::error_line(text);
        if is_descriptor_limit(error) {
            output::hint_line("raise the limit of open files with `ulimit -n 1024`");
        } else if let Some(hint) = hint(error) {
            output::hint_line(&hint);
        }
    }
    ExitCode::from(code(error))
}

/// Returns whether the process or the system has reached its limit of open files.
fn is_descriptor_limit(error: &Error) -> bool {
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
