//! Writes results to stdout and everything else to stderr, above any progress bars.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use anstream::ColorChoice;
use indicatif::ProgressBar;
use serde::Serialize;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::When;
use super::template::Template;
use super::terminal_width::stderr_width;
use super::wrap::fit;
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::free_space::is_disk_full;
use crate::registry::{NOTICE, Redactor, TextKind};

/// The progress bars of the command.
static BARS: Mutex<Bars> = Mutex::new(Bars::None);

enum Bars {
    None,
    /// Other lines are printed above them.
    Drawn(ProgressBar),
    /// No more are drawn.
    Ended,
}

/// Whether anything was written to stdout.
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// The template of results that would be printed as JSON.
static TEMPLATE: OnceLock<Template> = OnceLock::new();

/// Removes secrets from everything that this program prints.
static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// Returns the redactor of all output. Secrets that are registered with it are never printed.
pub(super) fn redactor() -> Redactor {
    REDACTOR.clone()
}

/// The error of a file that the user named for output.
pub(super) fn write_failed(path: &Path, error: io::Error) -> Error {
    let full = is_disk_full(&error);
    Error::new(ErrorKind::Store, "write")
        .at(path.display().to_string())
        .with_detail(full.then_some(ErrorDetail::OutputDiskFull))
        .with_source(error)
}

/// Opens a device or named pipe that the user named for output: it is written to and never replaced. Opening a pipe waits
/// for its reader.
pub(super) async fn open_special(path: &Path) -> Result<File> {
    let path = path.to_owned();
    let open = move || {
        let opened = File::options().write(true).open(&path);
        opened.map_err(|error| write_failed(&path, error))
    };
    run_blocking("write", open).await
}

fn bars() -> MutexGuard<'static, Bars> {
    BARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints further lines above these bars. Returns false if no more bars may be drawn.
pub(super) fn set_bars(new: ProgressBar) -> bool {
    let mut bars = bars();
    let may_draw = !matches!(*bars, Bars::Ended);
    if may_draw {
        *bars = Bars::Drawn(new);
    }
    may_draw
}

/// Prints further lines below the bars, which stay as they are.
pub(super) fn leave_bars() {
    let mut bars = bars();
    if let Bars::Drawn(_) = *bars {
        *bars = Bars::None;
    }
}

/// Removes the bars at the end of the command: a thread that has not yet noticed an interruption must not draw below its error.
pub(super) fn end_bars() {
    if let Bars::Drawn(drawn) = std::mem::replace(&mut *bars(), Bars::Ended) {
        drawn.finish_and_clear();
    }
}

/// Applies `--color`. `auto` respects `NO_COLOR` and whether stderr is a terminal.
pub(super) fn set_color(when: When) {
    match when {
        When::Auto => {}
        When::Always => ColorChoice::Always.write_global(),
        When::Never => ColorChoice::Never.write_global(),
    }
}

/// Sends the library's log to stderr: warnings, with `-v` also retries, with `-vv` every request.
pub(super) fn start_log(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, 0) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // Only this crate: the logs of HTTP and TLS libraries may contain headers with secrets.
    let typed = std::env::var("RPULL_LOG").ok().filter(|text| !text.is_empty());
    let typed_level = typed.as_ref().and_then(|text| text.parse::<LevelFilter>().ok());
    let level = typed_level.unwrap_or(level);
    let notices = if level < LevelFilter::WARN { level } else { level.max(LevelFilter::INFO) };
    let targets = Targets::new().with_target("rpull", level).with_target(NOTICE, notices);
    // All fields as they are: [`MessageFormat`] escapes them.
    let fields = debug_fn(|writer, _, value| write!(writer, "{value:?}"));
    let layer = tracing_subscriber::fmt::layer()
        .fmt_fields(fields)
        .event_format(MessageFormat)
        .with_writer(|| LogLine);
    tracing_subscriber::registry().with(targets).with(layer).init();
    if let (Some(typed), None) = (typed, typed_level) {
        tracing::warn!(
            "ignoring RPULL_LOG: invalid level `{typed}`, expected off, error, warn, info, debug or trace"
        );
    }
}

/// Formats each log event as one line without time and module; only warnings have a prefix.
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
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        if *event.metadata().level() == Level::WARN {
            writer.write_str("\u{1b}[1;33mwarning:\u{1b}[0m ")?;
        }
        writeln!(writer, "{}", shown(&text))
    }
}

struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_stderr(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a message as it is shown: without secrets, on one line, its control characters escaped.
fn shown(message: &str) -> String {
    crate::escape(&REDACTOR.redact(message, TextKind::Message)).into_owned()
}

/// Writes formatted text to stderr, redacted. Its foreign parts are escaped already.
pub(super) fn stderr_text(text: &str) {
    write_stderr(&REDACTOR.redact(text, TextKind::Message));
}

/// Writes to stderr; a terminal gets lines that fit. Errors of a closed stderr are ignored.
fn write_stderr(text: &str) {
    let text = match stderr_width() {
        Some(columns) => Cow::Owned(fit(text, columns)),
        None => Cow::Borrowed(text),
    };
    above_bars(|| drop(anstream::stderr().write_all(text.as_bytes())));
}

/// Writes while no bars are drawn.
fn above_bars<T>(write: impl FnOnce() -> T) -> T {
    match &*bars() {
        Bars::Drawn(drawn) => drawn.suspend(write),
        Bars::None | Bars::Ended => write(),
    }
}

/// Writes one line to stderr, redacted and escaped.
pub(super) fn note(line: &str) {
    write_stderr(&format!("{}\n", shown(line)));
}

/// Writes an error to stderr, as [`note`].
pub(super) fn error_line(text: &str) {
    write_stderr(&format!("\u{1b}[1;31merror:\u{1b}[0m {}\n", shown(text)));
}

/// Writes a hint to stderr, as [`note`].
pub(super) fn hint_line(text: &str) {
    write_stderr(&format!("\u{1b}[1;36mhint:\u{1b}[0m {}\n", shown(text)));
}

/// Prints the hint of a warning. `--quiet` hides it with the warning.
pub(super) fn warning_hint(text: &str) {
    if tracing::enabled!(target: "rpull", Level::WARN) {
        hint_line(text);
    }
}

pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints one line on stdout, redacted and escaped.
pub(super) fn line(line: &str) -> Result<()> {
    lines([line])
}

/// Prints lines on stdout, each as [`line`].
pub(super) fn lines<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<()> {
    let lines = lines.into_iter().map(|line| format!("{}\n", crate::escape(line)));
    text(&lines.collect::<String>())
}

/// Returns the message without secrets, for use in a result.
pub(super) fn redacted(message: &str) -> String {
    REDACTOR.redact(message, TextKind::Message).into_owned()
}

/// Prints results by this template instead of as JSON.
pub(super) fn set_template(template: Template) {
    _ = TEMPLATE.set(template).is_ok();
}

/// Prints one JSON value on stdout, or what the template makes of it.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    if let Some(rendered) = rendered(value)? {
        return text(&rendered);
    }
    let json = serde_json::to_string_pretty(value).map_err(no_json)?;
    text(&format!("{}\n", crate::escape::escape_json(&json)))
}

/// Prints a JSON document, or what the template makes of each of its rows.
pub(super) fn json_of_rows(document: &impl Serialize, rows: &[serde_json::Value]) -> Result<()> {
    match rendered(&rows)? {
        Some(lines) => text(&lines),
        None => json(document),
    }
}

/// Prints a JSON document byte for byte, or what the template makes of it.
pub(super) fn document(bytes: &[u8]) -> Result<()> {
    if TEMPLATE.get().is_none() {
        return raw(bytes);
    }
    json(&serde_json::from_slice::<serde_json::Value>(bytes).map_err(no_json)?)
}

/// Lines of the template, if there is one.
fn rendered(value: &impl Serialize) -> Result<Option<String>> {
    let Some(template) = TEMPLATE.get() else { return Ok(None) };
    template.render(&serde_json::to_value(value).map_err(no_json)?).map(Some)
}

fn no_json(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Unsupported, "print JSON").with_source(error)
}

/// Prints formatted text on stdout, redacted; without colors unless they are enabled. Its foreign parts are escaped already.
pub(super) fn text(text: &str) -> Result<()> {
    write(&mut anstream::stdout(), REDACTOR.redact(text, TextKind::Result).as_bytes())
}

/// Writes these bytes to stdout unchanged, including any terminal escape sequences.
pub(super) fn raw(bytes: &[u8]) -> Result<()> {
    write(&mut io::stdout(), bytes)
}

/// Stdout for bytes that are written unchanged.
pub(super) struct RawStdout;

impl Write for RawStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.store(true, Ordering::Relaxed);
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Many lines for stdout, written in chunks.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Bytes of a chunk.
    const CHUNK: usize = 64 << 10;

    /// Adds a line, escaped.
    ///
    /// # Errors
    /// With [`ErrorDetail::BrokenPipe`] if the reader has closed stdout, so that the caller can stop.
    pub(super) fn push(&mut self, line: &str) -> Result<()> {
        self.push_text(&crate::escape(line))
    }

    /// Adds formatted text, whose foreign parts are escaped already, and ends its line.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub(super) fn push_text(&mut self, text: &str) -> Result<()> {
        self.0.push_str(text);
        self.0.push('\n');
        if self.0.len() < Self::CHUNK { Ok(()) } else { self.flush() }
    }

    /// Adds a JSON value on a line of its own.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub(super) fn push_json(&mut self, value: &impl Serialize) -> Result<()> {
        if let Some(lines) = rendered(value)? {
            return self.push_text(lines.trim_end_matches('\n'));
        }
        let text = serde_json::to_string(value).map_err(no_json)?;
        self.push_text(&crate::escape::escape_json(&text))
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// As [`Lines::push`].
    pub(super) fn flush(&mut self) -> Result<()> {
        let text = REDACTOR.redact(&self.0, TextKind::Result);
        let mut stdout = anstream::stdout();
        WRITTEN.store(true, Ordering::Relaxed);
        let mut write = || stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        // Only on one terminal are the lines among the bars, and only a terminal never waits for a reader.
        let written = if io::stdout().is_terminal() { above_bars(write) } else { write() };
        self.0.clear();
        written.map_err(|error| {
            let closed = error.kind() == io::ErrorKind::BrokenPipe;
            Error::new(ErrorKind::Store, "stdout")
                .with_detail(closed.then_some(ErrorDetail::BrokenPipe))
                .with_source(error)
        })
    }
}

/// Returns whether anything was written to stdout.
pub(super) fn is_written() -> bool {
    WRITTEN.load(Ordering::Relaxed)
}

fn write(stdout: &mut impl Write, bytes: &[u8]) -> Result<()> {
    WRITTEN.store(true, Ordering::Relaxed);
    check_write(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Converts the result of a write to stdout.
pub(super) fn check_write(result: io::Result<()>) -> Result<()> {
    match result {
        // A closed pipe is not an error: `rpull history … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::new(ErrorKind::Store, "stdout").with_source(error)),
    }
}
