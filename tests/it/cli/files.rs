//! `files` and `cat`: from the store, archives and registries; the lists of other tools; hostile names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::assert_harmless;
use crate::support::cli::{Cli, Output};
use crate::support::debian::Debian;
use crate::support::entries::{TarItem, layer_of, wrong_layers};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, assemble, image, layer, random_blob};
use crate::support::tars::write_to;

/// An image with a file, links and a directory, all changed by the upper layer.
fn sample() -> Image {
    let base = [
        TarItem::dir("etc").mode(0o755),
        TarItem::file("etc/one", "one\n").mode(0o640).owner(1, 2),
        TarItem::file("etc/two", "two\n").xattr("user.a", "1"),
        TarItem::dir("usr"),
        TarItem::symlink("usr/link", "../etc/one"),
        TarItem::dir("old"),
        TarItem::file("old/a", "12345"),
        TarItem::file("old/b", "123"),
    ];
    let upper = [
        TarItem::file("etc/one", "ONE!\n").mode(0o4755),
        TarItem::whiteout("etc/two"),
        TarItem::whiteout("old"),
        TarItem::file("etc/new", "new"),
        TarItem::hardlink("etc/hard", "etc/new"),
    ];
    image(Family::Oci, "amd64", &[layer_of(&base), layer_of(&upper)])
}

