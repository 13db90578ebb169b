//! Asks for input on the terminal. Questions go to stderr. A dropped future restores the terminal.

use std::io::{self, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::output::stderr_text;
use crate::error::{Error, ErrorKind, Result};

/// Maximum bytes read from stdin for one answer.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Checks that there is a terminal for the question whether to do something. The hint says how to do without it.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with `what` was to be confirmed.
pub(super) fn check_possible(what: &str, hint: &str) -> Result<()> {
    if is_possible() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, what)
        .with_reason("cannot ask for confirmation without a terminal")
        .with_hint(hint))
}

/// Returns whether stdin is a terminal.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Reads a line, with echo.
pub(super) async fn line(question: &str) -> Result<Zeroizing<String>> {
    stderr_text(question);
    let newline = NewlineOnDrop;
    let answer = read(|text| io::stdin().read_line(text)).await;
    std::mem::forget(newline);
    answer
}

/// Reads a line without echo.
pub(super) async fn secret(question: &str) -> Result<Zeroizing<String>> {
    let _hidden = EchoOff::start().map_err(read_error)?;
    line(question).await
}

/// Reads all of stdin, which is expected to be one line.
pub(super) async fn read_stdin_line() -> Result<Zeroizing<String>> {
    let text = read(|text| io::stdin().take(MAX_ANSWER_BYTES + 1).read_to_string(text)).await?;
    if text.len() as u64 > MAX_ANSWER_BYTES {
        return Err(read_error(io::Error::other("too long")));
    }
    Ok(text)
}

/// Asks a yes/no question; the default is no.
pub(super) async fn confirm(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Reads on a thread that does not keep the process from exiting.
async fn read(
    how: impl FnOnce(&mut String) -> io::Result<usize> + Send + 'static,
) -> Result<Zeroizing<String>> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Zeroizing::new(String::new());
        how(&mut text)?;
        let end = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(end);
        Ok(text)
    });
    reading.await.map_err(io::Error::other).flatten().map_err(read_error)
}

fn read_error(error: impl Into<io::Error>) -> Error {
    Error::new(ErrorKind::InvalidInput, "stdin").with_source(error.into())
}

/// Ends the line of an interrupted question, so that further messages start on their own.
struct NewlineOnDrop;

impl Drop for NewlineOnDrop {
    fn drop(&mut self) {
        stderr_text("\n");
    }
}

/// Disables the terminal's echo, except for the end of the line. Restores it when dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn start() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // A closed terminal has nothing to restore.
        _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0).is_ok();
    }
}
