//! `diff --files`: paths that differ, the cost of files, what is read, and what GNU diff says of two unpacked trees.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::tars::write_to;

/// Two images with a common base; the second deletes, changes and adds.
fn samples() -> [Image; 2] {
    let base = layer_of(&[
        TarItem::dir("etc"),
        TarItem::file("etc/same", "same\n"),
        TarItem::file("etc/text", "old text\n").mode(0o644),
        TarItem::file("etc/mode", "mode\n").mode(0o644),
        TarItem::symlink("etc/link", "same"),
        TarItem::file("etc/kind", "a file\n"),
    ]);
    let a = [
        TarItem::dir("gone"),
        TarItem::file("gone/moved", "moves to another path\n"),
        TarItem::file("gone/lost", "lost\n"),
        TarItem::whiteout("etc/same"),
    ];
    let b = [
        TarItem::whiteout("etc/same"),
        TarItem::file("etc/text", "the new text\n").mode(0o644),
        TarItem::file("etc/mode", "mode\n").mode(0o4755).owner(1, 2),
        TarItem::symlink("etc/link", "text"),
        TarItem::dir("etc/kind"),
        TarItem::dir("new"),
        TarItem::file("new/moved", "moves to another path\n"),
        TarItem::file("new/one", "twice the same\n"),
        TarItem::file("new/two", "twice the same\n"),
        TarItem::hardlink("new/hard", "new/one"),
    ];
    [a.as_slice(), &b].map(|own| image(Family::Oci, "amd64", &[base.clone(), layer_of(own)]))
}

fn changes(diff: &Value) -> Vec<String> {
    let text = |change: &Value| {
        let aspects = change["differs"].as_array().unwrap().iter();
        let aspects: Vec<_> = aspects.map(|aspect| aspect.as_str().unwrap()).collect();
        let [letter, path] = ["change", "path"].map(|key| change[key].as_str().unwrap());
        format!("{letter} {path} {}", aspects.join(" ")).trim_end().to_owned()
    };
    diff["files"]["changes"].as_array().unwrap().iter().map(text).collect()
}

/// Publishes both, and returns their names.
async fn published(images: &[Image; 2]) -> (FakeRegistry, [String; 2]) {
    let registry = FakeRegistry::start().await;
    let names = ["1", "2"].map(|tag| format!("{}:{tag}", registry.repository("app")));
    for (image, tag) in images.iter().zip(["1", "2"]) {
        image.publish(&registry, "app", Some(tag));
    }
    (registry, names)
}

#[tokio::test]
async fn diff_files_lists_paths_and_costs() {
    let (_registry, [a, b]) = published(&samples()).await;
    let cli = Cli::new();
    let diff = cli.json(&["diff", "--files", "--json", &a, &b]).await;
    let wanted = [
        "M /etc/kind type mode",
        "M /etc/link link",
        "M /etc/mode mode owner",
        "M /etc/text content",
        "D /gone",
        "D /gone/lost",
        "D /gone/moved",
        "A /new",
        "A /new/hard",
        "A /new/moved",
        "A /new/one",
        "A /new/two",
    ];
    assert_eq!(changes(&diff), wanted);
    let (text, twice, moved) = (13, 15, 22);
    let files = &diff["files"];
    assert_eq!(files["added"], json!({"paths": 5, "bytes": moved + 2 * twice}));
    assert_eq!(files["changed"], json!({"paths": 4, "bytes": text + 5}));
    assert_eq!(files["removed"], json!({"paths": 3, "bytes": 5 + moved}));
    assert_eq!(files["pull"], json!({"files": 2, "bytes": text + twice}));
    let mode = &files["changes"][2];
    assert_eq!((&mode["a"]["mode"], &mode["b"]["mode"]), (&json!("0644"), &json!("4755")));
    assert_eq!(files["changes"][4]["b"], Value::Null);
    assert_eq!(diff["shared"]["layers"], 1);

    let same = cli.json(&["diff", "--files", "--json", &b, &b]).await;
    assert_eq!((changes(&same), &same["files"]["pull"]["bytes"]), (Vec::new(), &json!(0)));
    let text = cli.run(&["diff", "--files", &a, &b]).await;
    text.expect(0, "");
    for line in [
        "pull      ",
        "\nFILES\n",
        "M  drwxr-xr-x    0:0         -  /etc/kind  (was file, was 0644)",
        "/etc/link -> text  (was -> same)",
        "M  -rwsr-xr-x    1:2       5 B  /etc/mode  (was 0644, was 0:0)",
        "/etc/text  (was 9 B)",
        "D  -rw-r--r--    0:0       5 B  /gone/lost",
        "added     52 B in 5 paths",
        "changed   18 B in 4 paths",
        "removed   27 B in 3 paths",
        "pull      28 B in 2 files for B on a host with the files of A",
    ] {
        assert!(text.stdout.contains(line), "{line}: {}", text.stdout);
    }
}

#[tokio::test]
async fn diff_files_filters_paths() {
    let (_registry, [a, b]) = published(&samples()).await;
    let cli = Cli::new();
    let diff = cli.json(&["diff", "--files", "--json", &a, &b, "/new/t*", "gone"]).await;
    assert_eq!(changes(&diff), ["D /gone", "D /gone/lost", "D /gone/moved", "A /new/two"]);
    assert_eq!(diff["files"]["pull"], json!({"files": 1, "bytes": 15}));
    cli.run(&["diff", &a, &b, "etc"]).await.expect(2, "--files");
    cli.run(&["diff", "--files", &a, &b, "a/["]).await.expect(2, "pattern `a/[`");
}

