//! The command line: arguments, JSON, terminals, signals, snapshots of help and messages.

pub(crate) mod analyze;
mod args;
mod artifact_files;
mod artifact_pull;
mod artifacts;
mod auth;
mod bare_word;
mod blob;
mod check_base;
mod convert;
mod convert_estargz;
mod demo;
mod diff;
mod diff_files;
mod edit;
mod edit_arguments;
mod edit_base;
mod edit_index;
mod edit_platforms;
mod environment;
mod files;
mod foreign_names;
mod format;
mod hints;
mod ids;
mod inspect;
mod inspect_encoder;
mod interrupted_terminal;
mod json;
mod json_errors;
mod lists;
mod non_utf8;
mod paths;
mod process_limits;
mod put;
mod referrers;
mod report;
mod signals;
mod snapshots;
mod tables;
mod terminal;

use crate::support::cli::Output;

/// Asserts that the output has no control characters.
fn assert_harmless(output: &Output) {
    let dangerous =
        |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(dangerous), "{text:?}");
    }
}
