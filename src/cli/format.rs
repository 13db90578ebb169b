//! `--format`: a template, or the name of a format.

use super::args::{Verb, format_names};
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

impl NamedFormat {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "json" => Self::Json,
            "sarif" => Self::Sarif,
            "skopeo" => Self::Skopeo,
            "oci" => Self::Oci,
            "docker" => Self::Docker,
            _ => return None,
        })
    }
}

/// Returns the name of a command whose formats or fields are known; empty for others.
fn name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Analyze(_) => "analyze",
        Verb::Catalog(_) => "catalog",
        Verb::Copy(_) => "copy",
        Verb::Delete(_) => "delete",
        Verb::Digest(_) => "digest",
        Verb::History(_) => "history",
        Verb::Images(_) => "images",
        Verb::Inspect(_) => "inspect",
        Verb::Load(_) => "load",
        Verb::Pull(args) if args.unpack.is_none() => "pull",
        Verb::Push(_) => "push",
        Verb::Rm(_) => "rm",
        Verb::Save(_) => "save",
        Verb::Tag(_) => "tag",
        Verb::Tags(_) => "tags",
        _ => "",
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
        output::set_template(Template::parse(typed, name(verb))?);
        return Ok(NamedFormat::Json);
    }
    let names = format_names(name(verb));
    let known = names.contains(&typed).then(|| NamedFormat::of_name(typed));
    known.flatten().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("`--format {typed}`"))
            .with_reason(format!(
                "expected a template such as `{{{{digest}}}}`, or {}",
                names.join(", ")
            ))
            .with_hint("run the command with `--json` to see the fields")
    })
}
