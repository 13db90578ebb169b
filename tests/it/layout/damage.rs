//! Damage on the local disk: reported at once, and never as an error of the network.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{app, blob_path, filled};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::samples::{published, stored};

/// Damage to a blob, the exit code and a part of the message.
const DAMAGES: [(&str, i32, &str); 5] = [
    ("cut", 5, "is corrupt: expected"),
    ("empty", 5, "is corrupt: expected"),
    ("longer", 5, "longer than"),
    ("changed", 5, "digest mismatch: got"),
    ("dir", 7, "is not a regular file"),
];

fn damage(path: &Path, how: &str) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    match how {
        "cut" => std::fs::write(path, &bytes[..100]).unwrap(),
        "empty" => std::fs::write(path, "").unwrap(),
        "longer" => std::fs::write(path, [&bytes[..], b"more"].concat()).unwrap(),
        "changed" => std::fs::write(path, vec![b'x'; bytes.len()]).unwrap(),
        _ => std::fs::create_dir(path).unwrap(),
    }
}

#[tokio::test]
async fn damaged_blob_fails_without_retry() {
    for (how, code, words) in DAMAGES {
        let (cli, name, to, held) = stored(50_000).await;
        let target = to.repository("x") + ":1";
        cli.run(&["copy", &format!("store:{name}"), "oci:l:x"]).await.expect(0, "");
        let file = Path::new("blobs/sha256").join(held.layers[0].digest().encoded());
        damage(&cli.store().join(&file), how);
        damage(&cli.dir().join("l").join(&file), how);
        for words_of in [
            &["save", &name, "-o", "s.tar"][..],
            &["push", &name, &target],
            &["copy", "oci:l:x", &target],
            &["copy", "oci:l:x", "oci-archive:a.tar:x"],
            &["copy", "oci:l:x", "oci:m:x"],
        ] {
            let output = cli.run(words_of).await;
            output.expect(code, words);
            let hint = "hint: run `rpull verify --repair IMAGE`";
            assert_eq!(output.stderr.contains(hint), code == 5, "{how}: {}", output.stderr);
            assert!(!output.stderr.contains("retrying"), "{how} {words_of:?}: {}", output.stderr);
            assert!(!output.stderr.contains("tried"), "{how} {words_of:?}: {}", output.stderr);
        }
        assert_eq!(to.tagged("x", "1"), None);
    }
}

#[tokio::test]
async fn unreadable_blob_is_store_error() {
    let (cli, name, to, held) = stored(50_000).await;
    let cli = cli.without_privileges();
    let file = cli.store().join("blobs/sha256").join(held.layers[0].digest().encoded());
    std::fs::set_permissions(&file, Permissions::from_mode(0o0)).unwrap();
    for words in
        [&["save", &name, "-o", "s.tar"][..], &["push", &name, &(to.repository("x") + ":1")]]
    {
        cli.run(words).await.expect(7, "ermission denied");
    }
}

#[tokio::test]
async fn usage_with_unreadable_manifest_is_unknown() {
    let (registry, cli, held, name) = filled().await;
    let other = registry.repository("team/app:2");
    app(3).publish(&registry, "team/app", Some("2"));
    cli.run(&["-q", &other]).await.expect(0, "");
    let manifest = blob_path(&cli, held.manifest.digest());
    let hint = "hint: run `rpull verify --repair` to fetch it again, or `rpull rm`";
    for bytes in [Some("bad"), None] {
        std::fs::remove_file(&manifest).unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(&manifest, bytes).unwrap();
        }
        let output = cli.run(&["df", "--json"]).await;
        output.expect(0, &format!("of {name} (")).expect(0, hint);
        let df: Value = serde_json::from_str(&output.stdout).unwrap();
        let (damaged, whole) = (&df["images"][0], &df["images"][1]);
        for key in ["size", "shared", "unique", "frees"] {
            assert_eq!(damaged[key], Value::Null, "{key}: {df}");
        }
        assert!(whole["size"].as_u64() > Some(23_000), "{df}");
        assert_eq!(whole["frees"], Value::Null, "nothing can be pruned");
        assert_eq!(df["unreferenced"], 0, "{df}");
        assert!(df["unknown"].as_u64() > Some(3_000), "{df}");
        assert_eq!(df["registries"][0]["size"], Value::Null, "{df}");
        let images = cli.run(&["images", "--json"]).await;
        images.expect(0, hint);
        let images: Value = serde_json::from_str(&images.stdout).unwrap();
        assert_eq!(images[0]["size"], Value::Null, "{images}");
        assert!(images[1]["size"].as_u64() > Some(20_000), "{images}");
        assert!(cli.run(&["images"]).await.stdout.contains(" unknown\n"));
        let text = cli.run(&["df"]).await;
        let is_told = text.stdout.contains(" unreferenced or of unreadable images\n");
        assert!(is_told && text.stdout.contains(" unknown "), "{}", text.stdout);
        cli.run(&["report", "--store", "-o", "r.html"]).await.expect(0, hint);
        for words in [&["prune"][..], &["prune", "--plan"], &["rm", "--keep", "1", "--plan"]] {
            cli.run(words).await.expect(7, "nothing was deleted").expect(7, hint);
        }
        if bytes.is_none() {
            cli.run(&["rm", &name]).await.expect(0, "");
            cli.run(&["prune"]).await.expect(0, "");
        }
    }
    assert_eq!(cli.json(&["df", "--json"]).await["unknown"], 0);
}