#[tokio::test]
async fn diff_files_reads_each_layer_once() {
    let images = samples();
    let (registry, [a, b]) = published(&images).await;
    let cli = Cli::new();
    registry.server.forget();
    cli.run(&["diff", "--files", &a, &b]).await.expect(0, "transferred");
    assert_eq!(registry.server.requests().len(), 4 + 3, "two documents each, three layers");
    assert!(!cli.store().exists());
    cli.run(&[&b]).await.expect(0, "");
    registry.server.forget();
    cli.run(&["diff", "--files", &a, &b]).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), 2 + 1, "B is local, and with it the base");
    for place in ["oci:layout", "oci-archive:image.tar", "docker-archive:docker.tar"] {
        cli.run(&["copy", &a, place]).await.expect(0, "");
        let diff = cli.json(&["diff", "--files", "--json", place, &b]).await;
        assert_eq!(changes(&diff).len(), 12, "{place}");
    }
}

#[tokio::test]
async fn diff_files_names_image_of_damaged_layer() {
    let images = samples();
    let (registry, [a, b]) = published(&images).await;
    let own = images[1].layers[1].digest();
    registry.override_response(own.encoded(), 0..9, |mut reply| {
        reply.body = random_blob(reply.body.len(), 1).into();
        reply
    });
    let failed = Cli::new().run(&["diff", "--files", "--retries", "0", &a, &b]).await;
    failed.expect(5, own.as_str());
    assert!(failed.stdout.is_empty(), "{}", failed.stdout);
}

#[tokio::test]
async fn diff_files_without_layer_compares_layers() {
    let images = samples();
    let (registry, [a, b]) = published(&images).await;
    let cli = Cli::new();
    for name in [&a, &b] {
        cli.run(&[name]).await.expect(0, "");
    }
    let own = images[1].layers[1].digest();
    std::fs::remove_file(cli.store().join("blobs/sha256").join(own.encoded())).unwrap();
    let files = ["diff", "--files", "--retries", "0", &a, &b];
    let whole = cli.run(&files).await;
    whole.expect(0, "falling back to the registry");
    assert!(whole.stdout.contains("FILES"), "{}", whole.stdout);

    registry.override_response(own.encoded(), 0..9, |_| Reply::new(404, ""));
    let failed = Cli::new().run(&files).await;
    let reason = "error: compare files: ";
    failed.expect(3, reason).expect(3, "; only the layers are compared");
    assert!(failed.stdout.contains("only B"), "{}", failed.stdout);
    drop(registry);
    for offline in [&["--offline"][..], &[]] {
        let failed = cli.run(&[&files[..], offline].concat()).await;
        failed.expect(3, reason).expect(3, own.as_str()).expect(3, "rpull verify --repair");
        assert!(failed.stdout.contains("only B") && !failed.stdout.contains("FILES"));
    }
    let output = cli.run(&[&files[..], &["--json"]].concat()).await;
    let diff: Value = serde_json::from_str(&output.expect(3, "").stdout).unwrap();
    assert_eq!(
        (&diff["error"]["kind"], &diff["only_b"]["layers"]),
        (&json!("not_found"), &json!(1))
    );
}

#[tokio::test]
async fn diff_files_escapes_names_for_terminal() {
    let images = [&b"1"[..], b"2"].map(|bytes| {
        let hostile = layer(&[("a\u{1b}[2J\u{202e}", bytes)]);
        image(Family::Oci, "amd64", &[hostile])
    });
    let (_registry, [a, b]) = published(&images).await;
    let cli = Cli::new();
    for words in [&["diff", "--files", &a, &b][..], &["diff", "--files", "--json", &a, &b]] {
        assert_harmless(cli.run(words).await.expect(0, ""));
    }
    let diff = cli.json(&["diff", "--files", "--json", &a, &b]).await;
    assert_eq!(changes(&diff), ["M /a\u{1b}[2J\u{202e} content"]);
}

/// The paths that GNU diff reports for two directories, with all that is below one that only one of them has.
fn gnu_diff(cli: &Cli) -> BTreeSet<String> {
    let output = Command::new("diff")
        .args(["--recursive", "--brief", "--no-dereference", "--new-file", "a", "b"])
        .env("LC_ALL", "C")
        .current_dir(cli.dir())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let path = |line: &str| {
        let path = line.split(" a/").nth(1).unwrap_or_else(|| panic!("{line}"));
        format!("/{}", path.split(' ').next().unwrap())
    };
    text.lines().map(path).collect()
}

#[tokio::test]
async fn diff_files_match_gnu_diff() {
    if !needs("diff_files_match_gnu_diff", &["diff"]) {
        return;
    }
    let images = samples();
    let cli = Cli::new();
    let place = write_to(&cli, &images[0]);
    cli.run(&["unpack", &place, "a"]).await.expect(0, "");
    cli.run(&["copy", &place, "oci:first"]).await.expect(0, "");
    let place = write_to(&cli, &images[1]);
    cli.run(&["unpack", &place, "b"]).await.expect(0, "");
    let diff = cli.json(&["diff", "--files", "--json", "oci:first", &place]).await;
    let found = diff["files"]["changes"].as_array().unwrap().iter().filter(|change| {
        let aspects = change["differs"].as_array().unwrap();
        let is_directory = |side: &str| change[side]["type"] == "directory";
        // GNU diff knows no metadata, and with `--new-file` takes an absent directory for an empty one.
        match (change["a"].is_null(), change["b"].is_null()) {
            (true, _) => !is_directory("b"),
            (_, true) => !is_directory("a"),
            _ => aspects.iter().any(|aspect| aspect != "mode" && aspect != "owner"),
        }
    });
    let found: BTreeSet<_> =
        found.map(|change| change["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, gnu_diff(&cli));
}
