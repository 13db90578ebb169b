//! Options of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::connection::RegistryArgs;
use crate::layer::MAX_WINDOW_BYTES;

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct CommonArgs {
    /// Directory of the local store [default: `$RPULL_STORE`, else ~/.local/share/rpull]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// File with limits of registries [default: ~/.config/rpull/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Disable all registry access
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Print one JSON value on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print by a template with the fields of --json, such as `{{digest}}`, or in a named format
    #[arg(long, global = true, value_name = "TEMPLATE")]
    pub(crate) format: Option<String>,
    /// Print results only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Show retries; repeat to show every request [env: `RPULL_LOG`]
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Append the receipts of this run to FILE instead of the store's ledger; `stats` reads it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// When to use colors
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = false
    )]
    pub(crate) color: When,
    /// Print whole tables, however narrow the terminal is
    #[arg(long, global = true)]
    pub(crate) wide: bool,
    /// How to show progress
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressKind,
    /// Maximum zstd window of a layer or archive, up to 2G [default: 512M]
    #[arg(long, global = true, value_name = "SIZE", value_parser = zstd_window)]
    pub(crate) zstd_window: Option<u64>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
}

/// Parses a window size in zstd's units: `1G` is 1 GiB.
fn zstd_window(text: &str) -> Result<u64, String> {
    let bare = text.trim_end_matches(['b', 'B']).trim_end_matches(['i', 'I']);
    let (number, shift) = match bare.chars().last() {
        Some('k' | 'K') => (bare.get(..bare.len() - 1), 10),
        Some('m' | 'M') => (bare.get(..bare.len() - 1), 20),
        Some('g' | 'G') => (bare.get(..bare.len() - 1), 30),
        _ => (Some(bare), 0),
    };
    let digits = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let bytes = digits.and_then(|digits| digits.parse::<u64>().ok()?.checked_mul(1 << shift));
    match bytes {
        Some(bytes @ 1..=MAX_WINDOW_BYTES) => Ok(bytes),
        _ => Err("expected a size such as 1G, at most 2G".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    Auto,
    Plain,
    Tty,
    None,
}
