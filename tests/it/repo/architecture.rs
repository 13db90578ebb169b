//! Which module may name which, and that no files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use super::imports::{Imports, Path};
use super::sources;

/// The ends of a transfer, and what is built on them.
const ENDS_AND_ENGINE: &[&str] = &[
    "registry",
    "layout",
    "archive",
    "engine_store",
    "memory",
    "transfer",
    "serve",
    "cli",
    "insight",
    "unpack",
    "image_layers",
    "flatten",
    "content",
];

/// What an end must not name, itself left out.
const OTHERS_OF_AN_END: &[&str] = &[
    "registry",
    "layout",
    "archive",
    "engine_store",
    "memory",
    "transfer",
    "serve",
    "cli",
    "insight",
    "unpack",
    "image_layers",
];

/// Modules that tell progress or show it. Nothing else takes events: no part of the program depends on them.
const KNOW_EVENTS: &[&str] = &["transfer", "unpack", "cli", "control", "progress"];

/// `(module, what it must not name, why)`.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    ("registry", OTHERS_OF_AN_END, "an end knows neither other ends nor the engine"),
    ("layout", OTHERS_OF_AN_END, "an end knows neither other ends nor the engine"),
    ("archive", OTHERS_OF_AN_END, "an end knows neither other ends nor the engine"),
    ("memory", OTHERS_OF_AN_END, "an end knows neither other ends nor the engine"),
    (
        "engine_store",
        &[
            "registry",
            "layout",
            "memory",
            "transfer",
            "serve",
            "cli",
            "insight",
            "unpack",
            "image_layers",
        ],
        "an end knows neither other ends nor the engine",
    ),
    (
        "registry::http",
        &[
            "registry::auth",
            "registry::send",
            "registry::blob",
            "registry::delete",
            "registry::foreign",
            "registry::link",
            "registry::login",
            "registry::manifest",
            "registry::pages",
            "registry::referrers",
            "registry::tags",
            "registry::target",
            "registry::upload",
        ],
        "one request knows neither credentials nor the API",
    ),
    ("registry::auth", &["registry::send"], "what needs tokens comes after them"),
    (
        "layer",
        &[
            "registry",
            "layout",
            "archive",
            "memory",
            "transfer",
            "content",
            "image_layers",
            "unpack",
            "flatten",
            "cli",
        ],
        "bytes know nothing of where they come from",
    ),
    (
        "rebuild",
        &[
            "registry", "layout", "archive", "memory", "transfer", "content", "layer", "unpack",
            "flatten", "digest", "document", "cli", "tokio",
        ],
        "functions over bytes, which need no image and no file",
    ),
    (
        "delta",
        &[
            "registry",
            "layout",
            "archive",
            "memory",
            "transfer",
            "content",
            "document",
            "unpack",
            "flatten",
            "image_layers",
            "image_delta",
            "cli",
            "tokio",
        ],
        "bytes know nothing of images, nor of where they come from",
    ),
    (
        "image_delta",
        &["registry", "archive", "engine_store", "memory", "unpack", "insight", "serve", "cli"],
        "deltas come from any source, and need a layout only for the layers that it has",
    ),
    (
        "image_layers",
        &[
            "registry", "layout", "archive", "memory", "transfer", "content", "unpack", "flatten",
            "cli",
        ],
        "reading does not depend on writing, nor on where layers come from",
    ),
    (
        "transfer",
        &[
            "registry",
            "layout",
            "archive",
            "memory",
            "unpack",
            "image_layers",
            "cli",
            "insight",
            "serve",
        ],
        "the engine knows the traits of its ends only",
    ),
    ("transfer", &["memory", "reqwest"], "the engine knows the traits of its ends only"),
    (
        "transfer::schedule",
        &["tokio", "content", "transfer::driver", "transfer::blob", "transfer::commit"],
        "decisions do no I/O",
    ),
    (
        "transfer::plan",
        &["transfer::schedule", "transfer::driver", "transfer::blob"],
        "a plan is made before anything moves",
    ),
    (
        "transfer::blob",
        &["transfer::schedule", "transfer::plan", "transfer::driver", "transfer::prepare"],
        "a job does not know why it runs",
    ),
    (
        "unpack",
        &[
            "registry", "layout", "archive", "memory", "transfer", "content", "cli", "flatten",
            "insight",
        ],
        "files know nothing of where their layers come from",
    ),
    (
        "flatten",
        &[
            "registry", "layout", "archive", "memory", "transfer", "content", "cli", "unpack",
            "insight",
        ],
        "a tree knows nothing of where its layers come from, nor where it goes",
    ),
    (
        "insight",
        &["registry", "layout", "archive", "memory", "transfer", "content", "cli", "unpack"],
        "pure functions over documents",
    ),
    (
        "edit",
        &["registry", "layout", "archive", "engine_store", "unpack", "insight", "serve", "cli"],
        "an edited image is a source like any other",
    ),
    (
        "serve",
        &["archive", "memory", "unpack", "cli", "insight"],
        "a registry over a layout, which other registries may fill",
    ),
    (
        "content",
        &["registry", "layout", "archive", "memory", "transfer", "unpack", "serve", "cli"],
        "the traits come before who has them",
    ),
    (
        "mirror",
        &[
            "registry", "layout", "archive", "memory", "transfer", "content", "cli", "unpack",
            "insight", "tokio",
        ],
        "what is mirrored is decided without I/O",
    ),
    ("control", ENDS_AND_ENGINE, "everything that takes long can take it"),
    ("progress", ENDS_AND_ENGINE, "everything that takes long can tell it"),
    (
        "document",
        &["registry", "layout", "archive", "memory", "transfer", "cli", "content"],
        "words come first",
    ),
];

