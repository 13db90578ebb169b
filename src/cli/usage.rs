//! Errors of the command line's syntax: clap's text, without tips that mislead.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use super::args;
use super::output::{self, check_write};
use super::peers::counterpart_of_option;
use super::verb::edit_distance;
use crate::error::{Error, ErrorKind, Result};

/// Prints clap's text: help and version too are errors to it.
pub(super) fn print(mut error: clap::Error, verb: &str) -> Result<()> {
    let option = text(&error, ContextKind::InvalidArg).unwrap_or_default();
    let suggested = text(&error, ContextKind::SuggestedArg);
    if suggested.is_some_and(|suggested| !is_near(&option, &suggested)) {
        error.remove(ContextKind::SuggestedArg);
        // The usage would show the suggested option.
        if let Some(verb) = args::command().find_subcommand_mut(verb) {
            error.insert(ContextKind::Usage, ContextValue::StyledStr(verb.render_usage()));
        }
    }
    if error.kind() == clap::error::ErrorKind::UnknownArgument {
        // "to pass it as a value": no value of these commands begins with a dash.
        error.remove(ContextKind::Suggested);
    }
    if error.exit_code() == 0 {
        return check_write(error.print());
    }
    output::stderr_text(&error.render().ansi().to_string());
    // `--config FILE` has taken the image of `skopeo inspect --config IMAGE`.
    let is_missing = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
    let is_config = is_missing && std::env::args_os().any(|word| word == "--config");
    let option = if is_config { "--config" } else { &option };
    if let Some(hint) = counterpart_of_option(verb, option) {
        output::hint_line(hint);
    }
    Ok(())
}

/// Returns the error for arguments that must be text and are not valid UTF-8.
pub(super) fn not_utf8<'a>(arguments: impl IntoIterator<Item = &'a OsString>) -> Error {
    let invalid = arguments.into_iter().filter(|word| word.to_str().is_none());
    let shown = invalid.map(|word| format!("`{}`", word.as_encoded_bytes().escape_ascii()));
    Error::new(ErrorKind::InvalidInput, format!("argument {}", shown.collect::<Vec<_>>().join(", ")))
        .with_reason("not valid UTF-8")
        .with_hint("only paths of files and directories can contain other bytes, without a prefix such as `oci:`")
}

/// Returns the error as one of the library, for JSON.
pub(super) fn for_json(error: &clap::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Error::new(ErrorKind::InvalidInput, first.strip_prefix("error: ").unwrap_or(first))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Whether the option is likely a slip, or the beginning, of the suggested one.
fn is_near(typed: &str, suggested: &str) -> bool {
    let [typed, suggested] = [typed, suggested].map(|option| option.trim_start_matches('-'));
    suggested.starts_with(typed)
        || typed.starts_with(suggested)
        || edit_distance(typed, suggested) <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slips_and_beginnings_are_near() {
        for (typed, suggested) in [
            ("--platfrom", "--platform"),
            ("--plat", "--platform"),
            ("--all-platforms-too", "--all-platforms"),
            ("--jbos", "--jobs"),
        ] {
            assert!(is_near(typed, suggested), "{typed}");
        }
        assert!(!is_near("--force", "--store"));
        assert!(!is_near("--tls-verify", "--retry-for"));
    }
}