#[tokio::test]
async fn index_json_malformed_is_refused_by_every_command() {
    let (registry, _, name) = published().await;
    let (cli, name) = (Cli::new(), name + ":1");
    cli.run(&[&name]).await.expect(0, "");
    let blobs = || std::fs::read_dir(cli.store().join("blobs/sha256")).unwrap().count();
    let there = blobs();
    let target = registry.repository("x") + ":1";
    for text in [
        r#"{"schemaVersion":2,"manifests":null}"#,
        r#"{"schemaVersion":2}"#,
        r#"{"schemaVersion":2,"manifests":{}}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"Manifests":[]}"#,
        r#"{"schemaVersion":1,"schemaVersion":2,"manifests":[]}"#,
        "{}",
        "",
        "no JSON",
    ] {
        std::fs::write(cli.store().join("index.json"), text).unwrap();
        for words in [
            &["prune"][..],
            &["prune", "--plan"],
            &["images"],
            &["df"],
            &["verify"],
            &["verify", &name],
            &["rm", &name],
            &["tag", &name, "other:1"],
            &["push", &name, &target],
            &["save", &name, "-o", "s.tar"],
            &["inventory"],
            &["history", "--offline", &name],
            &["unpack", &name, "root"],
            &["pull", &name],
        ] {
            cli.run(words).await.expect(7, "index.json");
            assert_eq!(blobs(), there, "{text} {words:?}");
        }
        // The history comes from the registry, with a warning about the store.
        cli.run(&["history", &name]).await.expect(0, "index.json");
        let kept = std::fs::read_to_string(cli.store().join("index.json")).unwrap();
        assert_eq!(kept, text, "nothing is repaired by guessing");
    }
}

#[tokio::test]
async fn layout_with_null_manifests_is_empty() {
    let (cli, name, _to, _) = stored(1_000).await;
    let layout = cli.dir().join("l");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    std::fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())
        .unwrap();
    std::fs::write(layout.join("index.json"), r#"{"schemaVersion":2,"manifests":null}"#).unwrap();
    cli.run(&["copy", &format!("store:{name}"), "oci:l:x"]).await.expect(0, "");
    cli.run(&["history", "oci:l:x"]).await.expect(0, "");
}

#[tokio::test]
async fn damaged_store_is_reported_if_registry_lacks_image() {
    let (cli, name, _to, held) = stored(1_000).await;
    let without_it = FakeRegistry::start().await;
    let moved = without_it.repository("app") + ":1";
    cli.run(&["tag", &name, &moved]).await.expect(0, "");
    damage(&cli.store().join("blobs/sha256").join(held.config.digest().encoded()), "cut");
    for words in [&["history"][..], &["layers"], &["inspect"], &["export", "-o", "x.tar"]] {
        cli.run(&[words, &[&moved]].concat()).await.expect(5, "is corrupt: expected");
    }
    cli.run(&["unpack", &moved, "root"]).await.expect(5, "is corrupt: expected");
}

#[tokio::test]
async fn missing_layer_is_read_from_registry() {
    let (_registry, cli, held, name) = filled().await;
    let layer = blob_path(&cli, held.layers[1].digest());
    let verbs = [
        &["files"][..],
        &["analyze"],
        &["report", "-o", "r.html"],
        &["export", "-o", "x.tar"],
        &["unpack"],
    ];
    for (number, bytes) in [None, Some("short")].into_iter().enumerate() {
        for verb in verbs {
            drop(std::fs::remove_file(&layer));
            if let Some(bytes) = bytes {
                std::fs::write(&layer, bytes).unwrap();
            }
            let root = format!("root{number}");
            let mut words = [verb, &[&name]].concat();
            if verb[0] == "unpack" {
                words.push(&root);
            }
            cli.run(&words).await.expect(0, "; falling back to the registry");
        }
        assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]), "unpack pulls it");
    }
    std::fs::remove_file(&layer).unwrap();
    let hint = "hint: run `rpull verify --repair IMAGE`";
    cli.run(&["files", "--offline", &name]).await.expect(3, "not in the store").expect(3, hint);
    cli.run(&["files", &format!("store:{name}")]).await.expect(3, hint);
    cli.run(&["verify"]).await.expect(5, "hint: pass `--repair`");
}