/// The modules that all others are built on. Each may name only those before it.
const FOUNDATION: &[&str] = &[
    "setters",
    "escape",
    "size",
    "json",
    "secret",
    "digest",
    "error",
    "limits",
    "media",
    "platform",
    "descriptor",
    "verifier",
    "name",
    "reference",
    "config",
    "annotation",
    "document",
    "image_id",
    "same_name",
    "retry",
    "progress",
    "control",
    "content",
];

/// Crates that only these modules may use.
const RESERVED: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("anstream", &["cli"]),
    ("reqwest", &["registry"]),
    ("hyper", &["registry", "serve", "engine_store::daemon", "cli::commands::mirror::metrics"]),
    ("hyper_util", &["serve", "engine_store::daemon", "cli::commands::mirror::metrics"]),
    ("tokio_rustls", &["serve"]),
    ("tar", &[]),
    ("flate2", &["layer", "layout::records", "rebuild"]),
    ("zstd", &["layer", "rebuild", "delta"]),
    ("oci_spec", &["oci"]),
    ("minijinja", &["cli"]),
    ("semver", &["mirror"]),
    ("serde_saphyr", &["mirror"]),
];

/// Commands that run another one, and that one. They share nothing else: what several commands need has a file outside of them.
const COMMANDS_RUN: &[(&str, &str)] = &[
    ("demo", "images"),
    ("demo", "pull"),
    ("edit", "artifact"),
    ("pull", "unpack"),
    ("tools", "login"),
];

/// Files that import each other in a circle, one line for each circle. It must be exact: what is mended leaves it.
const CIRCLES: &[&str] = &[];

/// A source file, and what it names.
struct Source {
    file: String,
    module: Path,
    imports: Imports,
}

