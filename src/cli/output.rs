//! Results to stdout, everything else to stderr, above the progress bars where there are any.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use anstream::ColorChoice;
use indicatif::MultiProgress;
use serde::Serialize;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::When;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::{Redactor, Text};

/// The bars on the screen, which other lines must stay above.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// What no registry may make this program print.
static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// Removes from all output what is noted with it.
pub(super) fn redactor() -> Redactor {
    REDACTOR.clone()
}

/// Takes the screen's bars into account from now on.
pub(super) fn set_bars(bars: MultiProgress) {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars);
}

/// From now on lines come below the bars, which stay as they are.
pub(super) fn leave_bars() {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Obeys `--color`; `auto` obeys `NO_COLOR` and what stderr is.
pub(super) fn set_color(when: When) {
    match when {
        When::Auto => {}
        When::Always => ColorChoice::Always.write_global(),
        When::Never => ColorChoice::Never.write_global(),
    }
}

/// Sends the library's log to stderr: warnings, with `-v` what heals, with `-vv` every request.
pub(super) fn start_log(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, 0) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Only our own crate: what the HTTP and TLS libraries log may hold headers.
    let typed = std::env::var("RPULL_LOG").ok().filter(|text| !text.is_empty());
    let wanted = typed.as_ref().and_then(|text| text.parse::<LevelFilter>().ok());
    let targets = Targets::new().with_target("rpull", wanted.unwrap_or(level));
    let layer =
        tracing_subscriber::fmt::layer().event_format(MessageFormat).with_writer(|| LogLine);
    tracing_subscriber::registry().with(targets).with(layer).init();
    if let (Some(typed), None) = (typed, wanted) {
        let typed = crate::escape(&typed);
        tracing::warn!(
            "ignoring RPULL_LOG: invalid level `{typed}`, expected off, error, warn, info, debug or trace"
        );
    }
}

/// Messages as people read them: no time, no module, a word only in front of warnings.
struct MessageFormat;

impl<S, N> FormatEvent<S, N> for MessageFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if *event.metadata().level() == Level::WARN {
            writer.write_str("\u{1b}[1;33mwarning:\u{1b}[0m ")?;
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr_text(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes text to stderr as it is. Errors of a closed stderr are ignored.
pub(super) fn stderr_text(text: &str) {
    let text = REDACTOR.redact(text, Text::Message);
    let write = || drop(anstream::stderr().write_all(text.as_bytes()));
    match &*BARS.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// One line to stderr.
pub(super) fn note(line: &str) {
    stderr_text(&format!("{line}\n"));
}

/// An error, as the contract words it.
pub(super) fn error_line(text: &str) {
    note(&format!("\u{1b}[1;31merror:\u{1b}[0m {text}"));
}

/// What to do next.
pub(super) fn hint_line(text: &str) {
    note(&format!("\u{1b}[1;36mhint:\u{1b}[0m {text}"));
}

/// What to do about a warning, at the level of warnings: `--quiet` hides both.
pub(super) fn warning_hint(text: &str) {
    if tracing::enabled!(target: "rpull", Level::WARN) {
        hint_line(text);
    }
}

/// Whether people watch stderr.
pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// One line for people or scripts on stdout.
pub(super) fn line(line: &str) -> Result<()> {
    text(&format!("{line}\n"))
}

/// A message that stands among results, without any secret.
pub(super) fn redacted(message: &str) -> String {
    REDACTOR.redact(message, Text::Message).into_owned()
}

/// One JSON value on stdout.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(ErrorKind::Unsupported, "print JSON").with_source(error))?;
    line(&crate::escape::escape_json(&text))
}

/// Text on stdout, without colours where they are not wanted.
pub(super) fn text(text: &str) -> Result<()> {
    write(&mut anstream::stdout(), REDACTOR.redact(text, Text::Result).as_bytes())
}

/// These bytes on stdout unchanged, whatever terminal sequences they hold.
pub(super) fn raw(bytes: &[u8]) -> Result<()> {
    write(&mut io::stdout(), bytes)
}

fn write(stdout: &mut impl Write, bytes: &[u8]) -> Result<()> {
    check_write(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// What it means that a result could be printed or not.
pub(super) fn check_write(result: io::Result<()>) -> Result<()> {
    match result {
        // `rpull history … | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::new(ErrorKind::Store, "stdout").with_source(error)),
    }
}
