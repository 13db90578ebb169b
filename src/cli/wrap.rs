//! Fits text to the width of the terminal.

use anstream::adapter::strip_str;

use super::terminal_width::terminal_width;
use super::text_width::width;

/// Columns where the width is not known.
const DEFAULT_COLUMNS: usize = 80;

/// Longest lines: longer ones are hard to read.
const MAX_COLUMNS: usize = 100;

/// Shortest lines that are tried.
const MIN_COLUMNS: usize = 40;

/// Returns the columns to use on stdout: those of the terminal, within reason.
pub(super) fn columns() -> usize {
    terminal_width().map_or(DEFAULT_COLUMNS, |columns| columns.clamp(MIN_COLUMNS, MAX_COLUMNS))
}

/// Breaks a line between words for a terminal of this width; without one it stays whole, for scripts. Control characters are
/// escaped.
pub(super) fn wrap_line(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => wrap("", line, width).trim_end().to_owned(),
        None => crate::escape(line).into_owned(),
    }
}

/// Breaks long lines between words. Escape sequences take no columns. A word that is longer than a line is left to the
/// terminal, so that it is copied as it is.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let line = |line: &str| match line.strip_suffix('\n') {
        Some(line) => fit_line(line, columns) + "\n",
        None => fit_line(line, columns),
    };
    text.split_inclusive('\n').map(line).collect()
}

fn fit_line(line: &str, columns: usize) -> String {
    let visible = |text: &str| width(&strip_str(text).to_string());
    if visible(line) <= columns {
        return line.to_owned();
    }
    let (mut fitted, mut used) = (String::new(), 0);
    for (at, word) in words(line).iter().enumerate() {
        let length = visible(word);
        if used > 0 && used + 1 + length > columns {
            fitted.push('\n');
            used = 0;
        } else if at > 0 {
            fitted.push(' ');
            used += 1;
        }
        fitted.push_str(word);
        used += length;
        if used > columns {
            // What a long word takes of its last line.
            used = (used - 1) % columns.max(1) + 1;
        }
    }
    fitted
}

/// Units that stay on the line of their number.
const UNITS: [&str; 10] = ["B", "kB", "MB", "GB", "TB", "s", "ms", "min", "h", "%"];

/// Splits a line into words; a number and its unit are one.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let unit = word.split(|c: char| !c.is_alphabetic() && c != '%').next().unwrap_or_default();
        match words.last_mut() {
            Some(last) if last.ends_with(|c: char| c.is_ascii_digit()) && UNITS.contains(&unit) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Breaks a text into lines of at most `columns`, between words where possible. The first line begins with `first`, the
/// others with as many spaces. Control characters are escaped.
pub(super) fn wrap(first: &str, text: &str, columns: usize) -> String {
    let indent = first.chars().count();
    let width = columns.saturating_sub(indent).max(1);
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in crate::escape(text).split(' ').filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + rest.len() > width {
            lines.push(String::new());
            length = 0;
        }
        while rest.len() > width {
            let after = rest.split_off(width);
            lines.last_mut().into_iter().for_each(|line| line.extend(&rest));
            lines.push(String::new());
            rest = after;
        }
        if let Some(line) = lines.last_mut() {
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.extend(&rest);
            length += rest.len();
        }
    }
    let space = " ".repeat(indent);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let start = if number == 0 { first } else { &space };
        text.push_str(format!("{start}{line}").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("- ", "one two three", 9), "- one two\n  three\n");
        assert_eq!(wrap("", "a\u{1b}b c", 80), "a\\u{1b}b c\n");
        assert_eq!(wrap("  ", "abcdefgh ij", 6), "  abcd\n  efgh\n  ij\n");
        assert_eq!(wrap("x", "", 80), "x\n");
        assert_eq!(wrap_line("one two three", Some(9)), "one two\nthree");
        assert_eq!(wrap_line("one two three\n", None), "one two three\\n");
    }

    #[test]
    fn messages_fit_without_escape_sequences_and_long_words_stay_whole() {
        let error = "\u{1b}[1;31merror:\u{1b}[0m one two\n";
        assert_eq!(fit(error, 14), error);
        assert_eq!(fit(error, 10), "\u{1b}[1;31merror:\u{1b}[0m one\ntwo\n");
        assert_eq!(fit("a abcdefghijkl b c d", 5), "a\nabcdefghijkl b\nc d");
        assert_eq!(fit("  a b\n\n  c d e f", 7), "  a b\n\n  c d e\nf");
        assert_eq!(fit("108.8 MB missing (95 %), 0.1 s", 10), "108.8 MB\nmissing\n(95 %),\n0.1 s");
        assert_eq!(fit("a b", 0), "a\nb");
        assert_eq!(fit("漢字 漢字", 8), "漢字\n漢字");
    }
}
