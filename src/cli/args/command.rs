//! The command line with each option shown where it has an effect.

use clap::Command;
use clap::builder::StringValueParser;

use super::offering::Offering;
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

/// The names that `--format` takes besides templates.
pub(crate) fn format_names(verb: &str) -> &'static [&'static str] {
    match verb {
        "analyze" => &["text", "json", "sarif"],
        "inspect" => &["json", "skopeo"],
        "copy" => &["json", "oci", "docker"],
        _ => &["json"],
    }
}

/// Commands that print a line of JSON for each file or image.
const WITH_JSON_LINES: [&str; 2] = ["files", "mirror"];

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
        let (prints_lines, names) =
            (WITH_JSON_LINES.contains(&verb.get_name()), format_names(verb.get_name()));
        let all = std::mem::take(verb);
        // Not `mut_arg`, which moves the argument: after `build`, options are found by their position.
        *verb = all.mut_args(|arg| match arg.get_id().as_str() {
            "json" if prints_lines => arg.help("Print one JSON object per line on stdout"),
            "format" => {
                let parser = Offering::new(names, StringValueParser::new());
                arg.value_parser(parser).hide_possible_values(true)
            }
            _ => arg,
        });
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
