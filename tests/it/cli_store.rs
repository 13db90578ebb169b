//! The local store by its commands: names, sizes, what is freed, what is damaged, and stores that cannot be used.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use rpull::digest::Digest;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, image, index, layer, random_blob};
use crate::support::registry::Registry;

fn app(seed: u64) -> Image {
    let shared = layer(&[("base", &random_blob(20_000, 1))]);
    image(Family::Oci, "amd64", &[shared, layer(&[("app", &random_blob(3_000, seed))])])
}

/// A store that holds `team/app:1`.
async fn filled() -> (Registry, Cli, Image, String) {
    let (registry, held) = (Registry::start().await, app(2));
    held.publish(&registry, "team/app", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    cli.run(&[&name]).await.expect(0, "");
    (registry, cli, held, name)
}

fn blob_path(cli: &Cli, digest: &Digest) -> PathBuf {
    cli.store().join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

/// Writes over what only its owner may read.
fn overwrite(path: &PathBuf, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn images_are_listed_named_and_forgotten() {
    let (registry, cli, held, name) = filled().await;
    let listed = cli.json(&["images", "--json"]).await;
    let expected = json!([{
        "reference": name, "digest": held.manifest.digest(), "manifest": held.manifest.digest(),
        "platforms": ["linux/amd64"], "size": held.size(), "created": "2026-01-02T03:04:05Z",
    }]);
    assert_eq!(listed, expected);
    let table = cli.run(&["ls"]).await;
    assert!(
        table.stdout.starts_with("IMAGE") && table.stdout.contains(held.manifest.digest().short())
    );

    cli.run(&["tag", &name, "mine"]).await.expect(0, "is also docker.io/library/mine:latest");
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 2);
    let removed = cli.run(&["rm", &name, "nobody"]).await;
    assert_eq!(removed.expect(3, "nobody:latest: not in the store").stdout, format!("{name}\n"));
    registry.server.forget();
    cli.run(&["pull", "--offline", "mine"]).await.expect(0, "(100 %)");
    cli.run(&["tag", "nobody", "x"]).await.expect(3, "not in the store");
    cli.run(&["rm", "mine"]).await.expect(0, "");
    assert_eq!(cli.run(&["images", "--json"]).await.stdout, "[]\n");
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn names_are_given_and_taken_in_json_too() {
    let (_registry, cli, held, name) = filled().await;
    let mine = "docker.io/library/mine:latest";
    let tagged = cli.json(&["tag", "--json", &name, "mine"]).await;
    let digest = held.manifest.digest();
    assert_eq!(tagged, json!({"source": name, "reference": mine, "digest": digest}));
    let one = cli.json(&["rm", "--json", "mine"]).await;
    assert_eq!(one, json!({"reference": mine, "removed": true}));
    let output = cli.run(&["rm", "--json", &name, "nobody"]).await;
    let both: Value = serde_json::from_str(&output.expect(3, "nobody").stdout).unwrap();
    assert_eq!(both[0], json!({"reference": name, "removed": true}));
    assert_eq!(
        (&both[1]["removed"], &both[1]["error"]["kind"]),
        (&json!(false), &json!("not_found"))
    );
}

#[tokio::test]
async fn a_layer_that_is_listed_twice_is_there_once() {
    let registry = Registry::start().await;
    let (twice, top) = (layer(&[("a", &random_blob(9_000, 1))]), layer(&[("b", b"b")]));
    let held = image(Family::Oci, "amd64", &[twice.clone(), top, twice]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let pulled = cli.json(&["--json", &name]).await;
    assert_eq!(cli.json(&["images", "--json"]).await[0]["size"], pulled["bytes"]["total"]);
    assert_eq!(cli.json(&["inspect", "--json", &name]).await["size"], pulled["bytes"]["total"]);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_empty_and_stays_away() {
    let cli = Cli::new();
    assert_eq!(cli.json(&["images", "--json"]).await, json!([]));
    assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);
    assert_eq!(cli.json(&["df", "--json"]).await["bytes"], 0);
    assert_eq!(cli.json(&["verify", "--json"]).await["blobs"], 0);
    cli.run(&["rm", "a"]).await.expect(3, "not in the store");
    cli.run(&["verify", "a"]).await.expect(3, "not in the store");
    assert!(!cli.store().exists());
}

#[tokio::test]
async fn prune_frees_exactly_what_its_plan_says_and_nothing_that_has_a_name() {
    let (registry, cli, held, name) = filled().await;
    let other = app(3);
    other.publish(&registry, "team/app", Some("2"));
    let second = format!("{}:2", registry.repository("team/app"));
    cli.run(&[&second]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);

    cli.run(&["rm", &second]).await.expect(0, "");
    let plan = cli.json(&["prune", "--plan", "--json"]).await;
    let only = [&other.config, &other.layers[1], &other.manifest];
    let bytes: u64 = only.iter().map(|piece| piece.descriptor.size).sum();
    assert_eq!((&plan["blobs"], &plan["bytes"]), (&json!(3), &json!(bytes)));
    assert_eq!((&plan["partials"], &plan["layers"]), (&json!(0), &json!(0)));
    assert!(only.iter().all(|piece| blob_path(&cli, piece.digest()).exists()));
    assert_eq!(cli.json(&["prune", "--json"]).await, plan);
    assert!(only.iter().all(|piece| !blob_path(&cli, piece.digest()).exists()));
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "(100 %), 1 request");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));

    // What the manifest needs cannot be told any more, so nothing may go.
    overwrite(&blob_path(&cli, held.manifest.digest()), b"{}");
    cli.run(&["prune"]).await.expect(7, "nothing was deleted");
    assert!(held.blobs().all(|piece| blob_path(&cli, piece.digest()).exists()));
}

#[tokio::test]
async fn prune_keeps_the_index_that_a_platform_was_chosen_from_and_forgets_old_partials() {
    let registry = Registry::start().await;
    let of = |name: &str| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]);
    let both = index(Family::Oci, &[("amd64", of("amd64")), ("arm64", of("arm64"))]);
    both.publish(&registry, "a", "1");
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "");
    let ingest = cli.store().join("ingest");
    for (name, age) in [("sha256-old", 25), ("sha256-new", 1)] {
        let partial = std::fs::File::create(ingest.join(name)).unwrap();
        partial.set_len(10).unwrap();
        let ago = std::time::Duration::from_secs(age * 3600);
        partial.set_modified(std::time::SystemTime::now() - ago).unwrap();
    }
    let pruned = cli.json(&["prune", "--json"]).await;
    assert_eq!((&pruned["blobs"], &pruned["bytes"]), (&json!(0), &json!(0)));
    assert_eq!((&pruned["partials"], &pruned["partial_bytes"]), (&json!(1), &json!(10)));
    assert!(ingest.join("sha256-new").exists());
    registry.server.forget();
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "1 request");
}

