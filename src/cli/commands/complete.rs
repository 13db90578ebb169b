//! `complete-word`: candidates for a word on the command line, for the completion scripts. It never fails: a shell has no use
//! for an error.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::args::CompleteWord;
use crate::cli::image_arguments::TAKE_IMAGES;
use crate::cli::output;
use crate::cli::settings::{ForeignLayers, Settings, existing_layout};
use crate::error::Result;
use crate::layout::Layout;
use crate::reference::Reference;

/// Asks for tags of repositories in registries.
const TAGS_VARIABLE: &str = "RPULL_COMPLETE_TAGS";

/// How long a registry is waited for if the variable has no number of seconds.
const TAGS_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of candidates: longer lists slow shells down and are not useful.
const MAX_CANDIDATES: usize = 500;

/// Where an image can be.
const PREFIXES: [&str; 8] = [
    "containerd-root:",
    "docker-archive:",
    "docker-daemon:",
    "docker-root:",
    "docker://",
    "oci-archive:",
    "oci:",
    "store:",
];

/// Locations whose prefix is followed by a path.
const WITH_PATH: [&str; 5] =
    ["containerd-root:", "docker-archive:", "docker-root:", "oci-archive:", "oci:"];

pub(in crate::cli) async fn run(args: CompleteWord, settings: &Settings) -> Result<ExitCode> {
    let Some(arguments) = ImageArguments::for_verb(&args.verb) else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut found = local(&args.word, arguments, settings);
    let timeout = tags_timeout(std::env::var(TAGS_VARIABLE).ok().as_deref());
    if let Some(timeout) = timeout.filter(|_| arguments.takes_registry) {
        let asking = tags(&args.word, settings);
        if let Ok(tags) = tokio::time::timeout(timeout, Box::pin(asking)).await {
            found.extend(tags);
        }
    }
    let mut lines = output::Lines::default();
    for candidate in found.iter().take(MAX_CANDIDATES) {
        lines.push(candidate)?;
    }
    lines.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What a command takes as an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ImageArguments {
    takes_locations: bool,
    takes_registry: bool,
}

impl ImageArguments {
    /// `None` for commands that take no images.
    fn for_verb(verb: &str) -> Option<Self> {
        let (takes_locations, takes_registry) = match verb {
            "rm" | "save" => (false, false),
            "pull" | "tags" | "delete" | "put-blob" => (false, true),
            "verify" => (true, false),
            verb if TAKE_IMAGES.contains(&verb) => (true, true),
            _ => return None,
        };
        Some(Self { takes_locations, takes_registry })
    }
}

/// Candidates of this machine that begin with the word.
fn local(word: &str, arguments: ImageArguments, settings: &Settings) -> BTreeSet<String> {
    if arguments.takes_locations
        && let Some(prefix) = WITH_PATH.iter().find(|prefix| word.starts_with(**prefix))
    {
        return in_path(prefix, word, settings);
    }
    let (prefix, bare) = match word.strip_prefix("store:") {
        Some(bare) if arguments.takes_locations => ("store:", bare),
        _ => ("", word),
    };
    let store = settings.store_if_any().ok().flatten();
    let names = store.iter().flat_map(|store| names(store));
    let shown = names.map(|name| familiar(&name, bare).to_owned());
    let mut found: BTreeSet<String> =
        shown.filter(|name| name.starts_with(bare)).map(|name| format!("{prefix}{name}")).collect();
    if arguments.takes_locations && prefix.is_empty() && !word.contains('/') {
        let prefixes = PREFIXES.iter().filter(|known| known.starts_with(word));
        found.extend(prefixes.map(|known| (*known).to_owned()));
    }
    found
}

/// The names of the images in a layout.
fn names(layout: &Layout) -> Vec<String> {
    let entries = layout.entries().unwrap_or_default();
    entries.into_iter().flat_map(|entry| entry.names).collect()
}

/// The name without Docker Hub's part, unless the word has it.
fn familiar<'a>(name: &'a str, word: &str) -> &'a str {
    if word.starts_with("docker.io") {
        return name;
    }
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    short.strip_prefix("library/").unwrap_or(short)
}

