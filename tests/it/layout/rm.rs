//! `rm` by age, number and filter: what it would free, what it freed, what it left and why.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob, with_config};
use crate::support::terminal::Terminal;

/// A store with `team/app:1` and `:2`, which share a layer, and `other:1`; `created` gives their years.
async fn store() -> (FakeRegistry, Cli, String) {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let base = layer(&[("base", &random_blob(9_000, 1))]);
    let build = |seed, year: &str| -> Image {
        let app = layer(&[("app", &random_blob(3_000, seed))]);
        let image = image(Family::Oci, "amd64", &[base.clone(), app]);
        let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        config["created"] = json!(format!("{year}-01-02T03:04:05Z"));
        config["config"]["Labels"] = json!({"stage": year});
        with_config(&image, &config)
    };
    let mut names = Vec::new();
    for (repository, tag, year) in
        [("team/app", "1", "2001"), ("team/app", "2", "2026"), ("other", "1", "2002")]
    {
        build(u64::from(year.as_bytes()[3]), year).publish(&registry, repository, Some(tag));
        names.push(registry.repository(&format!("{repository}:{tag}")));
    }
    cli.run(&[&["-q"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
        .await
        .expect(0, "");
    let host = registry.server.host();
    (registry, cli, host)
}

fn names<'a>(report: &'a Value, key: &str) -> Vec<&'a str> {
    let rows = report[key].as_array().unwrap();
    rows.iter().map(|row| row["reference"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn rm_older_than_frees_planned_bytes() {
    let (_registry, cli, host) = store().await;
    let args = ["rm", "--older-than", "2010-01-01", "--json"];
    let plan = cli.json(&[&args[..], &["--plan"]].concat()).await;
    let [one, two, other] =
        ["team/app:1", "team/app:2", "other:1"].map(|name| format!("{host}/{name}"));
    assert_eq!(names(&plan, "removed"), [&other, &one]);
    assert_eq!(names(&plan, "left"), [&two]);
    assert_eq!(plan["left"][0]["why"], "not-older");
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 3);
    let before = cli.json(&["df", "--json"]).await;
    assert_eq!(cli.json(&[&args[..], &["--yes"]].concat()).await, plan);
    let after = cli.json(&["df", "--json"]).await;
    let bytes = |usage: &Value| usage["bytes"].as_u64().unwrap();
    assert_eq!(json!(bytes(&before) - bytes(&after)), plan["bytes"]);
    assert_eq!(after["unreferenced"], 0);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn rm_keep_counts_per_repository() {
    let (_registry, cli, host) = store().await;
    let shown = cli.run(&["rm", "--keep", "1", "--plan"]).await;
    shown.expect(0, "");
    assert!(shown.stdout.contains("kept: among the newest"), "{}", shown.stdout);
    assert!(shown.stdout.contains("would remove 1 image, would free 4."), "{}", shown.stdout);
    assert!(shown.stdout.ends_with("blobs; kept 2 images\n"), "{}", shown.stdout);
    let removed = cli.run(&["rm", "--keep", "1", "--yes", "-q"]).await;
    assert_eq!(removed.expect(0, "").stdout, format!("{host}/team/app:1\n"));
    let none = cli.run(&["rm", "--keep", "1", "--yes"]).await;
    assert!(none.stdout.contains("removed 0 images, freed 0 B in 0 blobs"), "{}", none.stdout);
}

#[tokio::test]
async fn rm_filter_selects_by_name_and_label() {
    let (_registry, cli, host) = store().await;
    let by = async |filters: &[&str]| {
        let options: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        let plan = cli.json(&[&["rm", "--plan", "--json"], &options[..]].concat()).await;
        (names(&plan, "removed").len(), plan["not_matching"].as_u64().unwrap())
    };
    assert_eq!(by(&["repository=*/team/app"]).await, (2, 1));
    assert_eq!(by(&["repository=*/team/app", "tag=2"]).await, (1, 2));
    assert_eq!(by(&[&format!("registry={host}")]).await, (3, 0));
    assert_eq!(by(&["label=stage=200*"]).await, (2, 1));
    assert_eq!(by(&["label=absent"]).await, (0, 3));
    cli.run(&["rm", "--filter", "color=red", "--yes"]).await.expect(2, "expected one of the keys");
    cli.run(&["rm", "--older-than", "old", "--yes"]).await.expect(2, "expected a duration");
    cli.run(&["rm", "--keep", "1", "a:1"]).await.expect(2, "cannot be used with");
    cli.run(&["rm", "--overlay", "x", "--plan", "a:1"]).await.expect(2, "cannot be used with");
    cli.run(&["rm"]).await.expect(2, "required");
}

#[tokio::test]
async fn rm_plan_of_names_removes_nothing() {
    let (_registry, cli, host) = store().await;
    let [one, other] = ["team/app:1", "other:1"].map(|name| format!("{host}/{name}"));
    let plan = cli.json(&["rm", "--plan", "--json", &one, &other, &one]).await;
    assert_eq!(names(&plan, "removed"), [&one, &other]);
    assert_eq!((names(&plan, "left").len(), &plan["not_matching"]), (0, &json!(0)));
    let shown = cli.run(&["rm", &one, "--plan"]).await;
    shown.expect(0, "");
    let summary = "would remove 1 image, and `rpull prune` would then free 4.";
    assert!(shown.stdout.contains(summary), "{}", shown.stdout);
    cli.run(&["rm", "--plan", "absent:1"]).await.expect(3, "absent:1");
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 3);

    cli.run(&["rm", &one, &other]).await.expect(0, "");
    let pruned = cli.json(&["prune", "--plan", "--json"]).await;
    assert_eq!((&pruned["blobs"], &pruned["bytes"]), (&plan["blobs"], &plan["bytes"]));
}

#[tokio::test]
async fn rm_selection_asks_before_it_removes() {
    let (_registry, cli, _) = store().await;
    cli.run(&["rm", "--keep", "0"]).await.expect(2, "without a terminal").expect(2, "--plan");
    for (answer, code, left) in [("n\n", 1, 3), ("y\n", 0, 0)] {
        let terminal = Terminal::open();
        let running = cli.spawn_on(terminal.screen(), &["rm", "--keep", "0"]);
        terminal.type_in(answer);
        running.wait().await.expect(code, "remove 3 images? [y/N]").expect(code, "would free");
        let images = cli.json(&["images", "--json"]).await;
        assert_eq!(images.as_array().unwrap().len(), left);
    }
}

#[tokio::test]
async fn prune_filters_narrow_unreferenced_blobs() {
    let (_registry, cli, host) = store().await;
    cli.run(&["rm", &format!("{host}/other:1"), &format!("{host}/team/app:1")]).await.expect(0, "");
    let plan = async |options: &[&str]| {
        let plan = cli.json(&[&["prune", "--plan", "--json"], options].concat()).await;
        plan["blobs"].as_u64().unwrap()
    };
    assert_eq!(plan(&[]).await, 6, "two manifests, configs and layers");
    assert_eq!(plan(&["--filter", "min-size=2500"]).await, 2);
    assert_eq!(plan(&["--filter", "min-size=0"]).await, 6);
    assert_eq!(plan(&["--older-than", "1h"]).await, 0);
    assert_eq!(plan(&["--filter", "until=1h", "--older-than", "0s"]).await, 0);
    assert_eq!(plan(&["--filter", "digest=sha256:"]).await, 6);
    assert_eq!(plan(&["--filter", "digest=x"]).await, 0);
    let narrow = ["prune", "--json", "--filter", "min-size=2500"];
    let planned = cli.json(&[&narrow[..], &["--plan"]].concat()).await;
    assert_eq!(cli.json(&narrow).await, planned);
    assert_eq!(plan(&[]).await, 4);
    for bad in ["until=lately", "min-size=big", "min-size=1MB/s", "digest=", "label=x"] {
        cli.run(&["prune", "--filter", bad]).await.expect(2, "expected");
    }
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}
