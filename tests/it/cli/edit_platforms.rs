//! `append`, `mutate`, `rebase` and `flatten` of several platforms: a new index of new images.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, index, layer, random_blob};

const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "riscv64"];

fn of(architecture: &str, files: &[&str]) -> Image {
    let bytes = |name: &str| random_blob(300, (architecture.len() + name.len()) as u64);
    let layers: Vec<_> = files.iter().map(|name| layer(&[(name, &bytes(name))])).collect();
    image(Family::Oci, architecture, &layers)
}

/// A registry with an index of images with these files as `NAME:1`.
async fn published(names: &[(&str, &[&str])]) -> (FakeRegistry, Cli) {
    let registry = FakeRegistry::start().await;
    for (name, files) in names {
        let images = ARCHITECTURES.map(|architecture| (architecture, of(architecture, files)));
        index(Family::Oci, &images).publish(&registry, name, "1");
    }
    (registry, Cli::new())
}

/// Architectures of the entries.
async fn entries(cli: &Cli, place: &str) -> Vec<String> {
    let manifest = cli.json(&["manifest", place]).await;
    let entry = |entry: &Value| entry["platform"]["architecture"].as_str().unwrap().to_owned();
    manifest["manifests"].as_array().unwrap().iter().map(entry).collect()
}

async fn config(cli: &Cli, place: &str, architecture: &str) -> Value {
    cli.json(&["config", "--platform", &format!("linux/{architecture}"), place]).await
}

#[tokio::test]
async fn edit_of_all_platforms_makes_index() {
    let (registry, cli) = published(&[("a", &["one", "two"])]).await;
    let (from, to) = (registry.repository("a:1"), registry.repository("a:2"));
    let target = format!("docker://{to}");
    let dropped = "left out 3 attestations, which are about the images before the change";
    let mutate = ["mutate", "--all-platforms", "--env", "A=b", &from, "-t", &target];
    cli.run(&mutate).await.expect(0, dropped);
    assert_eq!(entries(&cli, &to).await, ARCHITECTURES);
    for architecture in ARCHITECTURES {
        let env = config(&cli, &to, architecture).await["config"]["Env"].clone();
        assert!(env.as_array().unwrap().contains(&json!("A=b")), "{architecture}: {env}");
    }
    assert_eq!(registry.server.count("PUT /v2/a/blobs/uploads/"), 3, "configs");
    assert_eq!(cli.json(&["verify", "--json", &target]).await["bad"], json!([]));

    std::fs::create_dir(cli.dir().join("more")).unwrap();
    std::fs::write(cli.dir().join("more/file"), "added").unwrap();
    for (verb, place) in [("append", "oci:l:appended"), ("flatten", "oci:l:flat")] {
        let more: &[&str] = if verb == "append" { &["more"] } else { &[] };
        let args = [&[verb, "--all-platforms", &from][..], more, &["-t", place]].concat();
        cli.run(&args).await.expect(0, dropped);
        assert_eq!(entries(&cli, place).await, ARCHITECTURES, "{verb}");
    }
    for architecture in ARCHITECTURES {
        let platform = format!("linux/{architecture}");
        let cat = ["cat", "--platform", &platform, "oci:l:appended", "/file"];
        assert_eq!(cli.run(&cat).await.expect(0, "").stdout, "added");
        let layers = cli.json(&["layers", "--json", "--platform", &platform, "oci:l:flat"]).await;
        assert_eq!(layers.as_array().unwrap().len(), 1, "{layers}");
    }
    assert_eq!(cli.json(&["verify", "--json", "oci:l"]).await["bad"], json!([]));
}

#[tokio::test]
async fn edit_of_some_platforms_leaves_out_others() {
    let (registry, cli) = published(&[("a", &["one"])]).await;
    let from = registry.repository("a:1");
    let some = ["--platform", "linux/arm64", "--platform", "linux/riscv64"];
    let args = [&["mutate", "--user", "5"][..], &some, &[&from, "-t", "oci:l:some"]].concat();
    cli.run(&args).await.expect(0, "left out 2 attestations");
    assert_eq!(entries(&cli, "oci:l:some").await, ARCHITECTURES[1..]);
    let one = ["mutate", "--user", "5", "--platform", "linux/arm64", &from, "-t", "oci:l:one"];
    cli.run(&one).await.expect(0, "");
    assert_eq!(cli.json(&["config", "oci:l:one"]).await["config"]["User"], "5");
    let absent =
        ["mutate", "--user", "5", "--platform", "linux/arm64", "--platform", "linux/s390x"];
    cli.run(&[&absent[..], &[&from, "-t", "oci:l:x"]].concat()).await.expect(3, "linux/s390x");
    let both = ["mutate", "--user", "5", "--all-platforms", "--platform", "linux/arm64"];
    cli.run(&[&both[..], &[&from, "-t", "oci:l:x"]].concat()).await.expect(2, "cannot be used");
    // An image that is no index is changed as without the option.
    let plain = ["mutate", "--user", "6", "--all-platforms", "oci:l:one", "-t", "oci:l:plain"];
    cli.run(&plain).await.expect(0, "");
    assert_eq!(cli.json(&["config", "oci:l:plain"]).await["config"]["User"], "6");
}

