//! The command line with each option shown where it has an effect.

use clap::builder::StringValueParser;
use clap::{Arg, Command};

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
    command = command.mut_args(|arg| if is_format(&arg) { offering_formats(arg, "") } else { arg });
    for verb in command.get_subcommands_mut() {
        let name = verb.get_name().to_owned();
        restrict(verb, &name);
    }
    command
}

/// Adapts the options of this command and of its own commands to what the verb does.
fn restrict(command: &mut Command, verb: &str) {
    let all = std::mem::take(command);
    // Not `mut_arg`, which moves the argument: after `build`, options are found by their position.
    *command = all.mut_args(|arg| {
        let hide = arg.is_hide_set() || has_no_effect(&arg, verb);
        let arg = arg.hide(hide);
        match arg.get_id().as_str() {
            "json" if WITH_JSON_LINES.contains(&verb) => {
                arg.help("Print one JSON object per line on stdout")
            }
            _ if is_format(&arg) => offering_formats(arg, verb),
            _ => arg,
        }
    });
    for own in command.get_subcommands_mut() {
        restrict(own, verb);
    }
}

fn is_format(arg: &Arg) -> bool {
    arg.get_id() == "format"
}

/// `--format` of a verb, for which shells offer the names that it takes.
fn offering_formats(arg: Arg, verb: &str) -> Arg {
    let parser = Offering::new(format_names(verb), StringValueParser::new());
    arg.value_parser(parser).hide_possible_values(true)
}

fn has_no_effect(option: &Arg, verb: &str) -> bool {
    match option.get_id().as_str() {
        "zstd_window" => !INFLATING.contains(&verb),
        "format" => WITHOUT_JSON.contains(&verb),
        _ => option.get_help_heading() == Some(REGISTRY) && LOCAL.contains(&verb),
    }
}
