//! Finds the command among the arguments. `rpull alpine:3.14` has none, and options may precede it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::{Command, CommandFactory as _};

use super::args::Cli;
use super::peers::{Counterpart, counterpart};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;

/// Returns the arguments with the command in front, so that clap parses each option with its command.
///
/// A word without any of `/ : @ .` is an image only if `in_store` returns true: a command of another tool, or a typing
/// error, must not become a request to Docker Hub.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the first word is neither a command nor such an image, or the first two are a command of
/// another tool.
pub(super) fn with_verb(
    arguments: Vec<OsString>,
    in_store: impl FnOnce(&Reference) -> bool,
) -> Result<Vec<OsString>> {
    let command = Cli::command();
    let Some(at) = first_word(&arguments, &command) else { return Ok(arguments) };
    let Some(word) = arguments.get(at).map(|word| word.to_string_lossy().into_owned()) else {
        return Ok(arguments);
    };
    let further = further_words(&arguments, at, &command, &word);
    let mut arranged = arguments;
    if is_verb(&command, &word) {
        if let Some(error) = command_of_other_tool(&command, &word, &further, in_store) {
            return Err(error);
        }
        if let Some(front) = arranged.get_mut(1..=at) {
            front.rotate_right(1);
        }
        return Ok(arranged);
    }
    if arranged.iter().take(at).any(|option| option == "--help" || option == "-h") {
        return Ok(arranged);
    }
    let second = further.first().map(String::as_str);
    if let Some(error) = not_an_image(&command, &word, second, in_store) {
        return Err(error);
    }
    arranged.insert(1, "pull".into());
    Ok(arranged)
}

/// Returns the error if a command of rpull and the word after it are a command of another tool: `manifest get`, `tag ls`.
fn command_of_other_tool(
    command: &Command,
    verb: &str,
    further: &[String],
    in_store: impl FnOnce(&Reference) -> bool,
) -> Option<Error> {
    let own = command.find_subcommand(verb)?;
    let second = further.first()?;
    let (2, found) = counterpart(verb, Some(second))? else { return None };
    let is_image = || match verb {
        "tag" => second.parse().is_ok_and(|name| in_store(&name)),
        // A bare word is no registry.
        "auth" => false,
        _ => true,
    };
    let is_error =
        own.has_subcommands() || further.len() > own.get_positionals().count() || !is_image();
    is_error.then(|| unrecognized(&format!("{verb} {second}"), found, None))
}

/// Returns the error for a word that is neither a command nor an image.
fn not_an_image(
    command: &Command,
    word: &str,
    second: Option<&str>,
    in_store: impl FnOnce(&Reference) -> bool,
) -> Option<Error> {
    // Other texts that are not valid names are rejected as invalid references.
    let reference = word.parse().ok().filter(|_| !word.contains(['/', ':', '@', '.']))?;
    let (peer, near) = (counterpart(word, second), nearest(command, word));
    if near.is_none() && in_store(&reference) {
        return None;
    }
    let pull = format!("to pull an image of that name: rpull pull {word}");
    Some(match (peer, second, near) {
        (Some((2, found)), Some(second), _) => {
            unrecognized(&format!("{word} {second}"), found, None)
        }
        (Some((_, found)), ..) => unrecognized(word, found, Some(&pull)),
        (None, _, Some(verb)) => {
            unrecognized_word(word).with_hint(format!("did you mean `{verb}`? {pull}"))
        }
        (None, _, None) => {
            let what = format!("`{word}` is neither a command nor an image in the store");
            Error::new(ErrorKind::InvalidInput, what).with_hint(pull)
        }
    })
}

/// Returns the error for a command of another tool.
fn unrecognized(name: &str, found: Counterpart, pull: Option<&str>) -> Error {
    let (advice, separator) = match found {
        Counterpart::Command(verb) => (format!("did you mean `{verb}`?"), " "),
        Counterpart::Nothing(reason) => (reason.to_owned(), "; "),
    };
    let parts: Vec<&str> = [advice.as_str()].into_iter().chain(pull).collect();
    unrecognized_word(name).with_hint(parts.join(separator))
}

