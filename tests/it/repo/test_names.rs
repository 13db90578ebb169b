//! Names of tests: `cargo test TOPIC` finds what there is about a topic, and names are no sentences.

use std::path::{Path, PathBuf};

use super::sources;

/// Topics, and the parts of the code that each must have tests in; an empty list asks for one test anywhere.
const TOPICS: &[(&str, &[&str])] = &[
    ("whiteout", &["layer", "unpack", "flatten", "overlay"]),
    ("opaque", &[]),
    ("retry", &["pull", "push"]),
    ("resume", &["pull", "push"]),
    ("timeout", &["pull"]),
    ("xattr", &["unpack", "flatten", "overlay"]),
    ("hardlink", &["unpack", "flatten", "overlay"]),
    ("symlink", &["unpack"]),
    ("sparse", &["layer", "unpack"]),
    ("redirect", &["registry", "push"]),
    ("token", &["registry"]),
    ("mount", &["push", "overlay"]),
    ("prune", &["layout", "overlay"]),
    ("range", &[]),
    ("credential", &["registry"]),
    ("referrers", &["push", "registry"]),
    ("bomb", &["unpack", "archive"]),
];

/// Words of a sentence, which no name of a test needs.
const SENTENCE_WORDS: &[&str] = &[
    "that",
    "what",
    "which",
    "who",
    "whoever",
    "whatever",
    "wherever",
    "whichever",
    "nobody",
    "everybody",
    "somebody",
];

/// The names of the test functions in a source text.
fn tests_in(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
            found.extend(name.split('(').next().filter(|name| !name.starts_with('$')));
            is_test = false;
        }
    }
    found
}

/// The paths of all tests: `tests/it/pull/resume::resume_range_ignored_skips_prefix`.
pub(super) fn test_paths() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tests"), &mut files);
    let of_file = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let module = path.strip_prefix(root).unwrap().with_extension("");
        let path = |name: &&str| format!("{}::{name}", module.display());
        tests_in(&text).iter().map(path).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

/// Topics without a test in one of their parts.
fn missing<'a>(topics: &[(&'a str, &[&'a str])], paths: &[String]) -> Vec<(&'a str, &'a str)> {
    let is_covered = |topic: &str, part: &str| {
        paths.iter().any(|path| path.contains(topic) && path.contains(part))
    };
    let of_topic = |(topic, parts): &(&'a str, &[&'a str])| {
        let (topic, parts) = (*topic, if parts.is_empty() { &[""] } else { *parts });
        parts.iter().map(move |part| (topic, *part)).collect::<Vec<_>>()
    };
    let all = topics.iter().flat_map(of_topic);
    all.filter(|(topic, part)| !is_covered(topic, part)).collect()
}

/// Names that read as a sentence.
fn sentences(paths: &[String]) -> Vec<&String> {
    let is_sentence = |path: &&String| {
        let name = path.rsplit("::").next().unwrap();
        let first = name.split('_').next().unwrap();
        ["a", "an", "the"].contains(&first)
            || name.split('_').any(|word| SENTENCE_WORDS.contains(&word))
    };
    paths.iter().filter(is_sentence).collect()
}

#[test]
fn test_topics_are_found_by_path() {
    let paths = test_paths();
    assert!(paths.len() > 900, "the scan finds {} tests", paths.len());
    assert_eq!(missing(TOPICS, &paths), []);
}

#[test]
fn test_names_are_no_sentences() {
    assert_eq!(sentences(&test_paths()), Vec::<&String>::new());
}

#[test]
fn test_name_scan_reports_missing_topic_and_sentence() {
    let text = "#[test]\nfn retry_stops() {}\nfn helper() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn a_tag() {}\n";
    assert_eq!(tests_in(text), ["retry_stops", "a_tag"]);
    let paths = ["pull::retry_stops", "push::a_tag", "push::tag_that_moves"].map(str::to_owned);
    let topics: [(&str, &[&str]); 2] = [("retry", &["pull", "push"]), ("xattr", &[])];
    assert_eq!(missing(&topics, &paths), [("retry", "push"), ("xattr", "")]);
    assert_eq!(sentences(&paths), [&paths[1], &paths[2]]);
}
