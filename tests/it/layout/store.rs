//! The local store through its commands: names, sizes, permissions, stores that cannot be used.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{app, blob_path, filled};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};

#[tokio::test]
async fn images_tag_and_rm_change_the_list() {
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

    cli.run(&["tag", &name, "mine"]).await.expect(0, "as docker.io/library/mine:latest");
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
async fn tag_and_rm_json_report_names() {
    let (_registry, cli, held, name) = filled().await;
    let mine = "docker.io/library/mine:latest";
    let tagged = cli.report(&["tag", "--json", &name, "mine"]).await;
    let digest = held.manifest.digest();
    assert_eq!(tagged, json!({"source": name, "reference": mine, "digest": digest}));
    let one = cli.report(&["rm", "--json", "mine"]).await;
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
async fn layer_listed_twice_counts_once() {
    let registry = FakeRegistry::start().await;
    let (twice, top) = (layer(&[("a", &random_blob(9_000, 1))]), layer(&[("b", b"b")]));
    let held = image(Family::Oci, "amd64", &[twice.clone(), top, twice]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    let pulled = cli.report(&["--json", &name]).await;
    assert_eq!(cli.json(&["images", "--json"]).await[0]["size"], pulled["bytes"]["total"]);
    assert_eq!(cli.json(&["inspect", "--json", &name]).await["size"], pulled["bytes"]["total"]);
}

#[tokio::test]
async fn store_absent_is_empty_and_not_created() {
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
async fn store_permissions_ignore_umask() {
    let (registry, held) = (FakeRegistry::start().await, app(2));
    held.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    for umask in ["000", "077"] {
        let cli = Cli::new().env("RPULL_STORE", "");
        let line = format!("umask {umask}; exec \"$@\"");
        cli.spawn_in_shell(&line, &[&name]).wait().await.expect(0, "");
        let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o777;
        let store = cli.home().join(".local/share/rpull");
        // A user who may rename a parent directory could replace the store.
        for dir in ["../..", "..", "", "blobs", "blobs/sha256", "ingest", "unsynced"] {
            assert_eq!(mode(store.join(dir)), 0o700, "{dir} under {umask}");
        }
        for piece in held.blobs().chain([&held.manifest]) {
            let blob = store.join("blobs/sha256").join(piece.digest().encoded());
            assert_eq!(mode(blob), 0o444, "under {umask}");
        }
    }
}

#[tokio::test]
async fn store_unreadable_is_refused_and_unchanged() {
    for (file, text, why) in [
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "unsupported layout version 2.0.0"),
        ("oci-layout", "", "is corrupt"),
        ("index.json", "", "is empty"),
        ("index.json", "garbage", "is corrupt"),
        ("index.json", r#"{"schemaVersion":1,"manifests":[]}"#, "is corrupt"),
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
async fn store_without_blobs_directory_is_refused() {
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
async fn store_blob_must_be_regular_file() {
    for kind in ["link", "pipe", "dir"] {
        let (_registry, cli, held, name) = filled().await;
        let path = blob_path(&cli, held.layers[0].digest());
        std::fs::remove_file(&path).unwrap();
        match kind {
            "link" => symlink("/etc/passwd", &path).unwrap(),
            "dir" => std::fs::create_dir(&path).unwrap(),
            _ => rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap(),
        }
        let output = cli.run(&[&name]).await;
        output.expect(7, "is not a regular file");
        cli.run(&["verify"]).await.expect(5, "1 corrupt");
    }
}

#[tokio::test]
async fn store_unwritable_fails_before_any_request() {
    let (registry, held) = (FakeRegistry::start().await, app(2));
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
async fn store_location_follows_flag_variable_home() {
    let (registry, held) = (FakeRegistry::start().await, app(2));
    held.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    for (flag, variable, expected) in [
        (&["--store", "flag"][..], "variable", "flag"),
        (&[], "variable", "variable"),
        (&[], "", "home/.local/share/rpull"),
    ] {
        // The XDG specification says that a relative path must be ignored.
        let cli = Cli::new().env("RPULL_STORE", variable).env("XDG_DATA_HOME", "relative");
        cli.run(&[flag, &[&name]].concat()).await.expect(0, "");
        assert!(cli.dir().join(expected).join("oci-layout").exists(), "{expected}");
    }
}
