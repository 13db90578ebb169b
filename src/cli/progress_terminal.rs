//! The terminal that indicatif draws on. The cursor stands in a row of its own below the lines, so that what the terminal echoes
//! (`^C`) is neither written into them nor moves the cursor to a row that indicatif does not know of.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::terminal_width::progress_size;

#[derive(Debug, Default)]
pub(super) struct ProgressTerminal(Mutex<Drawing>);

#[derive(Debug, Default)]
struct Drawing {
    /// What is written at the next flush.
    pending: String,
    /// Whether lines were drawn since the cursor was among them.
    has_lines: bool,
    /// Whether the cursor is in the row below the lines.
    is_below: bool,
}

impl Drawing {
    /// Moves the cursor to the last line, and removes what was echoed below it.
    fn return_to_lines(&mut self) {
        if std::mem::take(&mut self.is_below) {
            self.pending.push_str("\r\u{1b}[J\u{1b}[A");
        }
    }

    /// Returns what to write.
    fn flush(&mut self) -> String {
        if std::mem::take(&mut self.has_lines) {
            self.pending.push_str("\r\n");
            self.is_below = true;
        }
        std::mem::take(&mut self.pending)
    }

    fn move_cursor(&mut self, count: usize, direction: &str) {
        if count > 0 {
            self.pending.extend(["\u{1b}[", &count.to_string(), direction]);
        }
    }
}

impl ProgressTerminal {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TermLike for ProgressTerminal {
    fn width(&self) -> u16 {
        u16::try_from(progress_size().0).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(progress_size().1).unwrap_or(u16::MAX)
    }

    /// indicatif begins each picture with this, also with 0 lines.
    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.return_to_lines();
        drawing.move_cursor(count, "A");
        Ok(())
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.drawing().move_cursor(count, "B");
        Ok(())
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.drawing().move_cursor(count, "C");
        Ok(())
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.drawing().move_cursor(count, "D");
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\r\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.has_lines |= !text.is_empty();
        drawing.pending.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawing().pending.push_str("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = self.drawing().flush();
        let mut stderr = io::stderr();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_below_lines_and_returns_to_last_one() {
        let terminal = ProgressTerminal::default();
        let flushed = || terminal.drawing().flush();
        terminal.move_cursor_up(0).unwrap();
        terminal.write_str("one").unwrap();
        terminal.write_str("two").unwrap();
        assert_eq!(flushed(), "onetwo\r\n");
        terminal.move_cursor_up(1).unwrap();
        terminal.clear_line().unwrap();
        assert_eq!(flushed(), "\r\u{1b}[J\u{1b}[A\u{1b}[1A\r\u{1b}[2K");
        terminal.move_cursor_up(0).unwrap();
        assert_eq!(flushed(), "", "nothing is drawn");
    }
}
