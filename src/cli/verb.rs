//! Finds the command among the arguments. `rpull alpine:3.14` has none, and options may precede it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _};

use super::args::Cli;
use super::peers::counterpart;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;

/// Returns the arguments with the command in front, so that clap parses each option with its command.
///
/// A word without any of `/ : @ .` is an image only if `in_store` returns true: a command of another tool, or a typing
/// error, must not become a request to Docker Hub.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the first word is neither a command nor such an image.
pub(super) fn with_verb(
    arguments: Vec<OsString>,
    in_store: impl FnOnce(&Reference) -> bool,
) -> Result<Vec<OsString>> {
    let command = Cli::command();
    let Some(at) = first_word(&arguments, &command) else { return Ok(arguments) };
    let Some(word) = arguments.get(at).map(|word| word.to_string_lossy().into_owned()) else {
        return Ok(arguments);
    };
    let mut arranged = arguments;
    if is_verb(&command, &word) {
        if let Some(front) = arranged.get_mut(1..=at) {
            front.rotate_right(1);
        }
        return Ok(arranged);
    }
    if arranged.iter().take(at).any(|option| option == "--help" || option == "-h") {
        return Ok(arranged);
    }
    if let Some(error) = not_an_image(&command, &word, in_store) {
        return Err(error);
    }
    arranged.insert(1, "pull".into());
    Ok(arranged)
}

/// Returns the error for a word that is neither a command nor an image.
fn not_an_image(
    command: &Command,
    word: &str,
    in_store: impl FnOnce(&Reference) -> bool,
) -> Option<Error> {
    let error = |what: String, hint: String| {
        Some(Error::new(ErrorKind::InvalidInput, what).with_hint(hint))
    };
    let pull = format!("to pull an image of that name: `rpull pull {word}`");
    // Other texts that are not valid names are rejected as invalid references.
    let reference = word.parse().ok().filter(|_| !word.contains(['/', ':', '@', '.']))?;
    let (peer, near) = (counterpart(word), nearest(command, word));
    if near.is_none() && in_store(&reference) {
        return None;
    }
    match peer.map(str::to_owned).or(near) {
        Some(verb) => error(
            format!("unrecognized command `{word}`"),
            format!("did you mean `{verb}`? to pull an image of that name: rpull pull {word}"),
        ),
        None => error(format!("`{word}` is neither a command nor an image in the store"), pull),
    }
}

/// Returns the value of `--store`, at any position.
pub(super) fn typed_store(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter().take_while(|word| *word != "--");
    while let Some(word) = arguments.next() {
        if word == "--store" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = word.as_bytes().strip_prefix(b"--store=") {
            return Some(OsStr::from_bytes(path).into());
        }
    }
    None
}

/// Returns the position of the first word that is neither an option nor an option's value.
fn first_word(arguments: &[OsString], command: &Command) -> Option<usize> {
    let mut value_follows = false;
    for (at, word) in arguments.iter().enumerate().skip(1) {
        let text = word.to_string_lossy();
        if std::mem::take(&mut value_follows) {
            continue;
        }
        if text == "--" {
            return Some(at + 1).filter(|next| *next < arguments.len());
        }
        if !text.starts_with('-') || text == "-" {
            return Some(at);
        }
        value_follows = takes_value(command, &text);
    }
    None
}

fn takes_value(command: &Command, option: &str) -> bool {
    let pull = command.find_subcommand("pull");
    let mut arguments =
        command.get_arguments().chain(pull.into_iter().flat_map(Command::get_arguments));
    let name = option.trim_start_matches('-');
    if name.contains('=') {
        return false;
    }
    let long = option.starts_with("--");
    arguments.any(|argument| {
        let matches = if long {
            argument.get_long() == Some(name)
        } else {
            // `-qo FILE`: only the last letter of a bundle can take a value.
            argument.get_short() == name.chars().last()
        };
        matches && argument.get_action().takes_values()
    })
}

fn is_verb(command: &Command, word: &str) -> bool {
    let is = |verb: &Command| {
        verb.get_name() == word || verb.get_all_aliases().any(|alias| alias == word)
    };
    // clap adds the command `help` only when it parses.
    word == "help" || command.get_subcommands().any(is)
}

fn nearest(command: &Command, word: &str) -> Option<String> {
    let here = command
        .get_subcommands()
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_all_aliases()));
    let verbs = here.chain(["help"]);
    let near = verbs.map(|verb| (edit_distance(verb, word), verb)).filter(|&(edits, verb)| {
        // For very short words nearly every command is within two edits.
        edits <= 2 && edits < word.chars().count().min(verb.len())
    });
    near.min().map(|(_, verb)| verb.to_owned())
}

