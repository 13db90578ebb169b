//! Which module of `src` may use which: every `crate::` path is checked against a table.

use std::path::Path;

use super::sources;

/// `(module, what it must not mention, why)`.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "registry",
        &["crate::layout", "crate::archive", "crate::pull::engine", "crate::cli", "crate::insight"],
        "an end knows neither other ends nor the engine",
    ),
    (
        "layout",
        &[
            "crate::registry",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
            "crate::insight",
        ],
        "an end knows neither other ends nor the engine",
    ),
    (
        "archive",
        &[
            "crate::registry",
            "crate::layout",
            "crate::pull::engine",
            "crate::cli",
            "crate::insight",
        ],
        "an end knows neither other ends nor the engine",
    ),
    (
        "layer",
        &[
            "crate::registry",
            "crate::layout",
            "crate::archive",
            "crate::pull::engine",
            "crate::unpack",
            "crate::flatten",
            "crate::cli",
        ],
        "bytes know nothing of where they come from",
    ),
    (
        "transfer",
        &[
            "crate::layout",
            "crate::archive",
            "crate::unpack",
            "crate::cli",
            "crate::insight",
            "reqwest",
        ],
        "the engine knows the traits of its ends only",
    ),
    (
        "unpack",
        &[
            "crate::registry",
            "crate::layout",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
            "crate::flatten",
            "crate::insight",
        ],
        "files know nothing of where their layers come from",
    ),
    (
        "flatten",
        &[
            "crate::registry",
            "crate::layout",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
            "crate::insight",
            "crate::content",
        ],
        "a tree knows nothing of where its layers come from, nor where it goes",
    ),
    (
        "insight",
        &[
            "crate::registry",
            "crate::layout",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
            "crate::content",
        ],
        "pure functions over documents",
    ),
    (
        "serve",
        &[
            "crate::registry",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
            "crate::insight",
        ],
        "a registry over a layout, and over nothing else",
    ),
    (
        "content",
        &[
            "crate::registry",
            "crate::layout",
            "crate::archive",
            "crate::pull::engine",
            "crate::cli",
        ],
        "the traits come before who has them",
    ),
    (
        "document",
        &[
            "crate::registry",
            "crate::layout",
            "crate::pull::engine",
            "crate::cli",
            "crate::content",
        ],
        "words come first",
    ),
];

/// Crates that only these modules may use.
const RESERVED: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("anstream", &["cli"]),
    ("reqwest", &["registry"]),
    ("hyper", &["registry", "serve"]),
    ("hyper_util", &["serve"]),
    ("tokio_rustls", &["serve"]),
    ("tar", &["archive", "cli"]),
    ("flate2", &["layer"]),
    ("zstd", &["layer"]),
];

/// `(module, file, its text without comments)` of every source file.
fn modules() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let code = |text: String| {
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let module = inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
            (module, inside, code(std::fs::read_to_string(path).unwrap()))
        })
        .collect()
}

fn broken(modules: &[(String, String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (module, file, code) in modules {
        let rules = FORBIDDEN.iter().filter(|(of, _, _)| of == module);
        for (_, words, why) in rules {
            let mentioned = words.iter().filter(|word| code.contains(&format!("{word}::")));
            found.extend(mentioned.map(|word| format!("{file} mentions {word}: {why}")));
        }
        let reserved = RESERVED.iter().filter(|(name, owners)| {
            !owners.contains(&module.as_str()) && code.contains(&format!("{name}::"))
        });
        found.extend(
            reserved
                .map(|(name, owners)| format!("{file} uses {name}, which belongs to {owners:?}")),
        );
    }
    found
}

#[test]
fn module_dependencies_have_one_direction() {
    let modules = modules();
    assert!(modules.len() > 40, "the scan finds the sources");
    assert_eq!(broken(&modules), Vec::<String>::new());
}

#[test]
fn architecture_scan_reports_forbidden_import() {
    let breach = [(
        "layout".to_owned(),
        "layout/x.rs".to_owned(),
        "use crate::registry::Client;".to_owned(),
    )];
    assert_eq!(broken(&breach).len(), 1);
}