fn unrecognized_word(name: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("unrecognized command `{name}`"))
}

/// Returns the words after the command that are neither options nor values of options.
fn further_words(arguments: &[OsString], at: usize, command: &Command, verb: &str) -> Vec<String> {
    let mut value_follows = false;
    let mut words = Vec::new();
    for word in arguments.iter().skip(at + 1) {
        let text = word.to_string_lossy();
        if std::mem::take(&mut value_follows) {
            continue;
        }
        if text.starts_with('-') && text != "-" {
            value_follows = takes_value(command, verb, &text);
        } else {
            words.push(text.into_owned());
        }
    }
    words
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
        value_follows = takes_value(command, "pull", &text);
    }
    None
}

/// Whether the option of this command takes a value.
fn takes_value(command: &Command, verb: &str, option: &str) -> bool {
    let own = command.find_subcommand(verb);
    let mut arguments =
        command.get_arguments().chain(own.into_iter().flat_map(Command::get_arguments));
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
    let near = verbs.map(|verb| (slips(verb, word), verb)).filter(|&(slips, verb)| {
        // Two slips make another word of a short one; few begin with the first letter.
        let is_likely = slips <= 1 || (slips == 2 && verb.chars().next() == word.chars().next());
        is_likely && slips < word.chars().count().min(verb.len())
    });
    near.min().map(|(_, verb)| verb.to_owned())
}

/// Returns the number of typing errors between two words: as [`edit_distance`], where two letters may be swapped by one.
fn slips(verb: &str, word: &str) -> usize {
    let letters: Vec<char> = word.chars().collect();
    let swapped = (1..letters.len()).map(|at| {
        let mut letters = letters.clone();
        letters.swap(at - 1, at);
        edit_distance(verb, &String::from_iter(letters)) + 1
    });
    swapped.chain([edit_distance(verb, word)]).min().unwrap_or_default()
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
            ("imgs", "images"),
            ("upll", "pull"),
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
            ("rpull --plan run a:1", "rpull runs no containers; `rpull unpack`"),
            ("rpull attach a:1 f", "did you mean `artifact attach`? to pull"),
            (
                "rpull exec -it a sh",
                "rpull runs no containers; to pull an image of that name: rpull",
            ),
            ("rpull build .", "rpull builds no images"),
            ("rpull crane", "`crane` is neither"),
            ("rpull top", "rpull runs no containers"),
            ("rpull scan a:1", "rpull looks for no vulnerabilities"),
            ("rpull dive a:1", "did you mean `analyze`?"),
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
    fn command_of_two_words_of_other_tool_is_rejected() {
        for (line, verb) in [
            ("rpull repo ls reg.test", "catalog"),
            ("rpull registry login reg.test", "login"),
            ("rpull image inspect a:1", "inspect"),
            ("rpull image --store /s copy a b", "copy"),
            ("rpull auth login reg.test", "login"),
            ("rpull tag ls reg.test/a", "tags"),
            ("rpull manifest get a:1", "manifest"),
            ("rpull manifest create a:1 b:1", "index create"),
            ("rpull blob -o f get a@sha256:0", "blob"),
            ("rpull artifact put a:1 f", "artifact push"),
            ("rpull artifact tree a:1", "referrers"),
            ("rpull index list a:1", "inspect"),
            ("rpull images ls", "images"),
        ] {
            let refusal = arrange(line).unwrap_err();
            assert!(refusal.ends_with(&format!("did you mean `{verb}`?")), "{line}: {refusal}");
        }
        assert!(arrange("rpull auth token reg.test").unwrap_err().contains("not printed"));
        for line in ["rpull manifest get", "rpull tag sync a", "rpull index create a b"] {
            assert_eq!(arrange(line).unwrap(), line);
        }
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