/// Files and directories, or the names in a layout: `oci:PATH:`.
fn in_path(prefix: &str, word: &str, settings: &Settings) -> BTreeSet<String> {
    let rest = word.strip_prefix(prefix).unwrap_or_default();
    if let (Some((path, name)), "oci:") = (rest.split_once(':'), prefix) {
        let layout = existing_layout(Path::new(path), &settings.control).ok().flatten();
        let names = layout.iter().flat_map(|layout| names(layout));
        let fitting = names.filter(|own| own.starts_with(name));
        return fitting.map(|own| format!("{prefix}{path}:{own}")).collect();
    }
    let (parent, start) = rest
        .rsplit_once('/')
        .map_or(("", rest), |(parent, start)| (rest.get(..=parent.len()).unwrap_or(parent), start));
    let directory = if parent.is_empty() { Path::new(".") } else { Path::new(parent) };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let candidates = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_hidden = name.starts_with('.') && !start.starts_with('.');
        let is_directory = entry.path().is_dir();
        let end = if is_directory { "/" } else { "" };
        (name.starts_with(start) && !is_hidden).then(|| format!("{prefix}{parent}{name}{end}"))
    });
    candidates.take(MAX_CANDIDATES).collect()
}

/// How long a registry may take; `None` if it is not to be asked.
fn tags_timeout(variable: Option<&str>) -> Option<Duration> {
    match variable? {
        "" | "0" => None,
        seconds => Some(seconds.parse().map_or(TAGS_TIMEOUT, Duration::from_secs)),
    }
}

/// Names with the tags of the repository in front of the last colon. None if it cannot be read.
async fn tags(word: &str, settings: &Settings) -> Vec<String> {
    let Some((repository, start)) = repository_and_tag(word) else { return Vec::new() };
    let bare = repository.strip_prefix("docker://").unwrap_or(repository);
    let asking = async {
        let reference = Reference::repository_only(bare)?;
        let client = settings.client(bare, ForeignLayers::Ignore)?;
        client.repository(&reference)?.tags().await
    };
    let tags = asking.await.unwrap_or_default();
    let fitting = tags.into_iter().filter(|tag| tag.starts_with(start));
    fitting.map(|tag| format!("{repository}:{tag}")).collect()
}

/// `None` for a word without a repository and a colon after it.
fn repository_and_tag(word: &str) -> Option<(&str, &str)> {
    let (repository, tag) = word.rsplit_once(':')?;
    // A colon before the last slash is that of a port, and a first word with a colon may be a host.
    let is_tag = !tag.contains('/') && !repository.is_empty() && !repository.contains('@');
    let is_location = PREFIXES.iter().any(|prefix| {
        *prefix != "docker://"
            && (word.starts_with(prefix) || prefix.trim_end_matches(':') == repository)
    });
    (is_tag && !is_location).then_some((repository, tag))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;
    use crate::cli::image_arguments::OPTIONS_TAKE_IMAGES;

    #[test]
    fn commands_completed_with_images_exist() {
        let command = Cli::command();
        for verb in TAKE_IMAGES {
            assert!(command.find_subcommand(verb).is_some(), "{verb}");
            assert!(ImageArguments::for_verb(verb).is_some(), "{verb}");
        }
        assert_eq!(ImageArguments::for_verb("load"), None);
        for (verb, option) in OPTIONS_TAKE_IMAGES {
            let verb = command.find_subcommand(verb).unwrap();
            assert!(verb.get_arguments().any(|arg| arg.get_long() == Some(option)), "{option}");
        }
    }

    #[test]
    fn tag_follows_last_colon_of_repository() {
        for (word, expected) in [
            ("ghcr.io/org/app:1", Some(("ghcr.io/org/app", "1"))),
            ("docker://localhost:5000/app:", Some(("docker://localhost:5000/app", ""))),
            ("alpine:3", Some(("alpine", "3"))),
            ("localhost:5000/app", None),
            ("app@sha256:ab", None),
            ("store:app:1", None),
            ("oci:dir:", None),
            ("store:", None),
            (":1", None),
            ("app", None),
        ] {
            assert_eq!(repository_and_tag(word), expected, "{word}");
        }
    }

    #[test]
    fn registries_are_asked_only_on_request() {
        assert_eq!(tags_timeout(None), None);
        assert_eq!(tags_timeout(Some("")), None);
        assert_eq!(tags_timeout(Some("0")), None);
        assert_eq!(tags_timeout(Some("yes")), Some(TAGS_TIMEOUT));
        assert_eq!(tags_timeout(Some("5")), Some(Duration::from_secs(5)));
    }

    #[test]
    fn familiar_name_keeps_hub_if_typed() {
        let name = "docker.io/library/alpine:3";
        assert_eq!(familiar(name, "al"), "alpine:3");
        assert_eq!(familiar(name, "docker.io/"), name);
        assert_eq!(familiar("docker.io/org/app:1", ""), "org/app:1");
    }
}
