//! Exit codes: the only place that knows them.

use std::process::ExitCode;

use rustix::io::Errno;

use super::hint::hint;
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

/// Prints the error and its hint; returns its code.
pub(super) fn report(error: &Error) -> ExitCode {
    // They know.
    if error.detail() != Some(ErrorDetail::BrokenPipe) {
        output::error_line(&error.chain());
        if lacks_descriptors(error) {
            output::hint_line("raise the limit of open files with `ulimit -n 1024`");
        } else if let Some(hint) = hint(error) {
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
