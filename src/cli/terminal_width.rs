//! The width of the terminal that results are printed to.

use std::io;

use rustix::termios::tcgetwinsize;

/// Returns the columns of the terminal that stdout is; `None` if it is not a terminal, or does not tell.
pub(super) fn terminal_width() -> Option<usize> {
    let columns = tcgetwinsize(io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}
