//! `--format`: a template, or the name of a format.

use super::args::Verb;
use super::output;
use super::template::{Template, is_template};
use crate::error::{Error, ErrorKind, Result};

/// A format with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedFormat {
    Text,
    Json,
    Sarif,
    Skopeo,
    /// The format of images, and not of output.
    Oci,
    /// As `Oci`.
    Docker,
}

/// The formats of a command, by name.
fn named_formats(verb: &Verb) -> &'static [(&'static str, NamedFormat)] {
    match verb {
        Verb::Analyze(_) => &[
            ("text", NamedFormat::Text),
            ("json", NamedFormat::Json),
            ("sarif", NamedFormat::Sarif),
        ],
        Verb::Inspect(_) => &[("json", NamedFormat::Json), ("skopeo", NamedFormat::Skopeo)],
        Verb::Copy(_) => &[
            ("json", NamedFormat::Json),
            ("oci", NamedFormat::Oci),
            ("docker", NamedFormat::Docker),
        ],
        _ => &[("json", NamedFormat::Json)],
    }
}

/// Parses `--format` of a command. With a template, what is printed as JSON is printed by it.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a wrong template, a name that the command does not have, or a format of output besides
/// `--json`.
pub(super) fn apply(typed: &str, verb: &Verb, json: bool) -> Result<NamedFormat> {
    let is_of_images = ["oci", "docker"].contains(&typed);
    if json && !is_of_images {
        return Err(Error::new(ErrorKind::InvalidInput, format!("`--format {typed}`"))
            .with_reason("cannot be used with `--json`"));
    }
    if is_template(typed) {
        output::set_template(Template::parse(typed)?);
        return Ok(NamedFormat::Json);
    }
    let formats = named_formats(verb);
    let found = formats.iter().find(|(name, _)| *name == typed);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<&str> = formats.iter().map(|(name, _)| *name).collect();
        Error::new(ErrorKind::InvalidInput, format!("`--format {typed}`"))
            .with_reason(format!(
                "expected a template such as `{{{{digest}}}}`, or {}",
                names.join(", ")
            ))
            .with_hint("run the command with `--json` to see the fields")
    })
}
