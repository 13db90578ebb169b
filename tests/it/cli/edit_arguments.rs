//! What `append`, `mutate` and others say about their arguments and about where the result is.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};

async fn published() -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "app", Some("1"));
    let name = registry.repository("app:1");
    (registry, name)
}

#[tokio::test]
async fn edit_to_a_name_in_the_store_says_how_to_push_it() {
    let (registry, app) = published().await;
    let cli = Cli::new();
    let target = registry.repository("index:1");
    let stored = format!("tagged {target} in the store; `rpull push {target}` sends it");
    cli.run(&["index", "create", &target, &app]).await.expect(0, &stored);
    let mutate = |extra: &'static [&str]| {
        [&["mutate", &app, "--user", "1", "-t", &target][..], extra].concat()
    };
    cli.run(&mutate(&[])).await.expect(0, &stored);
    for silent in [&["-q"][..], &["--plan"]] {
        let output = cli.run(&mutate(silent)).await;
        assert!(!output.expect(0, "").stderr.contains("tagged"), "{}", output.stderr);
    }
    let pushed =
        cli.run(&["mutate", &app, "--user", "1", "-t", &format!("docker://{target}")]).await;
    assert!(!pushed.expect(0, "").stderr.contains("in the store"), "{}", pushed.stderr);
    assert!(registry.tagged("index", "1").is_some());
}

#[tokio::test]
async fn mutate_takes_no_time_before_now() {
    let (_registry, app) = published().await;
    let cli = Cli::new();
    for time in ["7d", "yesterday", "12h"] {
        let refused = cli.run(&["mutate", &app, "--time", time, "-t", "a:1"]).await;
        refused.expect(2, "expected a date such as 2026-11-01, a time such as");
    }
    cli.run(&["mutate", &app, "--time", "2026-11-01", "-t", "a:1"]).await.expect(0, "");
    let config = cli.json(&["config", "store:a:1"]).await;
    assert_eq!(config["created"], "2026-11-01T00:00:00Z");
}

#[tokio::test]
async fn mutate_resolves_relative_directory() {
    let (_registry, app) = published().await;
    let cli = Cli::new();
    for dir in ["/srv", "web/../app"] {
        let from = if dir == "/srv" { app.as_str() } else { "store:a:1" };
        cli.run(&["mutate", from, "--workdir", dir, "-t", "a:1"]).await.expect(0, "");
    }
    assert_eq!(cli.json(&["config", "store:a:1"]).await["config"]["WorkingDir"], "/srv/app");
}

// A full temporary directory was reported as one of the file that was read.
#[tokio::test]
async fn append_write_failure_names_temporary_directory() {
    let (_registry, app) = published().await;
    let cli = Cli::new();
    std::fs::create_dir(cli.dir().join("big")).unwrap();
    std::fs::write(cli.dir().join("big/file"), random_blob(3_000_000, 1)).unwrap();
    let limited = "ulimit -f 1000; exec \"$@\"";
    let append = ["append", &app, "big", "-t", "oci:l:x"];
    let failed = cli.spawn_in_shell(limited, &append).wait().await;
    failed.expect(7, "error: write: ").expect(7, "File too large");
    assert!(!failed.stderr.contains("big/file"), "{}", failed.stderr);
    assert!(!cli.dir().join("l").exists());
}

#[tokio::test]
async fn append_of_a_plain_file_says_how_to_add_it() {
    let (_registry, app) = published().await;
    let cli = Cli::new();
    for bytes in [10, 5000] {
        std::fs::write(cli.dir().join("hi.c"), random_blob(bytes, 1)).unwrap();
        let refused = cli.run(&["append", &app, "hi.c", "-t", "a:1"]).await;
        refused.expect(7, "hi.c").expect(7, "hint: to add a single file, append the directory");
    }
}
