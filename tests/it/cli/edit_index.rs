//! `index create`, `add` and `remove`.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, index, layer, random_blob};

fn of(architecture: &str, seed: u64) -> Image {
    image(Family::Oci, architecture, &[layer(&[("file", &random_blob(400, seed))])])
}

/// Platforms and digests of an index.
async fn entries(cli: &Cli, place: &str) -> Vec<(String, String)> {
    let manifest = cli.json(&["manifest", place]).await;
    let entry = |entry: &Value| {
        let platform = &entry["platform"];
        let name = format!("{}/{}", platform["os"], platform["architecture"]).replace('"', "");
        (name, entry["digest"].as_str().unwrap().to_owned())
    };
    manifest["manifests"].as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test]
async fn index_of_images_of_several_registries_is_complete() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let (amd, arm) = (of("amd64", 1), of("arm64", 2));
    amd.publish(&one, "a", Some("1"));
    arm.publish(&two, "b", Some("1"));
    let cli = Cli::new();
    let images = [one.repository("a:1"), two.repository("b:1")];
    let target = format!("docker://{}", one.repository("all:1"));
    for to in ["all:1", "oci:l:all:1", target.as_str()] {
        let args = ["index", "create", "--json", to, &images[0], &images[1]];
        let report = cli.json(&args).await;
        assert_eq!(report["platforms"], json!(["linux/amd64", "linux/arm64"]), "{to}");
        let place = if to == "all:1" { "store:all:1" } else { to };
        let expected = [("linux/amd64", &amd), ("linux/arm64", &arm)]
            .map(|(name, image)| (name.to_owned(), image.manifest.digest().to_string()));
        assert_eq!(entries(&cli, place).await, expected);
        if to == target {
            assert_eq!(report["bytes"]["mounted"], json!(amd.size()), "{report}");
            assert_eq!(report["bytes"]["transferred"], json!(arm.size()));
        }
    }
    cli.run(&["pull", "--platform", "linux/arm64", &one.repository("all:1")]).await.expect(0, "");
}

#[tokio::test]
async fn index_add_and_remove_keep_unknown_members_and_other_entries() {
    let registry = FakeRegistry::start().await;
    let own = index(Family::Oci, &[("amd64", of("amd64", 1)), ("arm64", of("arm64", 2))]);
    own.publish(&registry, "app", "1");
    let mut document: Value = serde_json::from_slice(&own.document.bytes).unwrap();
    document["x-unknown"] = json!({"y": 1});
    let kind = own.document.descriptor.media_type.as_str();
    registry.document("app", Some("1"), kind, document.to_string());
    let (newer, riscv) = (of("arm64", 3), of("riscv64", 4));
    newer.publish(&registry, "newer", Some("1"));
    riscv.publish(&registry, "riscv", Some("1"));
    let cli = Cli::new();
    let place = format!("docker://{}", registry.repository("app:1"));
    let (newer_name, riscv_name) = (registry.repository("newer:1"), registry.repository("riscv:1"));
    cli.run(&["index", "add", &place, &newer_name, &riscv_name]).await.expect(0, "");
    let names =
        async || entries(&cli, &place).await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let amd = ["linux/amd64", "unknown/unknown"];
    assert_eq!(names().await, [&amd[..], &["linux/arm64", "linux/riscv64"]].concat());
    let manifest = cli.json(&["manifest", &place]).await;
    assert_eq!(manifest["x-unknown"], json!({"y": 1}));
    assert_eq!(entries(&cli, &place).await[2].1, newer.manifest.digest().to_string());

    cli.run(&["index", "remove", &place, "linux/amd64"]).await.expect(0, "");
    assert_eq!(names().await, ["linux/arm64", "linux/riscv64"]);
    let digest = riscv.manifest.digest().to_string();
    cli.run(&["index", "remove", &place, &digest]).await.expect(0, "");
    assert_eq!(names().await, ["linux/arm64"]);
    cli.run(&["index", "remove", &place, "linux/386"]).await.expect(3, "no such entry");
    cli.run(&["index", "add", &format!("docker://{newer_name}"), &riscv_name])
        .await
        .expect(2, "use `rpull index create`");
}

#[tokio::test]
async fn index_create_takes_entries_of_an_index() {
    let registry = FakeRegistry::start().await;
    let own = index(Family::Oci, &[("amd64", of("amd64", 1))]);
    own.publish(&registry, "app", "1");
    of("arm64", 2).publish(&registry, "arm", Some("1"));
    let cli = Cli::new();
    let images = [registry.repository("app:1"), registry.repository("arm:1")];
    cli.run(&["index", "create", "all:1", &images[0], &images[1]]).await.expect(0, "");
    let names: Vec<_> =
        entries(&cli, "store:all:1").await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["linux/amd64", "unknown/unknown", "linux/arm64"]);
    // Made of what is in the store, too.
    cli.run(&["index", "remove", "all:1", "linux/arm64"]).await.expect(0, "");
    assert_eq!(entries(&cli, "store:all:1").await.len(), 2);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn index_of_two_images_for_one_platform_is_refused() {
    let registry = FakeRegistry::start().await;
    let own = index(Family::Oci, &[("amd64", of("amd64", 1)), ("arm64", of("arm64", 2))]);
    own.publish(&registry, "app", "1");
    of("arm64", 3).publish(&registry, "arm", Some("1"));
    of("arm64", 4).publish(&registry, "arm", Some("2"));
    let cli = Cli::new();
    let [app, arm, other] = ["app:1", "arm:1", "arm:2"].map(|name| registry.repository(name));
    let refusal =
        format!("platform linux/arm64: {arm}: another of the images is for this platform");
    let unnamed = cli.run(&["index", "create", "oci-archive:all.tar", &arm]).await;
    unnamed.expect(2, "hint: name it in the destination: `oci-archive:all.tar:NAME`");
    let both = cli.run(&["index", "create", "all:1", &app, &arm]).await;
    both.expect(2, &refusal).expect(2, "hint: leave out one of them; `rpull index add`");
    assert!(!cli.store().exists());
    cli.run(&["index", "create", "all:1", &app, &app]).await.expect(0, "");
    let added = cli.run(&["index", "add", "all:1", &other, &arm]).await;
    added.expect(2, &refusal).expect(2, "hint: leave out one of them\n");
    cli.run(&["index", "add", "all:1", &arm]).await.expect(0, "");
    let names: Vec<_> =
        entries(&cli, "store:all:1").await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["linux/amd64", "unknown/unknown", "linux/arm64"]);
}