/// The parsed lines of `files --json`.
fn objects(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn paths(output: &Output, key: &str) -> Vec<String> {
    let text = |object: &Value| {
        format!("{} {}", object[key].as_str().unwrap(), object["path"].as_str().unwrap())
    };
    objects(output).iter().map(text).collect()
}

#[tokio::test]
async fn files_lists_changes_of_each_layer() {
    let cli = Cli::new();
    let place = write_to(&cli, &sample());
    let all = cli.run(&["files", &place]).await;
    all.expect(0, "");
    for line in [
        "layer 0  base  ",
        "A  drwxr-xr-x    0:0         -  /etc",
        "A  -rw-r-----    1:2       4 B  /etc/one",
        "/etc/two [user.a]",
        "/usr/link -> ../etc/one",
        "8 added, 0 modified, 0 deleted, 16 B",
        "M  -rwsr-xr-x    0:0       5 B  /etc/one  (hides 4 B)",
        "/etc/hard",
        "/etc/two [user.a]  (hides 4 B)",
        "/old  (hides 8 B in 2 files)",
        "2 added, 1 modified, 2 deleted, 8 B; hides 16 B in 4 files of lower layers",
    ] {
        assert!(all.stdout.contains(line), "{line}: {}", all.stdout);
    }
    let upper = cli.run(&["files", "--layer", "1", "--json", &place]).await;
    let wanted = ["A /etc/hard", "A /etc/new", "M /etc/one", "D /etc/two", "D /old"];
    assert_eq!(paths(&upper, "change"), wanted);
    let first = &objects(&upper)[2];
    assert_eq!((&first["mode"], &first["hidden"]), (&"4755".into(), &4.into()));
    assert_eq!(objects(&upper)[0]["hardlink"], "/etc/new");
    let some = cli.run(&["files", "--json", &place, "/etc/t*", "usr"]).await;
    assert_eq!(paths(&some, "change"), ["A /etc/two", "A /usr", "A /usr/link", "D /etc/two"]);
}

#[tokio::test]
async fn files_flat_lists_directory_of_image() {
    let cli = Cli::new();
    let place = write_to(&cli, &sample());
    let all = cli.run(&["files", "--flat", "--json", &place]).await;
    let wanted = [
        "directory /",
        "directory /etc",
        "file /etc/hard",
        "file /etc/new",
        "file /etc/one",
        "directory /usr",
        "symlink /usr/link",
    ];
    assert_eq!(paths(&all, "type"), wanted);
    let etc = cli.run(&["files", "--flat", "--json", &place, "/etc"]).await;
    assert_eq!(paths(&etc, "type"), wanted[1..5]);
    let tree = cli.run(&["files", "--flat", "--tree", &place, "/etc/"]).await;
    let names: Vec<_> = tree.stdout.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(names, ["etc/", "hard", "new", "one"]);
    cli.run(&["files", "--flat", &place, "/etc/two"])
        .await
        .expect(3, "/etc/two: not found in the image");
}

#[tokio::test]
async fn cat_prints_file_of_image_or_layer() {
    let cli = Cli::new();
    let place = write_to(&cli, &sample());
    for (args, wanted) in [
        (&["etc/one"][..], "ONE!\n"),
        (&["/usr/link"], "ONE!\n"),
        (&["usr/../etc/hard"], "new"),
        (&["--layer", "0", "/etc/one"], "one\n"),
        (&["--layer", "1", "etc/hard"], "new"),
    ] {
        let output = cli.run(&[&["cat", &place][..], args].concat()).await;
        output.expect(0, "");
        assert_eq!(output.stdout, wanted, "{args:?}");
    }
    for (args, code, message) in [
        (&["etc/two"][..], 3, "etc/two: not found in the image"),
        (&["etc"], 1, "etc: is a directory"),
        (&["--layer", "1", "etc/two"], 3, "is deleted by layer 1"),
        (&["--layer", "0", "usr/link"], 1, "is a symbolic link to `../etc/one`"),
        (&["--layer", "1", "old/a"], 3, "not in layer 1"),
        (&["--layer", "7", "x"], 3, "has no layer 7: the last of its 2 is 1"),
    ] {
        let output = cli.run(&[&["cat", &place][..], args].concat()).await;
        output.expect(code, message);
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn cat_of_large_file_has_exact_bytes() {
    let (cli, registry) = (Cli::new(), FakeRegistry::start().await);
    let bytes: Vec<u8> = random_blob(20_000_000, 3).iter().map(|byte| byte % 64 + 32).collect();
    let large = image(Family::Oci, "amd64", &[layer(&[("a", b"x"), ("b/large", &bytes)])]);
    large.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    let output = cli.run(&["cat", &name, "b/large"]).await;
    output.expect(0, "of 2 layers, not kept");
    assert!(output.stdout.as_bytes() == bytes);
    assert!(!cli.store().exists());
}

#[tokio::test]
async fn files_of_registry_transfers_missing_layers_only() {
    let (cli, registry) = (Cli::new(), FakeRegistry::start().await);
    let sample = sample();
    sample.publish(&registry, "a", Some("1"));
    let name = format!("{}:1", registry.repository("a"));
    let output = cli.run(&["files", &name]).await;
    let size: u64 = sample.layers.iter().map(|layer| layer.bytes.len() as u64).sum();
    output.expect(0, &format!("transferred {size} B of 2 layers, not kept, 4 requests"));
    assert!(!cli.store().exists());
    assert_eq!(registry.server.lines().len(), 4);
    cli.run(&["pull", &name]).await.expect(0, "");
    registry.server.forget();
    cli.run(&["files", &name]).await.expect(0, "");
    assert_eq!(registry.server.lines(), [""; 0]);
    let forced = cli.run(&["files", &format!("docker://{name}")]).await;
    forced.expect(0, "");
    assert!(!forced.stderr.contains("transferred"), "{}", forced.stderr);
    cli.run(&["files", "--offline", "nowhere.example/x:1"]).await.expect(3, "");
}

#[tokio::test]
async fn files_escapes_names_for_terminal() {
    let cli = Cli::new();
    let items = [
        TarItem::file("\u{1b}[31mred\n", "x"),
        TarItem::file(b"\xff\xfe", "x"),
        TarItem::symlink("link", "\u{1b}]0;title\u{7}"),
        TarItem::file("plain", "x").xattr("user.\u{202e}", "x"),
    ];
    let place = write_to(&cli, &image(Family::Oci, "amd64", &[layer_of(&items)]));
    for args in [&["files"][..], &["files", "--tree"], &["files", "--json"], &["files", "--flat"]] {
        let output = cli.run(&[args, &[&place]].concat()).await;
        output.expect(0, "");
        assert_harmless(&output);
    }
    let output = cli.run(&["files", "--json", &place]).await;
    let bytes: Vec<_> = objects(&output)
        .iter()
        .filter_map(|object| object["path_base64"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(bytes, ["L//+"]);
}

#[tokio::test]
async fn files_damaged_layer_is_integrity_error() {
    for (wrong, _, message) in wrong_layers(&layer_of(&[TarItem::file("a", "bytes")])) {
        let cli = Cli::new();
        let place = write_to(&cli, &image(Family::Oci, "amd64", &[wrong]));
        for command in [&["files", &place][..], &["cat", &place, "a"]] {
            let output = cli.run(command).await;
            output.expect(5, message);
            assert_eq!(output.stdout, "");
        }
    }
    let cli = Cli::new();
    let none = sample();
    let place = write_to(&cli, &assemble(Family::Oci, none.config, Vec::new()));
    cli.run(&["files", &place]).await.expect(1, "has no layers");
}

#[tokio::test]
async fn files_of_debian_match_umoci_tree() {
    let Some(debian) = Debian::get("files_of_debian_match_umoci_tree") else { return };
    let cli = Cli::new();
    let place = format!("oci:{}:top", debian.layout().display());
    let output = cli.run(&["files", "--flat", "--json", &place]).await;
    output.expect(0, "");
    let own: BTreeMap<String, Value> = objects(&output)
        .into_iter()
        .map(|object| (object["path"].as_str().unwrap().trim_start_matches('/').to_owned(), object))
        .collect();
    assert_eq!(own.len(), debian.tree.len());
    for node in debian.tree.iter().filter(|node| !node.path.is_empty()) {
        let found = &own[&node.path];
        let is_link = node.mode & 0o170_000 == 0o120_000;
        let mode = format!("{:04o}", node.mode & 0o7777);
        assert!(is_link || found["mode"] == mode, "{node:?} {found}");
        assert_eq!((&found["uid"], &found["gid"]), (&node.owner.0.into(), &node.owner.1.into()));
        if is_link {
            assert_eq!(found["link"].as_str().unwrap().as_bytes(), node.bytes, "{node:?}");
        } else {
            assert_eq!(found["size"], node.bytes.len(), "{node:?}");
        }
        if found["type"] == "file" {
            let names = debian.tree.iter().filter(|other| other.same_as == node.same_as).count();
            assert_eq!(found["names"], names, "{node:?}");
        }
    }
}

#[tokio::test]
async fn files_path_not_found_is_error_everywhere() {
    let cli = Cli::new();
    let place = write_to(&cli, &sample());
    for flags in [&[][..], &["--flat"], &["--json"], &["--layer", "1"], &["--flat", "--json"]] {
        for paths in [&["nope"][..], &["etc", "nope"]] {
            let output = cli.run(&[&["files", &place], paths, flags].concat()).await;
            output.expect(3, "nope: not found in ");
            let is_json = flags.contains(&"--json");
            assert!(is_json || output.stdout.is_empty(), "{flags:?} {paths:?}");
            assert!(!output.stdout.contains("etc"), "{}", output.stdout);
        }
        cli.run(&[&["files", &place, "*.nope"], flags].concat()).await.expect(0, "");
    }
    cli.run(&["files", &place, "usr", "--layer", "1"]).await.expect(3, "not found in layer 1");
    let both = cli.run(&["diff", "--files", &place, &place, "nope"]).await;
    both.expect(3, "nope: not found in the images");
    cli.run(&["diff", "--files", &place, &place, "/etc"]).await.expect(0, "");
    let one = cli.run(&["files", &place, "old"]).await;
    assert!(one.stdout.contains("3 added, 0 modified, 0 deleted, 8 B\n"), "{}", one.stdout);
    assert!(
        one.stdout.ends_with(
            "0 added, 0 modified, 1 deleted, 0 B; hides 8 B in 2 files of lower layers\n"
        ),
        "{}",
        one.stdout
    );
}
