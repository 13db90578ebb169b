//! Kills at every system call of the store, full disks, and what a power failure would leave behind.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rpull::digest::Digest;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::registry::Registry;

/// The calls by which a pull changes its store.
const CALLS: [&str; 8] =
    ["mkdir", "pwrite64", "fchmod", "rename", "fsync", "fdatasync", "unlink", "flock"];

/// More of one call than any thread of a small pull makes.
const MOST: usize = 60;

async fn published() -> (Registry, Image, String) {
    let registry = Registry::start().await;
    let layers = [1, 2].map(|seed| layer(&[("data", &random_blob(20_000, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "app", Some("1"));
    let name = format!("{}:1", registry.repository("app"));
    (registry, held, name)
}

/// Runs a pull under strace with these options; the status is the pull's own.
fn strace(store: &Path, options: &[&str], args: &[&str]) -> ExitStatus {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(env!("CARGO_BIN_EXE_rpull")).args(args);
    command.env("RPULL_STORE", store).output().unwrap().status
}

fn blobs(store: &Path) -> HashSet<String> {
    let entries = std::fs::read_dir(store.join("blobs/sha256")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_call_loses_nothing_and_the_next_run_completes() {
    if !needs("a_kill_at_any_call_loses_nothing_and_the_next_run_completes", &["strace"]) {
        return;
    }
    let (registry, held, name) = published().await;
    let mut kills = 0;
    for call in CALLS {
        for number in 1..MOST {
            let cli = Cli::new();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let options = ["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
            let status =
                tokio::task::block_in_place(|| strace(&cli.store(), &options, &["-q", &name]));
            if status.success() {
                break;
            }
            kills += 1;
            let committed = blobs(&cli.store());
            registry.server.forget();
            cli.run(&[&name]).await.expect(0, "");
            let verified = cli.json(&["verify", "--json"]).await;
            assert_eq!(verified["bad"], json!([]), "killed at {call} {number}");
            assert_eq!(verified["blobs"], 4, "killed at {call} {number}");
            for piece in held.blobs().filter(|piece| committed.contains(piece.digest().encoded())) {
                let again = registry.server.count(&format!("/blobs/{}", piece.digest()));
                assert_eq!(
                    again, 0,
                    "killed at {call} {number}: what was committed is not moved again"
                );
            }
        }
    }
    assert!(kills > 20, "{kills} kills");
}

#[tokio::test]
async fn what_another_boot_left_in_doubt_is_hashed_before_it_counts() {
    let (registry, held, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let path = |digest: &Digest| cli.store().join("blobs/sha256").join(digest.encoded());
    let [zeros, good] = held.layers.as_slice() else { panic!("two layers") };
    // A power failure can leave zeros of the right length under the final name.
    std::fs::remove_file(path(zeros.digest())).unwrap();
    std::fs::write(path(zeros.digest()), vec![0; zeros.bytes.len()]).unwrap();
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "(100 %)");

    let journal = cli.store().join("unsynced/00000000000000000000000000000000.1");
    let torn = format!("{}\n{}\nsha256:12", zeros.digest(), good.digest());
    std::fs::write(&journal, torn).unwrap();
    let report = cli.json(&["--json", &name]).await;
    assert_eq!(report["bytes"]["transferred"], zeros.descriptor.size);
    assert_eq!(registry.server.count("/blobs/"), 1);
    assert_eq!(std::fs::read(path(zeros.digest())).unwrap(), zeros.bytes);
    assert!(!journal.exists());
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

/// Lines of a trace that matter for durability: the call and the paths in it.
fn traced(options: &[&str], args: &[&str], store: &Path) -> Vec<(String, Vec<PathBuf>)> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let file = log.path().to_str().unwrap();
    let calls = "trace=rename,fsync,fdatasync,openat";
    assert!(strace(store, &[&["-y", "-o", file, "-e", calls], options].concat(), args).success());
    let text = std::fs::read_to_string(log.path()).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (call, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        let quoted = rest.split('"').skip(1).step_by(2).map(PathBuf::from);
        let handle = rest.split(['<', '>']).nth(1).map(PathBuf::from);
        Some((call.to_owned(), quoted.chain(handle).collect()))
    });
    lines.collect()
}

/// Positions of renames into `blobs/`, and of the rename of index.json.
fn renames(trace: &[(String, Vec<PathBuf>)], into: &str) -> Vec<usize> {
    let hit = |(call, paths): &(String, Vec<PathBuf>)| {
        call == "rename" && paths.get(1).is_some_and(|path| path.to_str().unwrap().contains(into))
    };
    (0..trace.len()).filter(|at| hit(&trace[*at])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_first_visible_then() {
    if !needs("durable_first_visible_then", &["strace"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let trace = |args: &[&str]| {
        let cli = Cli::new();
        tokio::task::block_in_place(|| traced(&[], args, &cli.store()))
    };
    let synced = |trace: &[(String, Vec<PathBuf>)], upto: usize, part: &str| {
        trace[..upto].iter().any(|(call, paths)| {
            call.starts_with('f') && paths.iter().any(|path| path.to_str().unwrap().contains(part))
        })
    };

    // Without --sync no blob is synced, but the journal is durable before the first of them is renamed.
    let plain = trace(&["-q", &name]);
    let first = *renames(&plain, "/blobs/").first().unwrap();
    assert!(synced(&plain, first, "/unsynced/") && synced(&plain, first, "/unsynced"));
    assert!(!synced(&plain, plain.len(), "/ingest/"));
    let index = *renames(&plain, "/index.json").last().unwrap();
    assert!(
        synced(&plain, index, "/index.json.new")
            && index > *renames(&plain, "/blobs/").last().unwrap()
    );

    // With it each file is synced before its rename, each folder after it and before the name is written.
    let careful = trace(&["-q", "--sync", &name]);
    let into_blobs = renames(&careful, "/blobs/");
    assert_eq!(into_blobs.len(), 4);
    for at in &into_blobs {
        let partial = careful[*at].1[0].to_str().unwrap().to_owned();
        assert!(synced(&careful, *at, &partial), "{partial}");
    }
    let index = *renames(&careful, "/index.json").last().unwrap();
    let last = *into_blobs.last().unwrap();
    assert!(last < index && synced(&careful[last..], index - last, "/blobs/sha256"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_the_next_run_completes() {
    let test = "a_full_disk_is_told_and_the_next_run_completes";
    if !needs(test, &["unshare", "mount"]) {
        return;
    }
    let (registry, held, name) = published().await;
    let big = image(Family::Oci, "amd64", &[layer(&[("big", &random_blob(3_000_000, 9))])]);
    big.publish(&registry, "app", Some("big"));
    let big_name = name.replace(":1", ":big");
    let rpull = env!("CARGO_BIN_EXE_rpull");
    // In a namespace of its own, so that nothing stays mounted.
    let script = format!(
        "set -e; d=$(mktemp -d); mount -t tmpfs -o size=1m none $d; export RPULL_STORE=$d/s
        {rpull} -q {name}; set +e; {rpull} {big_name}; echo \"code $?\"; set -e
        mount -o remount,size=9m $d; {rpull} --json {big_name}; {rpull} verify; {rpull} --offline -q {name}"
    );
    let run = || Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let output = tokio::task::block_in_place(run);
    let (told, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && said.contains("unshare:") {
        assert!(!rustix::process::getuid().is_root(), "{said}");
        return;
    }
    assert!(told.contains("code 7") && said.contains("No space left"), "{told}\n{said}");
    assert!(said.contains("hint: free some space"), "{said}");
    assert!(output.status.success(), "{told}\n{said}");
    assert!(told.contains("0 bad"), "{told}");
    let resumed = told.lines().find(|line| line.contains("\"resumed\"")).unwrap();
    assert!(!resumed.contains(": 0"), "what had arrived is kept: {told}");
    assert!(held.size() < 1_000_000);
}
