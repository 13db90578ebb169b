//! The size of the terminal, to which all output is fitted.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{Winsize, tcgetwinsize};

use super::text_width::truncate;

/// Columns and rows of a terminal that does not tell its size.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// Whether `--wide` was given.
static WIDE: AtomicBool = AtomicBool::new(false);

/// Applies `--wide`.
pub(super) fn set_wide(wide: bool) {
    WIDE.store(wide, Ordering::Relaxed);
}

pub(super) fn is_wide() -> bool {
    WIDE.load(Ordering::Relaxed)
}

/// Returns the columns of the terminal that results are printed to; `None` if stdout is no terminal or does not tell, and with
/// `--wide`.
pub(super) fn terminal_width() -> Option<usize> {
    let columns = usize::from(size_of(io::stdout())?.ws_col);
    (columns > 0 && !is_wide()).then_some(columns)
}

/// Returns the columns of the terminal that messages are printed to; `None` as for [`terminal_width`].
pub(super) fn stderr_width() -> Option<usize> {
    let columns = usize::from(size_of(io::stderr())?.ws_col);
    (columns > 0 && !is_wide()).then_some(columns)
}

/// Returns columns and rows of the terminal that progress is drawn on.
pub(super) fn progress_size() -> (usize, usize) {
    let size = size_of(io::stderr()).filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or(DEFAULT_SIZE, |size| (size.ws_col.into(), size.ws_row.into()))
}

fn size_of(file: impl AsFd) -> Option<Winsize> {
    tcgetwinsize(file).ok()
}

/// Cuts a line to the terminal, if there is one.
pub(super) fn truncate_to_terminal(line: String) -> String {
    match terminal_width() {
        Some(columns) => truncate(&line, columns),
        None => line,
    }
}

/// Cuts a text that no terminal cuts, so that logs stay readable; `--wide` keeps it whole.
pub(super) fn truncate_in_pipe(text: String, columns: usize) -> String {
    if is_wide() || terminal_width().is_some() { text } else { truncate(&text, columns) }
}
