//! `mutate`: changes the config or the annotations of an image.

use std::process::ExitCode;

use super::job::Edit;
use crate::cli::args::edit::Mutate;
use crate::cli::cutoff::parse_time;
use crate::cli::settings::Settings;
use crate::edit::ConfigChanges;
use crate::error::{Error, ErrorKind, Result};

pub(super) async fn run(args: Mutate, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::new("mutate", &args.new, settings)?;
    edit.check_creds(&[&args.image])?;
    let changes = ConfigChanges {
        env: args.env,
        cmd: args.cmd.map(|typed| words("--cmd", typed)).transpose()?,
        entrypoint: args.entrypoint.map(|typed| words("--entrypoint", typed)).transpose()?,
        labels: args.label,
        user: args.user,
        working_dir: args.workdir,
        ports: args.port,
        created: args.time.map(|time| parse_time("--time", &time)).transpose()?,
    };
    if changes.is_empty() && args.annotation.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "mutate")
            .with_reason("nothing to change")
            .with_hint("run `rpull mutate --help` to see the options"));
    }
    let mut opened = edit.open_all(&args.image, &args.platforms).await?;
    for image in &mut opened.images {
        image.change_config(&changes)?;
        image.annotate(&args.annotation)?;
    }
    edit.finish(opened).await
}

/// Words, or a JSON list of them. One empty word stands for none.
fn words(option: &str, typed: Vec<String>) -> Result<Vec<String>> {
    let invalid = |list: &str, reason: &str| {
        Error::new(ErrorKind::InvalidInput, format!("{option} `{list}`")).with_reason(reason)
    };
    match typed.as_slice() {
        [empty] if empty.is_empty() => Ok(Vec::new()),
        [list] if list.starts_with('[') => list_of_words(list)
            .map_err(|error| invalid(list, "expected a JSON list of texts").with_source(error)),
        // Later words may be lists: arguments of jq, for example.
        [list, _, ..] if list_of_words(list).is_ok() => {
            Err(invalid(list, "a JSON list cannot be followed by further words")
                .with_hint(format!("put all words into the list, or pass each with {option}")))
        }
        _ => Ok(typed),
    }
}

fn list_of_words(text: &str) -> serde_json::Result<Vec<String>> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words_or_one_list() {
        for (typed, expected) in [
            (&["/a", "-b"][..], Some(&["/a", "-b"][..])),
            (&[r#"["/a", "b c"]"#], Some(&["/a", "b c"])),
            (&[""], Some(&[])),
            (&["a b"], Some(&["a b"])),
            (&["[a]"], None),
            (&[r#"["/a"]"#, "b"], None),
            (&["jq", "[]"], Some(&["jq", "[]"])),
            (&["[", "-f", "x", "]"], Some(&["[", "-f", "x", "]"])),
            (&["/a", "[0-9]"], Some(&["/a", "[0-9]"])),
        ] {
            let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            let words: Option<Vec<String>> = words("--cmd", owned(typed)).ok();
            assert_eq!(words, expected.map(owned), "{typed:?}");
        }
    }
}
