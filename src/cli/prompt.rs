//! Asks at the terminal. What is asked goes to stderr; a future that is dropped while it waits leaves the terminal as it was.

use std::io::{self, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::output::stderr_text;
use crate::error::{Error, ErrorKind, Result};

/// The most that is read of stdin for one answer, in bytes.
const LIMIT: u64 = 64 << 10;

/// Whether there is a terminal to ask at.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// One line that may be seen.
pub(super) async fn line(question: &str) -> Result<Zeroizing<String>> {
    stderr_text(question);
    let unanswered = NewlineOnDrop;
    let answer = read(|text| io::stdin().read_line(text)).await;
    std::mem::forget(unanswered);
    answer
}

/// One line that is not shown while it is typed.
pub(super) async fn secret(question: &str) -> Result<Zeroizing<String>> {
    let _hidden = EchoOff::start().map_err(failed)?;
    line(question).await
}

/// All of stdin, which is one line.
pub(super) async fn read_stdin_line() -> Result<Zeroizing<String>> {
    let text = read(|text| io::stdin().take(LIMIT + 1).read_to_string(text)).await?;
    if text.len() as u64 > LIMIT {
        return Err(failed(io::Error::other("too long")));
    }
    Ok(text)
}

/// Whether the answer is yes.
pub(super) async fn confirm(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// On a thread that the process does not wait for.
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
    reading.await.map_err(io::Error::other).flatten().map_err(failed)
}

fn failed(error: impl Into<io::Error>) -> Error {
    Error::new(ErrorKind::InvalidInput, "stdin").with_source(error.into())
}

/// What comes after a question that was interrupted stands on a line of its own.
struct NewlineOnDrop;

impl Drop for NewlineOnDrop {
    fn drop(&mut self) {
        stderr_text("\n");
    }
}

/// The terminal while it shows nothing but the end of the line.
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
        // A terminal that is gone needs nothing.
        _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0).is_ok();
    }
}