/// Returns the number of edits (insert, delete, replace) between two words.
pub(super) fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrange(arguments: &str) -> std::result::Result<String, String> {
        let arguments = arguments.split(' ').map(OsString::from).collect();
        let joined = |arguments: Vec<OsString>| {
            arguments
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let in_store = |reference: &Reference| {
            ["docker.io/library/debian:latest", "docker.io/library/sync:latest"]
                .contains(&reference.to_string().as_str())
        };
        with_verb(arguments, in_store).map(joined).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            format!("{error} {}", error.hint().unwrap_or_default())
        })
    }

    #[test]
    fn reference_without_verb_means_pull() {
        assert_eq!(arrange("rpull alpine:3.14").unwrap(), "rpull pull alpine:3.14");
        assert_eq!(
            arrange("rpull --plain-http --store /s -o oci:x a:1 b:2").unwrap(),
            "rpull pull --plain-http --store /s -o oci:x a:1 b:2"
        );
        assert_eq!(
            arrange("rpull --platform=linux/arm64 a:1").unwrap(),
            "rpull pull --platform=linux/arm64 a:1"
        );
    }

    #[test]
    fn verb_after_options_is_recognized() {
        assert_eq!(arrange("rpull pull history").unwrap(), "rpull pull history");
        assert_eq!(
            arrange("rpull --platform linux/arm64 history a").unwrap(),
            "rpull history --platform linux/arm64 a"
        );
        assert_eq!(arrange("rpull -v ls").unwrap(), "rpull ls -v");
        assert_eq!(arrange("rpull --help").unwrap(), "rpull --help");
    }

    #[test]
    fn mistyped_verb_suggests_nearest() {
        assert!(arrange("rpull histroy alpine").unwrap_err().contains("`history`"));
        assert!(arrange("rpull imags").unwrap_err().contains("rpull pull imags"));
        for (slip, verb) in [
            ("unpak", "unpack"),
            ("logn", "login"),
            ("savee", "save"),
            ("mirro", "mirror"),
            ("lss", "ls"),
            ("helps", "help"),
        ] {
            assert!(
                arrange(&format!("rpull {slip} a")).unwrap_err().contains(&format!("`{verb}`"))
            );
        }
        assert_eq!(arrange("rpull pull demo").unwrap(), "rpull pull demo");
        assert_eq!(arrange("rpull help pull").unwrap(), "rpull help pull");
    }

    #[test]
    fn bare_word_not_in_store_is_rejected() {
        for (line, part) in [
            ("rpull version", "did you mean `rpull --version`?"),
            ("rpull list-tags docker://alpine", "did you mean `tags`?"),
            ("rpull ps -a", "did you mean `images`?"),
            ("rpull rmi a:1", "did you mean `rm`?"),
            ("rpull --plan run a:1", "did you mean `unpack`?"),
            ("rpull -q alpine", "neither a command nor an image in the store"),
            ("rpull alpine --platform x", "rpull pull alpine"),
            ("rpull alpine debian:12 --all-tags", "rpull pull alpine"),
            ("rpull -- alpine", "rpull pull alpine"),
            ("rpull --store /s --limit-rate 1M php", "`php` is neither"),
        ] {
            let refusal = arrange(line).unwrap_err();
            assert!(refusal.contains(part), "{line}: {refusal}");
        }
        assert_eq!(arrange("rpull debian x").unwrap(), "rpull pull debian x");
        assert_eq!(
            arrange("rpull -v sync").unwrap(),
            "rpull pull -v sync",
            "an image in the store"
        );
        assert!(arrange("rpull histor\u{1b}y").unwrap().contains("pull"), "refused as no name");
    }

    #[test]
    fn store_option_is_found_at_any_position() {
        let store = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            typed_store(&arguments).map(|path| path.display().to_string())
        };
        assert_eq!(store("rpull --store /s a").as_deref(), Some("/s"));
        assert_eq!(store("rpull a -q --store=/s").as_deref(), Some("/s"));
        assert_eq!(store("rpull a"), None);
        assert_eq!(store("rpull -- --store /s"), None);
    }

    #[test]
    fn edit_distance_counts_changes() {
        assert_eq!(edit_distance("history", "histroy"), 2);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("tags", "tags"), 0);
    }
}
