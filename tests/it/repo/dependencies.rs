//! `Cargo.lock` against minimum versions from advisories and a list of banned crates; licences.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

/// Whether one of the alternatives of an SPDX expression asks for listed licences only.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    // Without parentheses it is stricter than it need be, or the same: every name beside an AND must be listed.
    plain
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn licences_are_permissive() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence), "{}: {licence}", package["name"]);
    }
    assert!(
        !is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && is_allowed("GPL-3.0 OR MIT")
    );
}