fn source_dir() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `crate::layout::index` for `layout/index.rs`.
fn module_of(file: &str) -> Path {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").or_else(|| path.strip_suffix("lib")).unwrap_or(path);
    let parts = path.split('/').filter(|part| !part.is_empty());
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// The sources with these names and texts, read.
fn read(files: Vec<(String, String)>) -> Vec<Source> {
    let modules: BTreeSet<Path> = files.iter().map(|(file, _)| module_of(file)).collect();
    let source = |(file, code): (String, String)| {
        let module = module_of(&file);
        let imports = Imports::read(&code, &module, &modules);
        Source { file, module, imports }
    };
    files.into_iter().map(source).collect()
}

/// The sources of the crate, without those that are only for tests.
fn crate_sources() -> Vec<Source> {
    let root = source_dir();
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let read_one = |path: &PathBuf| (name(path), std::fs::read_to_string(path).unwrap());
    let mut files: Vec<_> = paths.iter().map(read_one).collect();
    files.retain(|(file, _)| !file.ends_with("tests.rs") && file != "main.rs");
    files.sort();
    read(files)
}

/// Whether the path is that of the module, or of something in it.
fn is_within(path: &[String], module: &str) -> bool {
    let inside = path.iter().skip(1).map(String::as_str);
    path.first().is_some_and(|first| first == "crate")
        && inside.take(module.split("::").count()).eq(module.split("::"))
}

fn breaches(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for Source { file, module, imports } in sources {
        for (_, others, reason) in FORBIDDEN.iter().filter(|(of, _, _)| is_within(module, of)) {
            let others = others.iter().filter(|other| !is_within(module, other));
            let named = others.filter(|other| imports.all().any(|path| is_within(path, other)));
            found.extend(named.map(|other| format!("{file} names {other}: {reason}")));
        }
        for (name, owners) in RESERVED {
            let is_used = imports.all().any(|path| path.first().is_some_and(|first| first == name));
            if is_used && !owners.iter().any(|owner| is_within(module, owner)) {
                found.push(format!("{file} uses {name}, which belongs to {owners:?}"));
            }
        }
    }
    found
}

/// The file that defines what the path names; re-exports are followed.
fn file_of<'a>(path: &[String], by_module: &BTreeMap<&Path, &'a Source>) -> Option<&'a Source> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let length =
            (1..=path.len()).rev().find(|&n| by_module.contains_key(&path[..n].to_vec()))?;
        let source = by_module[&path[..length].to_vec()];
        let Some(name) = path.get(length) else { return Some(source) };
        let Some(import) = source.imports.uses.iter().find(|import| import.name == *name) else {
            return Some(source);
        };
        path = import.path.iter().chain(&path[length + 1..]).cloned().collect();
    }
    None
}

/// Which files each file imports. A re-export is no import: it hands on what it does not use.
fn edges(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let by_module = sources.iter().map(|source| (&source.module, source)).collect();
    let mut edges = BTreeMap::new();
    for source in sources {
        let private = source.imports.uses.iter().filter(|import| !import.is_public);
        let paths = private.map(|import| &import.path).chain(&source.imports.paths);
        let files = paths.filter_map(|path| file_of(path, &by_module)).map(|found| &*found.file);
        let others = files.filter(|file| *file != source.file);
        edges.insert(&*source.file, others.collect::<BTreeSet<_>>());
    }
    edges
}

fn reachable<'a>(from: &'a str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut seen, mut queue) = (BTreeSet::new(), vec![from]);
    while let Some(file) = queue.pop() {
        for &next in edges.get(file).into_iter().flatten() {
            if seen.insert(next) {
                queue.push(next);
            }
        }
    }
    seen
}

/// Each group of files that import each other, as one line.
fn circles(sources: &[Source]) -> Vec<String> {
    let edges = edges(sources);
    let reach: BTreeMap<_, _> = edges.keys().map(|&file| (file, reachable(file, &edges))).collect();
    let group = |file: &str| {
        let mutual = reach
            .iter()
            .filter(|(other, onward)| reach[file].contains(*other) && onward.contains(file));
        mutual.map(|(&other, _)| other).collect::<Vec<_>>()
    };
    let groups: BTreeSet<_> = edges.keys().map(|file| group(file)).collect();
    groups.into_iter().filter(|group| group.len() > 1).map(|group| group.join(" ")).collect()
}

/// The command that a path of the command line belongs to.
fn command_of(path: &[String]) -> Option<&str> {
    let command = path.strip_prefix(&["crate", "cli", "commands"].map(str::to_owned)[..])?;
    command.first().map(String::as_str)
}

/// Which commands the parts of the command line name, except for `cli/mod.rs`, which runs them.
fn named_commands(sources: &[Source]) -> BTreeSet<(&str, &str)> {
    let in_cli = sources.iter().filter(|source| source.file.starts_with("cli/"));
    let parts = in_cli.filter(|source| source.file != "cli/mod.rs");
    let pairs = parts.flat_map(|Source { file, module, imports }| {
        let own = command_of(module).unwrap_or(file);
        imports.all().filter_map(|path| command_of(path)).map(move |other| (own, other))
    });
    pairs.filter(|(own, other)| own != other).collect()
}

fn example(files: &[(&str, &str)]) -> Vec<Source> {
    read(files.iter().map(|(file, code)| ((*file).to_owned(), (*code).to_owned())).collect())
}

#[test]
fn module_dependencies_have_one_direction() {
    let sources = crate_sources();
    assert!(sources.len() > 40, "the scan finds the sources");
    assert_eq!(breaches(&sources), Vec::<String>::new());
}

