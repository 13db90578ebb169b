//! The command line with each option shown where it has an effect.

use clap::Command;

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
const INFLATING: [&str; 14] = [
    "pull", "push", "copy", "mirror", "save", "load", "unpack", "export", "files", "cat",
    "analyze", "report", "append", "flatten",
];

/// Commands that print no JSON.
const WITHOUT_JSON: [&str; 9] =
    ["blob", "cat", "completions", "demo", "help", "login", "logout", "man", "serve"];

/// Hides the options that have no effect from the help of each command, which accepts them nevertheless, so that an alias can
/// contain them.
pub(super) fn with_effective_options(mut command: Command) -> Command {
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
        if WITHOUT_JSON.contains(&verb.get_name()) {
            let all = std::mem::take(verb);
            *verb = all.mut_args(|arg| {
                let hide = arg.get_id() == "format" || arg.is_hide_set();
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