#[tokio::test]
async fn what_verify_finds_the_next_pull_fetches_again() {
    let (registry, cli, held, name) = filled().await;
    let clean = cli.json(&["verify", "--json"]).await;
    assert_eq!((&clean["blobs"], &clean["bad"]), (&json!(4), &json!([])));

    let [base, app] = held.layers.as_slice() else { panic!("two layers") };
    // The right size with other bytes, which no look at the size can find.
    overwrite(&blob_path(&cli, base.digest()), &vec![0; base.bytes.len()]);
    std::fs::remove_file(blob_path(&cli, app.digest())).unwrap();
    let output = cli.run(&["verify", "--json", &name]).await;
    let report: Value =
        serde_json::from_str(&output.expect(5, "2 damaged or missing").stdout).unwrap();
    let bad = report["bad"].as_array().unwrap();
    assert_eq!(bad.len(), 2);
    for row in bad {
        let expected =
            if row["digest"] == json!(base.digest()) { "have digest" } else { "is missing" };
        assert!(row["why"].as_str().unwrap().contains(expected));
        assert_eq!((&row["images"], &row["repaired"]), (&json!([name]), &json!(false)));
    }
    let text = cli.run(&["verify"]).await;
    assert!(text.expect(5, "").stdout.contains(&format!("(needed by {name})")));

    let report = cli.json(&["--json", &name]).await;
    assert_eq!(report["bytes"]["transferred"], base.descriptor.size + app.descriptor.size);
    assert_eq!(registry.server.count(base.digest().as_str()), 2);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    assert_eq!(
        std::fs::read_dir(cli.store().join("unsynced")).unwrap().count(),
        2,
        "no doubt is left"
    );
}

#[tokio::test]
async fn a_damaged_manifest_is_fetched_again_without_being_asked() {
    let (_registry, cli, held, name) = filled().await;
    overwrite(&blob_path(&cli, held.manifest.digest()), b"{\"schemaVersion\":2}");
    cli.run(&[&name]).await.expect(0, "it counts as missing");
    let bytes = std::fs::read(blob_path(&cli, held.manifest.digest())).unwrap();
    assert_eq!(bytes, held.manifest.bytes);
}