#[tokio::test]
async fn rebase_of_all_platforms_takes_bases_of_each() {
    let names: [(&str, &[&str]); 3] =
        [("old", &["old"]), ("new", &["new", "newer"]), ("app", &["old", "app"])];
    let (registry, cli) = published(&names).await;
    let [app, old, new] = ["app:1", "old:1", "new:1"].map(|name| registry.repository(name));
    let bases = ["--old-base", &old, "--new-base", &new];
    let args = [&["rebase", "--all-platforms", &app][..], &bases, &["-t", "oci:l:x"]].concat();
    cli.run(&args).await.expect(0, "");
    assert_eq!(entries(&cli, "oci:l:x").await, ARCHITECTURES);
    for architecture in ARCHITECTURES {
        let diff_ids = config(&cli, "oci:l:x", architecture).await["rootfs"]["diff_ids"].clone();
        let of_new = of(architecture, &["new", "newer"]);
        let of_new: Value = serde_json::from_slice(&of_new.config.bytes).unwrap();
        let of_new = of_new["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(diff_ids.as_array().unwrap()[..2], of_new[..]);
        assert_eq!(diff_ids.as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn edit_of_all_platforms_reads_the_registry_where_the_store_has_one() {
    let (registry, cli) = published(&[("a", &["one"]), ("b", &["two"])]).await;
    let from = registry.repository("a:1");
    cli.run(&["pull", "--platform", "linux/arm64", &from]).await.expect(0, "");
    cli.run(&["mutate", "--all-platforms", "--user", "5", &from, "-t", "oci:l:all"])
        .await
        .expect(0, "");
    assert_eq!(entries(&cli, "oci:l:all").await, ARCHITECTURES);
    cli.run(&["index", "create", "oci:l:made", &from]).await.expect(0, "");
    let mut made = entries(&cli, "oci:l:made").await;
    made.retain(|architecture| architecture != "unknown");
    assert_eq!(made, ARCHITECTURES);
    // A digest means that manifest alone.
    let digest = cli.json(&["inspect", "--json", "--platform", "linux/arm64", &from]).await;
    let one = format!("store:{from}@{}", digest["manifest"].as_str().unwrap());
    cli.run(&["index", "create", "oci:l:one", &one]).await.expect(0, "");
    assert_eq!(entries(&cli, "oci:l:one").await, ["arm64"]);

    // The rest is missing where only the store is asked, or has the image.
    let missing = "manifests listed by its index are missing: linux/amd64";
    let only = format!("store:{from}");
    for args in [
        &["mutate", "--all-platforms", "--user", "5", &only, "-t", "oci:l:x"][..],
        &["index", "remove", &from, "linux/arm64"],
    ] {
        cli.run(args).await.expect(3, missing);
    }
    drop(registry);
    let several = ["--platform", "linux/arm64", "--platform", "linux/amd64"];
    let args = [&["mutate", "--retries", "0", "--user", "5", &from, "-t", "oci:l:x"][..], &several];
    cli.run(&args.concat()).await.expect(3, "linux/amd64");
}

#[tokio::test]
async fn edit_of_one_platform_warns_where_it_replaces_the_index() {
    let (registry, cli) = published(&[("a", &["one"])]).await;
    let (from, target) =
        (registry.repository("a:1"), format!("docker://{}", registry.repository("a:1")));
    cli.run(&["copy", &from, "oci:l:a"]).await.expect(0, "");
    let warning = "was an index of 3 platforms, and the new image is only for linux/arm64";
    for (place, target) in [("oci:l:a", "oci:l:a"), (&target, &target)] {
        let arm = ["mutate", "--user", "5", "--platform", "linux/arm64", place, "-t", target];
        cli.run(&arm).await.expect(0, warning);
    }
    let again = ["mutate", "--user", "6", "oci:l:a", "-t", "oci:l:a"];
    let output = cli.run(&again).await;
    assert!(!output.expect(0, "").stderr.contains("warning"), "{}", output.stderr);
}

#[tokio::test]
async fn edit_of_several_platforms_into_docker_archive_is_refused() {
    let (registry, cli) = published(&[("a", &["one"])]).await;
    let from = registry.repository("a:1");
    let archive = "docker-archive:x.tar:q:1";
    for args in [
        &["mutate", "--all-platforms", "--user", "5", &from, "-t", archive][..],
        &["index", "create", archive, &from],
    ] {
        cli.run(args).await.expect(2, "a docker-archive can hold only one");
    }
    assert!(!cli.dir().join("x.tar").exists());
}
