//! The ledger: runs that use the store append their receipt, and `stats` sums it.

use serde_json::{Value, json};

use super::{app, filled};
use crate::support::cli::Cli;
use crate::support::fake_registry::{Auth, FakeRegistry, Options};
use crate::support::samples::published;

/// The records of a ledger in the working directory of commands.
fn records(cli: &Cli, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(cli.dir().join(file)).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn commands(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["command"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn ledger_records_receipt_of_each_image() {
    let (registry, [first, _], name) = published().await;
    let (cli, other) = (Cli::new(), FakeRegistry::start().await);
    let [one, two] = [1, 2].map(|tag| format!("{name}:{tag}"));
    let reports = cli.json(&["--json", &one, &two]).await;
    let target = other.repository("copy:1");
    cli.run(&["push", &one, &target]).await.expect(0, "");
    cli.run(&["save", &one, "-o", "a.tar"]).await.expect(0, "");
    cli.run(&["load", "a.tar"]).await.expect(0, "");
    cli.run(&["unpack", &one, "root"]).await.expect(0, "");
    cli.run(&["--plan", &one]).await.expect(0, "");
    let found = records(&cli, "store/ledger.jsonl");
    assert_eq!(commands(&found), ["pull", "pull", "push", "save", "load"]);
    for (record, report) in found.iter().zip(reports.as_array().unwrap()) {
        for key in ["source", "target", "reference", "digest"] {
            assert_eq!(record[key], report[key], "{key}");
        }
        for key in ["total", "transferred", "resumed", "mounted", "shared", "resent"] {
            assert_eq!(record["bytes"][key], report["bytes"][key], "{key}");
        }
        assert_eq!(record["requests"], report["requests"]["total"]);
        assert_eq!(record["repository"], registry.repository("team/app"));
        assert_eq!(record["run"], found[0]["run"], "one run");
    }
    assert_eq!(found[2]["repository"], json!(other.repository("copy")));
    assert_eq!(found[2]["bytes"]["transferred"], json!(first.size()));
    assert_ne!(found[2]["run"], found[0]["run"]);
    assert_eq!(found[3]["repository"], Value::Null);
}

#[tokio::test]
async fn ledger_without_store_needs_option() {
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&["-o", "oci:l", &name]).await.expect(0, "");
    cli.run(&["-o", "oci:m", "--ledger", "own", &name]).await.expect(0, "");
    cli.run(&["copy", &name, "oci:n", "--ledger", "own"]).await.expect(0, "");
    assert!(!cli.store().exists());
    assert_eq!(commands(&records(&cli, "own")), ["pull", "copy"]);
    cli.run(&["--ledger", "own", &name]).await.expect(0, "");
    assert!(!cli.store().join("ledger.jsonl").exists());
    assert_eq!(cli.json(&["stats", "--json", "--ledger", "own"]).await["images"], 3);
    cli.run(&["copy", &name, "oci:store"]).await.expect(0, "");
    assert_eq!(commands(&records(&cli, "store/ledger.jsonl")), ["copy"], "the store as a path");

    let cli = Cli::new().env("RPULL_LEDGER", "off");
    cli.run(&[&name]).await.expect(0, "");
    assert!(!cli.store().join("ledger.jsonl").exists());
    assert_eq!(cli.run(&["stats"]).await.stdout, "no runs\n");
    let cli = Cli::new().env("RPULL_LEDGER", "maybe");
    cli.run(&[&name]).await.expect(0, "ignoring RPULL_LEDGER: invalid value `maybe`");
}

#[tokio::test]
async fn ledger_of_pull_while_unpacking_is_written() {
    let (_registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&["unpack", &name, "root"]).await.expect(0, "");
    let found = records(&cli, "store/ledger.jsonl");
    assert_eq!(commands(&found), ["pull"]);
    assert_eq!(found[0]["bytes"]["transferred"], found[0]["bytes"]["total"]);
}

#[tokio::test]
async fn ledger_unwritable_is_warning() {
    let (_registry, cli, _, name) = filled().await;
    let file = cli.store().join("ledger.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let output = cli.run(&[&name]).await;
    output.expect(0, "warning: the receipt is not in the ledger: ").expect(0, "ledger.jsonl");
    std::fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    cli.run(&[&name]).await.expect(0, "the receipt is not in the ledger");
    cli.run(&["stats"]).await.expect(7, "ledger.jsonl");
    cli.run(&["--ledger", "absent/ledger", &name]).await.expect(0, "absent/ledger");
}

#[tokio::test]
async fn ledger_has_no_credentials() {
    let auth = Auth::Basic { user: "me".into(), password: "open-sesame".into() };
    let registry = FakeRegistry::start_with(Options { auth, ..Options::default() }).await;
    app(2).publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("a:1"));
    cli.run(&["--creds", "me:open-sesame", &name]).await.expect(0, "");
    cli.run(&["--creds", "me:wrong-secret", &name]).await.expect(4, "");
    let text = std::fs::read_to_string(cli.store().join("ledger.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1, "an image that was not resolved is left out");
    for secret in ["open-sesame", "wrong-secret", "Basic"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn ledger_records_failure_of_resolved_image() {
    let (registry, [first, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    registry.blob_as("team/app", first.layers[1].digest(), vec![0; 10]);
    assert_ne!(cli.run(&[&name]).await.code(), Some(0));
    let found = records(&cli, "store/ledger.jsonl");
    assert!(found[0]["error"].is_string(), "{found:?}");
    assert!(found[0]["bytes"]["missing"].as_u64().unwrap() > 0);
    let stats = cli.json(&["stats", "--json"]).await;
    assert_eq!((&stats["images"], &stats["failed"]), (&json!(1), &json!(1)));
    assert!(cli.run(&["stats"]).await.stdout.contains("1 image (1 failed)"));
}

#[tokio::test]
async fn stats_sums_equal_reports() {
    let (registry, _, name) = published().await;
    let cli = Cli::new();
    let mut sums = [0; 3];
    for tag in ["1", "2", "2"] {
        let report = cli.report(&["--json", &format!("{name}:{tag}")]).await;
        for (sum, key) in sums.iter_mut().zip(["total", "transferred", "shared"]) {
            *sum += report["bytes"][key].as_u64().unwrap();
        }
    }
    let host = registry.server.host();
    for (by, key) in [("registry", host.as_str()), ("repository", &name)] {
        let stats = cli.json(&["stats", "--json", "--by", by]).await;
        let group = &stats["groups"][0];
        assert_eq!((&stats["by"], &group["key"]), (&json!(by), &json!(key)));
        for part in [&stats, group] {
            let found = ["referenced", "transferred", "shared"].map(|key| &part[key]);
            assert_eq!(found, [&json!(sums[0]), &json!(sums[1]), &json!(sums[2])]);
            assert_eq!(part["runs"], 3);
            assert!(part["seconds"].is_f64() && part["requests"].as_u64() > Some(3));
        }
    }
    let days = cli.json(&["stats", "--json", "--by", "day", "--since", "1d"]).await;
    assert!((1..=2).contains(&days["groups"].as_array().unwrap().len()), "{days}");
    assert_eq!(days["images"], 3);
    let none = cli.json(&["stats", "--json", "--since", "9999-01-01"]).await;
    assert_eq!((&none["images"], &none["first"]), (&json!(0), &Value::Null));
    cli.run(&["stats", "--since", "lately"]).await.expect(2, "expected a duration such as 7d");
    cli.run(&["stats", "--by", "hour"]).await.expect(2, "registry");
}

#[tokio::test]
async fn stats_damaged_lines_are_counted_and_named() {
    let (_registry, cli, _, name) = filled().await;
    let file = cli.store().join("ledger.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let hostile = text.replace(&name, "r/\\u001b[31mevil");
    std::fs::write(&file, format!("{{}}\n{text}{hostile}{{\"time\":")).unwrap();
    cli.run(&["-q", &name]).await.expect(0, "");
    let stats = cli.json(&["stats", "--json"]).await;
    assert_eq!((&stats["images"], stats["damaged"].as_array().unwrap().len()), (&json!(3), 2));
    assert_eq!(
        (&stats["damaged"][0]["line"], &stats["damaged"][1]["line"]),
        (&json!(1), &json!(4))
    );
    let shown = cli.run(&["stats", "--by", "repository"]).await;
    shown.expect(0, "ledger.jsonl:1: ").expect(0, "ledger.jsonl:4: ");
    assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.stdout);
}
