//! `Cargo.lock` against minimum versions from advisories and a list of banned crates; licences; the Rust version that
//! dependencies need; unused dependencies.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::sources;

/// Licences that ask for no more than to be named.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// `(crate, lowest version, why)`.
const FLOORS: &[(&str, [u64; 3], &str)] = &[
    ("tar", [0, 4, 45], "RUSTSEC-2026-0067, -0068"),
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258"),
    ("hyper", [1, 0, 0], "RUSTSEC-2021-0078, -0079"),
    ("rustls", [0, 23, 18], "RUSTSEC-2024-0336, -0399"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0049, -0098, -0099, -0104"),
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("idna", [1, 0, 0], "RUSTSEC-2024-0421"),
    ("time", [0, 3, 47], "RUSTSEC-2026-0009"),
];

/// `(crate, why)`.
const BANNED: &[(&str, &str)] = &[
    ("tokio-tar", "RUSTSEC-2025-0111, unmaintained"),
    ("openssl", "one TLS stack is enough"),
    ("native-tls", "one TLS stack is enough"),
    ("backoff", "unmaintained"),
];

/// `(name, version)` of every locked package.
fn locked() -> Vec<(String, [u64; 3])> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let text = std::fs::read_to_string(path).unwrap();
    let value = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "[[package]]" {
            let name = value(lines.next().unwrap());
            let version = value(lines.next().unwrap());
            let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
            found.push((name, std::array::from_fn(|_| numbers.next().unwrap_or(0))));
        }
    }
    found
}

#[test]
fn locked_crates_meet_minimum_versions() {
    let locked = locked();
    assert!(locked.len() > 100, "the lock file is read");
    for (name, version) in &locked {
        if let Some((_, floor, why)) = FLOORS.iter().find(|(known, _, _)| known == name) {
            assert!(version >= floor, "{name} {version:?} is below {floor:?}: {why}");
        }
    }
}

#[test]
fn banned_crates_are_not_locked() {
    let locked = locked();
    for (name, why) in BANNED {
        assert!(!locked.iter().any(|(known, _)| known == name), "{name}: {why}");
    }
}

#[test]
fn deny_file_has_the_lists_of_these_tests() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let allowed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\",")).collect();
    assert_eq!(allowed, LICENCES);
    let banned: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    { crate = \"")?.split('"').next())
        .collect();
    assert_eq!(banned, BANNED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

/// Whether one of the alternatives of an SPDX expression asks for listed licences only.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    // Without parentheses it is stricter than it need be, or the same: every name beside an AND must be listed.
    plain
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

/// What cargo knows about each package of this platform.
fn packages() -> Vec<Value> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 100);
    packages
}

#[test]
fn licences_are_permissive() {
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence), "{}: {licence}", package["name"]);
    }
    assert!(
        !is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && is_allowed("GPL-3.0 OR MIT")
    );
}

#[test]
fn dependencies_need_no_newer_rust_than_this_package() {
    let numbers = |version: &str| -> [u64; 3] {
        let mut numbers = version.split('.').map(|number| number.parse().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    };
    let own = env!("CARGO_PKG_RUST_VERSION");
    let mut declared = 0;
    for package in packages() {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        declared += 1;
        assert!(numbers(needed) <= numbers(own), "{} needs Rust {needed}", package["name"]);
    }
    assert!(declared > 100, "most packages declare it");
    assert!(numbers("1.9") < numbers("1.89") && numbers("1.90") == numbers("1.90.0"));
}

/// The names below a heading of `Cargo.toml`.
fn direct(heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = std::fs::read_to_string(path).unwrap();
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect()
}

/// The text of every Rust file in these folders, without lines that are only comments.
fn code(folders: &[&str]) -> String {
    let mut files = Vec::new();
    for folder in folders {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let mut text = String::new();
    for file in files {
        let file = std::fs::read_to_string(file).unwrap();
        for line in file.lines().filter(|line| !line.trim_start().starts_with("//")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Whether a path in `code` begins with the crate.
fn is_used(name: &str, code: &str) -> bool {
    let first = format!("{}::", name.replace('-', "_"));
    code.match_indices(&first).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || char == '_')
    })
}

#[test]
fn direct_dependencies_are_used() {
    let product = code(&["src"]);
    let tests = code(&["src", "tests"]);
    for (heading, code) in [("[dependencies]", &product), ("[dev-dependencies]", &tests)] {
        let names = direct(heading);
        assert!(names.len() > 5, "{heading} is read");
        for name in names {
            assert!(is_used(&name, code), "{heading}: {name} is not used");
        }
    }
}

#[test]
fn crate_use_is_found_at_the_start_of_a_path() {
    let code = "use http_body_util::Full;\nlet a = b64::c(tar::D);";
    assert!(is_used("http-body-util", code) && is_used("tar", code));
    assert!(!is_used("body-util", code) && !is_used("64", code) && !is_used("thiserror", code));
}
