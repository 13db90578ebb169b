//! `rpull demo`.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::cli::Cli;
use crate::support::wait::wait_until;

fn left_behind(cli: &Cli) -> Vec<String> {
    let names = |path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    let found = names(cli.dir().join("tmp")).chain(names(cli.home()));
    found.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn demo_shows_sharing_and_removes_its_files() {
    let cli = Cli::new();
    let output = cli.run(&["demo"]).await;
    output.expect(0, "\n# Pull version 1.0: everything is transferred\n$ rpull 127.0.0.1:");
    output.expect(0, "transferred 17.6 MB of 17.6 MB, 0 B shared (0 %)");
    output.expect(0, "transferred 602.4 kB of 17.6 MB, 17.0 MB shared (97 %)");
    assert!(output.stdout.contains("would transfer 602.4 kB of 17.6 MB"), "{}", output.stdout);
    assert_eq!(left_behind(&cli), [""; 0]);
    assert!(!cli.store().exists(), "nor is the user's own store touched");
}

#[tokio::test]
async fn demo_quiet_offline_and_json_succeed() {
    let cli = Cli::new();
    let quiet = cli.run(&["demo", "--quiet", "--offline"]).await;
    quiet.expect(0, "");
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.matches("/team/app:1.1@sha256:").count(), 1, "{}", quiet.stdout);
    let reports = cli.json(&["demo", "--json"]).await;
    let bytes = |at: usize, key: &str| reports[at]["bytes"][key].as_u64().unwrap();
    assert_eq!(bytes(0, "transferred"), bytes(0, "total"));
    assert_eq!(bytes(1, "transferred") + bytes(1, "shared"), bytes(1, "total"));
    assert!(bytes(1, "shared") > 17_000_000);
    assert_eq!(reports.as_array().map(Vec::len), Some(2));
    assert_eq!(left_behind(&cli), [""; 0]);
}

#[tokio::test]
async fn demo_interrupted_removes_its_files() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for wait in [0, 40, 300, 1200, 2900, 3200] {
            let cli = Cli::new();
            let running = cli.spawn(&["demo"]);
            let begun = async || wait == 0 || !left_behind(&cli).is_empty();
            wait_until("the demo does not begin", begun).await;
            tokio::time::sleep(Duration::from_millis(wait)).await;
            running.signal(signal);
            let output = running.wait().await;
            let ended = output.code().or(output.signal().map(|signal| 128 + signal));
            // On some machines it ends before the last signals.
            assert!(ended == Some(code) || wait > 2000 && ended == Some(0), "{wait}: {output:?}");
            assert_eq!(left_behind(&cli), [""; 0], "after {wait} ms");
        }
    }
}

#[tokio::test]
async fn demo_with_closed_stdout_does_not_panic() {
    let cli = Cli::new();
    let output = cli.spawn_in_shell("\"$@\" | head -c 1", &["demo"]).wait().await;
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    assert_eq!(left_behind(&cli), [""; 0]);
}