#[tokio::test]
async fn the_umask_does_not_decide_who_reads_the_store() {
    let (registry, held) = (Registry::start().await, app(2));
    held.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    for umask in ["000", "077"] {
        let cli = Cli::new().env("RPULL_STORE", "");
        let line = format!("umask {umask}; exec \"$@\"");
        cli.spawn_in_shell(&line, &[&name]).wait().await.expect(0, "");
        let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o777;
        let store = cli.home().join(".local/share/rpull");
        // Whoever may rename a folder above the store could put another store in its place.
        for folder in ["../..", "..", "", "blobs", "blobs/sha256", "ingest", "unsynced"] {
            assert_eq!(mode(store.join(folder)), 0o700, "{folder} under {umask}");
        }
        for piece in held.blobs().chain([&held.manifest]) {
            let blob = store.join("blobs/sha256").join(piece.digest().encoded());
            assert_eq!(mode(blob), 0o444, "under {umask}");
        }
    }
}

#[tokio::test]
async fn stores_that_cannot_be_understood_are_refused_and_left_as_they_are() {
    for (file, text, why) in [
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "has version 2.0.0"),
        ("oci-layout", "", "is damaged"),
        ("index.json", "", "is empty"),
        ("index.json", "garbage", "is damaged"),
        ("index.json", r#"{"schemaVersion":1,"manifests":[]}"#, "is damaged"),
    ] {
        let (registry, cli, _, name) = filled().await;
        std::fs::write(cli.store().join(file), text).unwrap();
        registry.server.forget();
        for command in [vec!["images"], vec!["prune"], vec!["verify"], vec!["pull", &name]] {
            cli.run(&command).await.expect(7, why);
        }
        assert_eq!(std::fs::read_to_string(cli.store().join(file)).unwrap(), text);
        assert_eq!(registry.server.count("/blobs/"), 0);
        assert_eq!(std::fs::read_dir(cli.store().join("blobs/sha256")).unwrap().count(), 4);
    }
}

#[tokio::test]
async fn a_store_without_its_blobs_is_not_taken_for_an_empty_one() {
    let (registry, cli, _, name) = filled().await;
    let blobs = cli.store().join("blobs");
    std::fs::remove_dir_all(&blobs).unwrap();
    registry.server.forget();
    for command in [vec!["images"], vec!["prune"], vec!["verify"], vec!["pull", &name]] {
        cli.run(&command).await.expect(7, "store/blobs: is missing");
    }
    assert!(!blobs.exists() && registry.server.requests().is_empty());
}

#[tokio::test]
async fn a_blob_must_be_a_regular_file() {
    for kind in ["link", "pipe", "folder"] {
        let (_registry, cli, held, name) = filled().await;
        let path = blob_path(&cli, held.layers[0].digest());
        std::fs::remove_file(&path).unwrap();
        match kind {
            "link" => symlink("/etc/passwd", &path).unwrap(),
            "folder" => std::fs::create_dir(&path).unwrap(),
            _ => rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap(),
        }
        let output = cli.run(&[&name]).await;
        output.expect(7, "is not a regular file");
        cli.run(&["verify"]).await.expect(5, "1 damaged");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_to_is_told_before_anything_is_fetched() {
    let (registry, held) = (Registry::start().await, app(2));
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    std::fs::write(cli.store(), "a file").unwrap();
    cli.run(&[&name]).await.expect(7, "store");
    cli.run(&["--store", "/proc/nowhere", &name]).await.expect(7, "/proc");
    if !rustix::process::getuid().is_root() {
        let locked = cli.dir().join("locked");
        std::fs::create_dir(&locked).unwrap();
        std::fs::set_permissions(&locked, Permissions::from_mode(0o500)).unwrap();
        cli.run(&["--store", locked.join("store").to_str().unwrap(), &name])
            .await
            .expect(7, "locked");
    }
    assert!(registry.server.requests().is_empty());
    cli.run(&["-o", "oci:elsewhere", &name]).await.expect(0, "");
}

#[tokio::test]
async fn the_store_is_where_the_flag_the_variable_or_the_home_says() {
    let (registry, held) = (Registry::start().await, app(2));
    held.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    for (flag, variable, expected) in [
        (&["--store", "flag"][..], "variable", "flag"),
        (&[], "variable", "variable"),
        (&[], "", "home/.local/share/rpull"),
    ] {
        // A relative path is to be ignored, says the XDG specification.
        let cli = Cli::new().env("RPULL_STORE", variable).env("XDG_DATA_HOME", "relative");
        cli.run(&[flag, &[&name]].concat()).await.expect(0, "");
        assert!(cli.dir().join(expected).join("oci-layout").exists(), "{expected}");
    }
}
