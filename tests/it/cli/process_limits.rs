//! Low process limits: every command works within them or ends with an error.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::live::needs;

/// Returns a store with an image, its archive, and a registry.
async fn prepared() -> (Cli, FakeRegistry, String) {
    let (cli, registry) = (Cli::new(), FakeRegistry::start().await);
    let layers = [1, 2, 3].map(|seed| layer(&[("data", &random_blob(400_000, seed))]));
    image(Family::Oci, "amd64", &layers).publish(&registry, "app", Some("1"));
    let name = registry.repository("app:1");
    cli.run(&["pull", &name]).await.expect(0, "");
    cli.run(&["save", &name, "-o", "image.tar"]).await.expect(0, "");
    (cli, registry, name)
}

/// Returns command lines that use every part of the program.
fn commands(registry: &FakeRegistry, name: &str, at: usize) -> Vec<Vec<String>> {
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    let to = |repository: &str| registry.repository(&format!("{repository}{at}:1"));
    [
        format!("pull --store new{at} {name}"),
        format!("pull --store fresh{at} --unpack pulled{at} {name}"),
        format!("push {name} {}", to("pushed")),
        format!("copy {name} {}", to("copied")),
        format!("copy {name} oci:layout{at}"),
        format!("unpack {name} root{at}"),
        format!("unpack --overlay {name} layers{at}"),
        format!("export {name} -o root{at}.tar"),
        format!("save {name} -o saved{at}.tar"),
        format!("load --store loaded{at} image.tar"),
        format!("history {name}"),
        format!("digest {name}"),
        "images".to_owned(),
        "verify".to_owned(),
        "prune --plan".to_owned(),
        "serve --read-only --addr 127.0.0.1:0".to_owned(),
        "--version".to_owned(),
    ]
    .map(words)
    .into()
}

/// Asserts success or a local error, without panic or crash.
#[track_caller]
fn assert_orderly(output: &Output, what: &str) {
    let seen = format!("{what}: {:?} {:?}\n{}", output.code(), output.signal(), output.stderr);
    assert!(!output.stderr.contains("panicked"), "{seen}");
    match output.code() {
        Some(0) => {}
        Some(7) => assert!(output.stderr.contains("error: "), "{seen}"),
        _ => panic!("{seen}"),
    }
}

/// Runs every command under a limit set by a line of shell; `serve` is stopped after its start.
async fn assert_orderly_under(line: &str, prepared: &(Cli, FakeRegistry, String), at: usize) {
    let (cli, registry, name) = prepared;
    for words in commands(registry, name, at) {
        let line = format!("{line}; exec \"$@\"");
        let mut running = cli.spawn_in_shell(&line, &words);
        if words[0] == "serve" && running.line().await.starts_with("serving ") {
            running.signal(rustix::process::Signal::TERM);
        }
        assert_orderly(&running.wait().await, &format!("{line} {words:?}"));
    }
}

#[tokio::test]
async fn file_descriptor_limit_gives_error_message() {
    let prepared = prepared().await;
    // With three descriptors the program cannot be loaded.
    for limit in [6, 7, 9, 12, 16, 18, 20, 22, 26, 30] {
        assert_orderly_under(&format!("ulimit -n {limit}"), &prepared, limit).await;
    }
    let (cli, _, name) = &prepared;
    let refused = cli.spawn_in_shell("ulimit -n 12; exec \"$@\"", &["images"]).wait().await;
    refused.expect(7, "error: start: resource limits are too low: Too many open files");
    refused.expect(7, "hint: raise the limit of open files");
    let line = "ulimit -n 24; exec \"$@\"";
    let demo = cli.spawn_in_shell(line, &["demo"]).wait().await;
    demo.expect(7, "Too many open files");
    let pulled = cli.spawn_in_shell("ulimit -n 64; exec \"$@\"", &["pull", name]).wait().await;
    pulled.expect(0, "");
}

#[tokio::test]
async fn address_space_limit_gives_error_message() {
    let prepared = prepared().await;
    // Below the size of the program, the kernel or the loader kills it.
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_rpull")).unwrap().len() >> 20;
    for beyond in [16, 40, 64, 120, 200] {
        let limit = usize::try_from(program + beyond).unwrap();
        assert_orderly_under(&format!("ulimit -v {}", limit << 10), &prepared, limit).await;
    }
    let (cli, _, name) = &prepared;
    let line = format!("ulimit -v {}; exec \"$@\"", (program + 200) << 10);
    cli.spawn_in_shell(&line, &["pull", "--store", "s", name]).wait().await.expect(0, "");
}

#[tokio::test]
async fn thread_limit_gives_error_message() {
    const TEST: &str = "thread_limit_gives_error_message";
    if !needs(TEST, &["setpriv"]) {
        return;
    }
    let prepared = prepared().await;
    let (cli, ..) = &prepared;
    for entry in [cli.dir().to_owned(), cli.home(), cli.dir().join("tmp")] {
        std::fs::set_permissions(entry, Permissions::from_mode(0o777)).unwrap();
    }
    let open = "chmod -R a+rwX . && ";
    let user = "exec setpriv --reuid 54321 --regid 54321 --clear-groups sh -c";
    let as_user = |limit: usize| format!("{open}{user} 'ulimit -u {limit}; exec \"$@\"' sh \"$@\"");
    let tried = cli.spawn_in_shell(&as_user(1_000), &["--version"]).wait().await;
    if tried.code() != Some(0) {
        // Not root, or the program is not accessible to other users.
        writeln!(std::io::stderr(), "left out: {TEST}: {}", tried.stderr).unwrap();
        return;
    }
    for limit in [1, 4, 9, 11, 16] {
        let (cli, registry, name) = &prepared;
        for words in commands(registry, name, limit) {
            if words[0] != "serve" {
                let output = cli.spawn_in_shell(&as_user(limit), &words).wait().await;
                assert_orderly(&output, &format!("{limit} threads: {words:?}"));
            }
        }
    }
}

#[tokio::test]
async fn closed_or_full_standard_streams_do_not_panic() {
    let prepared = prepared().await;
    for (at, streams) in
        ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
            .iter()
            .enumerate()
    {
        let (cli, registry, name) = &prepared;
        for words in commands(registry, name, at) {
            if words[0] == "serve" {
                continue;
            }
            let output = cli.spawn_in_shell(&format!("exec \"$@\" {streams}"), &words).wait().await;
            let seen = format!("{streams} {words:?} {}", output.stderr);
            assert!(!output.stderr.contains("panicked"), "{seen}");
            assert!(matches!(output.code(), Some(0 | 7)), "{:?} {seen}", output.code());
        }
    }
}
