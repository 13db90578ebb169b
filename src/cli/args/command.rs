//! The command line with each option shown where it has an effect.

use clap::{Command, CommandFactory as _};

use super::Cli;
use super::shared::REGISTRY;

/// Commands that never contact a registry.
const LOCAL: [&str; 12] = [
    "images",
    "inventory",
    "load",
    "rm",
    "df",
    "prune",
    "stats",
    "serve",
    "demo",
    "completions",
    "man",
    "help",
];

/// Commands that decompress layers or archives.
const INFLATING: [&str; 11] = [
    "pull", "push", "copy", "save", "load", "unpack", "export", "files", "cat", "analyze", "report",
];

/// Returns the command line for clap. Every command accepts the registry options, so that an alias can contain them,
/// but its help lists them only if they have an effect.
pub(crate) fn command() -> Command {
    let mut command = Cli::command();
    // `build` propagates the global options to the subcommands.
    command.build();
    for verb in command.get_subcommands_mut() {
        if !INFLATING.contains(&verb.get_name()) {
            let all = std::mem::take(verb);
            *verb = all.mut_args(|arg| {
                let hide = arg.get_id() == "zstd_window" || arg.is_hide_set();
                arg.hide(hide)
            });
        }
        if LOCAL.contains(&verb.get_name()) {
            let all = std::mem::take(verb);
            *verb = all.mut_args(|arg| {
                let hide = arg.get_help_heading() == Some(REGISTRY) || arg.is_hide_set();
                arg.hide(hide)
            });
        }
    }
    command
}