#[test]
fn foundation_modules_name_only_those_before_them() {
    let sources = crate_sources();
    for (position, &module) in FOUNDATION.iter().enumerate() {
        let before = &FOUNDATION[..=position];
        let own: Vec<_> = sources.iter().filter(|own| is_within(&own.module, module)).collect();
        assert!(!own.is_empty(), "there is no module {module}");
        for Source { file, imports, .. } in own {
            let of_crate =
                imports.all().filter(|path| path.first().is_some_and(|first| first == "crate"));
            let mut above =
                of_crate.filter(|path| !before.iter().any(|name| is_within(path, name)));
            assert_eq!(above.next(), None, "{file} names what comes after {module}");
        }
    }
}

#[test]
fn progress_events_are_for_eyes_only() {
    let root = source_dir();
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let takes = |path: &&PathBuf| std::fs::read_to_string(path).unwrap().contains("on_event");
    let taking: Vec<_> = paths.iter().filter(takes).collect();
    assert!(taking.len() > 5, "the scan finds those that tell");
    for path in taking {
        let module = module_of(path.strip_prefix(&root).unwrap().to_str().unwrap());
        let knows = KNOW_EVENTS.iter().any(|known| is_within(&module, known));
        assert!(knows, "{} takes or tells events", path.display());
    }
}

#[test]
fn import_circles_are_exactly_the_known_ones() {
    let found = circles(&crate_sources());
    assert_eq!(found, CIRCLES, "new circles must be opened; those that are gone leave the list");
}

#[test]
fn architecture_scan_reports_forbidden_import() {
    for code in ["use crate::{registry::Client};", "use crate::registry; fn f() { registry::g() }"]
    {
        let sources = example(&[("layout/x.rs", code), ("registry/mod.rs", "")]);
        assert_eq!(breaches(&sources).len(), 1, "{code}");
    }
    let sources = example(&[("serve/x.rs", "fn f() { reqwest::get() }")]);
    assert_eq!(breaches(&sources).len(), 1);
}

#[test]
fn commands_share_no_helpers() {
    let expected: BTreeSet<_> = COMMANDS_RUN.iter().copied().collect();
    assert_eq!(named_commands(&crate_sources()), expected);
}

#[test]
fn helper_of_another_command_is_reported() {
    let sources = example(&[
        ("cli/mod.rs", "fn run() { commands::save::run() }"),
        ("cli/table.rs", "use crate::cli::commands::save::f;"),
        ("cli/commands/mod.rs", "mod export;\nmod save;"),
        ("cli/commands/export.rs", "fn f() { super::save::output() }"),
        ("cli/commands/save.rs", "use self::part::g;"),
        ("cli/commands/save/part.rs", "use super::h;"),
    ]);
    let found = named_commands(&sources);
    assert_eq!(found, [("cli/table.rs", "save"), ("export", "save")].into());
}

#[test]
fn import_circle_behind_reexport_is_reported() {
    let sources = example(&[
        ("lib.rs", ""),
        ("a.rs", "use crate::room::B;"),
        ("room/mod.rs", "mod b;\npub use self::b::B;"),
        ("room/b.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "fn f() { crate::a::g() }"),
    ]);
    assert_eq!(circles(&sources), ["a.rs c.rs room/b.rs"]);
}

/// Names in the list of rooms that `lib.rs` begins with.
fn listed_rooms(lib: &str) -> BTreeSet<&str> {
    let entries = lib.lines().filter_map(|line| line.strip_prefix("//! - "));
    let names = entries.filter_map(|entry| entry.split(": ").next());
    let names = names.flat_map(|names| names.split('`').skip(1).step_by(2));
    names.map(|name| name.trim_start_matches("mod@")).collect()
}

#[test]
fn lib_docs_list_every_folder() {
    let lib = std::fs::read_to_string(source_dir().join("lib.rs")).unwrap();
    let listed = listed_rooms(&lib);
    for entry in std::fs::read_dir(source_dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(!path.is_dir() || listed.contains(&*name), "lib.rs does not list {name}");
    }
    for name in listed {
        let file = source_dir().join(format!("{name}.rs"));
        assert!(file.is_file() || source_dir().join(name).is_dir(), "there is no {name}");
    }
}
