//! The documents for people: their links lead somewhere, and their commands are commands.

use std::path::{Path, PathBuf};

use crate::support::cli::Cli;

/// Path and text of the documents for users.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let more = ["README.md", "CONTRIBUTING.md", "bench/README.md"].map(|name| root.join(name));
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    docs.chain(more).map(read).collect()
}

/// The targets of `[text](target)`, without the part of the document.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next())
}

/// The commands of shell blocks and of code in tables that begin with `rpull`.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut block = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, Some(language)) if ["sh", "console"].contains(language) => {
                let line =
                    line.trim_start_matches(['$', ' ']).split(" #").next().unwrap_or_default();
                commands.extend(line.split([';', '|', '>', '&']).map(str::to_owned));
            }
            (None, None) if line.starts_with('|') => {
                commands.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
            }
            _ => {}
        }
    }
    commands.retain(|command| command.trim().starts_with("rpull "));
    commands
}

#[test]
fn docs_links_exist() {
    for (path, text) in documents() {
        for target in links(&text).filter(|target| !target.is_empty() && !target.contains("://")) {
            let linked = path.parent().unwrap().join(target);
            assert!(linked.exists(), "{}: {target}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_commands_parse() {
    let cli = Cli::new();
    let mut count = 0;
    for (path, text) in documents() {
        for command in commands(&text) {
            // With --help, arguments are parsed and nothing is done.
            let mut words: Vec<_> =
                command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            words.push("--help");
            let output = cli.run(words.get(1..).unwrap()).await;
            assert_eq!(output.code(), Some(0), "{}: {command}: {}", path.display(), output.stderr);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}
