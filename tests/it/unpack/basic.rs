//! `unpack`: an image from any location into a directory, complete or absent.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use rpull::layer::DiffIdReader;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of, tar, wrong_layers};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, Layer, gzip, image, index, layer, random_blob};
use crate::support::live::{is_root, needs};
use crate::support::samples::published;
use crate::support::tars;
use crate::support::tree::{self, names};

/// Two layers of which the upper one hides a file.
fn sample() -> Image {
    let base = layer_of(&[
        TarItem::dir("etc"),
        TarItem::file("etc/gone", "gone"),
        TarItem::file("etc/kept", "kept").mode(0o640),
        TarItem::file("big", random_blob(700_000, 1)),
    ]);
    let upper =
        layer_of(&[TarItem::whiteout("etc/gone"), TarItem::file("bin/app", "app").mode(0o755)]);
    image(Family::Oci, "amd64", &[base, upper])
}

const TREE: [&str; 5] = ["big", "bin/", "bin/app", "etc/", "etc/kept"];

fn zstd(tar: &[u8]) -> Layer {
    let bytes = zstd::encode_all(tar, 1).unwrap().into();
    Layer { diff_id: rpull::digest::Digest::sha256(tar), bytes }
}

/// Asserts that neither the target nor a staging directory exists.
#[track_caller]
fn assert_nothing_left(dir: &Path, target: &str) {
    let left: Vec<_> = names(dir).into_iter().filter(|name| name.contains("rpull-")).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(dir.join(target).symlink_metadata().is_err(), "{target} is there");
}

#[tokio::test]
async fn unpack_from_every_location_gives_same_tree() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let held = sample();
    held.publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    let archive = tars::write_to(&cli, &held);
    cli.run(&["copy", &archive, "oci:layout"]).await.expect(0, "");
    cli.run(&["copy", &archive, "docker-archive:docker.tar"]).await.expect(0, "");
    let docker = format!("docker://{name}");
    let mut trees = Vec::new();
    for (number, place) in [&archive, "oci:layout", "docker-archive:docker.tar", &docker, &name]
        .into_iter()
        .enumerate()
    {
        let target = format!("root{number}");
        let output = cli.run(&["unpack", place, &target]).await;
        output.expect(0, "unpacked 2 layers, 4 files, 700.0 kB, ");
        assert_eq!(output.stdout, format!("{target}\n"));
        assert_eq!(names(&cli.dir().join(&target)), TREE, "{place}");
        trees.push(tree::nodes(&cli.dir().join(&target), &[]));
    }
    assert!(trees.windows(2).all(|pair| pair[0] == pair[1]), "{trees:?}");
    // The last one is in the store now, and is unpacked without a request.
    let before = registry.server.requests().len();
    cli.run(&["unpack", "--offline", &name, "again"]).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), before);
    let images = cli.json(&["images", "--json"]).await;
    assert_eq!(images.as_array().unwrap().len(), 1, "docker:// alone keeps nothing");
}

#[tokio::test]
async fn unpack_no_store_keeps_no_image() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&["unpack", "--no-store", &format!("{name}:1"), "root"]).await.expect(0, "");
    assert_eq!(names(&cli.dir().join("root")), ["app", "base"]);
    assert!(!cli.store().exists());
    cli.run(&["unpack", "--offline", &format!("{name}:1"), "other"]).await.expect(3, "--offline");
    assert_nothing_left(cli.dir(), "other");
}

#[tokio::test]
async fn unpack_json_reports_layers_and_totals() {
    let cli = Cli::new();
    let held = sample();
    let archive = tars::write_to(&cli, &held);
    let told = cli.json(&["unpack", "--json", &archive, "root"]).await;
    let number = |key: &str| told[key].as_u64().unwrap();
    assert_eq!((number("files"), number("entries"), number("bytes")), (4, 6, 700_011));
    assert_eq!(told["digest"], json!(held.manifest.digest()));
    assert_eq!((&told["directory"], &told["platform"]), (&json!("root"), &json!("linux/amd64")));
    let rows = told["layers"].as_array().unwrap();
    for (row, layer) in rows.iter().zip(&held.layers) {
        assert_eq!(
            (&row["digest"], &row["size"]),
            (&json!(layer.digest()), &json!(layer.descriptor.size))
        );
        assert!(row["uncompressed_size"].as_u64().unwrap() % 512 == 0);
    }
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn unpack_selects_requested_platform() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let for_platform = |name| image(Family::Oci, name, &[layer(&[(name, b"x")])]);
    index(Family::Oci, &[("arm64", for_platform("arm64")), ("s390x", for_platform("s390x"))])
        .publish(&registry, "team/app", "1");
    let name = format!("{}:1", registry.repository("team/app"));
    cli.run(&["unpack", "--platform", "linux/s390x", &name, "root"]).await.expect(0, "");
    assert_eq!(names(&cli.dir().join("root")), ["s390x"]);
    cli.run(&["unpack", "--platform", "linux/mips", &name, "other"]).await.expect(3, "linux/s390x");
    assert_nothing_left(cli.dir(), "other");
}

#[tokio::test]
async fn layer_compression_is_detected_by_content() {
    let cli = Cli::new();
    let plain = tar(&[TarItem::file("plain", "1")]);
    let layers = [
        Layer { diff_id: rpull::digest::Digest::sha256(&plain), bytes: plain.into() },
        zstd(&tar(&[TarItem::file("zstd", "2")])),
        gzip(&tar(&[])),
    ];
    let archive = tars::write_to(&cli, &image(Family::Docker, "amd64", &layers));
    cli.run(&["unpack", &archive, "root"]).await.expect(0, "");
    assert_eq!(names(&cli.dir().join("root")), ["plain", "zstd"]);
    let xz = Layer { bytes: b"\xfd7zXZ\0".to_vec().into(), ..layers[0].clone() };
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[xz]));
    cli.run(&["unpack", &archive, "other"]).await.expect(1, "is compressed with xz");
    assert_nothing_left(cli.dir(), "other");
}

#[tokio::test]
async fn unpack_invalid_layer_leaves_nothing() {
    let cli = Cli::new();
    let good = layer_of(&[TarItem::file("good", "x")]);
    let unknown = layer_of(&[TarItem::file("ok", ""), TarItem::new(b'Q', "odd")]);
    let twice = gzip(&good.bytes);
    let more = [
        (unknown, 7, ": ok: has an entry of the unknown type 'Q'"),
        (twice, 7, ": is compressed twice: a tool has compressed gzip data again"),
    ];
    for (bad, code, words) in wrong_layers(&good).into_iter().chain(more) {
        let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[good.clone(), bad]));
        let output = cli.run(&["unpack", &archive, "root"]).await;
        output.expect(code, words);
        assert!(output.stderr.contains("error: layer sha256:"), "{}", output.stderr);
        assert_nothing_left(cli.dir(), "root");
    }
    // As many layers as the config has diff_ids.
    let mut config: Value = serde_json::from_slice(&sample().config.bytes).unwrap();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    let broken = crate::support::images::with_config(&sample(), &config);
    let archive = tars::write_to(&cli, &broken);
    cli.run(&["unpack", &archive, "root"]).await.expect(5, "has 2 layers and 1 diff_ids");
    assert_nothing_left(cli.dir(), "root");
}

#[tokio::test]
async fn bomb_guard_counts_all_layers_together() {
    // Empty tars, each with fewer zeros after its end than one layer may have.
    let size = 600 << 20;
    let zeros = || std::io::Read::take(std::io::repeat(0), size);
    let mut bytes = Vec::new();
    zstd::stream::copy_encode(zeros(), &mut bytes, 1).unwrap();
    let mut hashed = DiffIdReader::new(BufReader::new(zeros()));
    std::io::copy(&mut hashed, &mut std::io::sink()).unwrap();
    let part = Layer { diff_id: hashed.finish(), bytes: bytes.into() };
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", std::slice::from_ref(&part)));
    cli.run(&["unpack", &archive, "one"]).await.expect(0, "");
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[part.clone(), part]));
    cli.run(&["unpack", &archive, "root"]).await.expect(7, "likely a decompression bomb");
    assert_nothing_left(cli.dir(), "root");
}

#[tokio::test]
async fn unpack_damaged_store_blob_is_mismatch() {
    let (_registry, [first, _], name) = published().await;
    let cli = Cli::new();
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    let layer = &first.layers[0];
    let path = cli.store().join("blobs/sha256").join(layer.digest().encoded());
    for at in [0, layer.bytes.len() / 2, layer.bytes.len() - 1] {
        let mut bytes = layer.bytes.to_vec();
        bytes[at] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let output = cli.run(&["unpack", &format!("store:{name}:1"), "root"]).await;
        output.expect(5, &format!("content {}", layer.digest()));
        assert_nothing_left(cli.dir(), "root");
    }
}

#[tokio::test]
async fn unpack_target_must_be_absent_or_empty() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let dir = cli.dir();
    for name in ["full", "empty", "real"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    fs::write(dir.join("full/file"), "mine").unwrap();
    fs::write(dir.join("file"), "mine").unwrap();
    std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
    for (target, why) in [
        ("full", "directory not empty"),
        ("file", "not a directory"),
        ("link", "is a symbolic link"),
        ("link/", "is a symbolic link"),
        ("gone/root", "No such file"),
        ("file/root", "Not a directory"),
        ("..", "directory not empty"),
    ] {
        let output = cli.run(&["unpack", &archive, target]).await;
        output.expect(7, &format!("error: unpack: {}: {why}", target.trim_end_matches('/')));
    }
    assert_eq!(fs::read_to_string(dir.join("full/file")).unwrap(), "mine");
    assert!(names(&dir.join("real")).is_empty());
    let left: Vec<_> = names(dir).into_iter().filter(|name| name.contains("rpull-")).collect();
    assert!(left.is_empty(), "{left:?}");
    cli.run(&["unpack", "--sync", &archive, "empty/"]).await.expect(0, "");
    assert_eq!(names(&dir.join("empty")), TREE);
}

#[tokio::test]
async fn unpack_unprivileged_skips_owners_devices_and_capabilities() {
    let test = "unpack_unprivileged_skips_owners_devices_and_capabilities";
    if !is_root(test) || !needs(test, &["setpriv"]) {
        return;
    }
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let base = layer_of(&[
        TarItem::dir("locked").mode(0o555).mtime(5),
        TarItem::file("locked/a", "a"),
        TarItem::dir("closed").mode(0).mtime(6),
        TarItem::file("closed/b", "b").mode(0),
        TarItem::file("su", "x").mode(0o4755),
        TarItem::file("ping", "x").xattr("security.capability", capability),
        TarItem::file("attributed", "x").xattr("user.a", "1"),
        TarItem::device(b'3', "null", 1, 3),
        TarItem::new(b'6', "pipe").mode(0o622),
        TarItem::symlink("link", "su"),
    ]);
    let upper = layer_of(&[
        TarItem::file("locked/c", "c"),
        TarItem::whiteout("closed/b"),
        TarItem::file("closed/d", "d"),
    ]);
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[base, upper]));
    let user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let open = cli.dir().join("open");
    fs::create_dir(&open).unwrap();
    for path in [&open, cli.dir()] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    for (flag, su) in [("--no-store", 0o100_755), ("--preserve", 0o104_755)] {
        let output = cli.spawn_under(&user, &["unpack", flag, &archive, "open/root"]).wait().await;
        output.expect(0, "warning: left out the owners of 11 entries (locked, …): only root");
        output.expect(0, "warning: left out the devices of 1 entry (null): only root");
        output.expect(0, "warning: left out the capabilities of 1 entry (ping): only root");
        let told = output
            .stderr
            .contains("left out the set-user-id and set-group-id bits of 1 entry (su)");
        assert_eq!(told, flag != "--preserve", "{}", output.stderr);
        let nodes = tree::nodes(&open.join("root"), &[]);
        let found: Vec<_> = nodes.iter().map(|node| (node.path.as_str(), node.mode)).collect();
        let wanted = [
            ("", 0o40755),
            ("attributed", 0o100_644),
            ("closed", 0o40000),
            ("link", 0o120_777),
            ("locked", 0o40555),
            ("ping", 0o100_644),
            ("pipe", 0o10622),
            ("su", su),
            ("closed/d", 0o100_644),
            ("locked/a", 0o100_644),
            ("locked/c", 0o100_644),
        ];
        assert_eq!(found, wanted);
        assert!(nodes.iter().all(|node| node.owner == (12345, 12345)));
        let locked = nodes.iter().find(|node| node.path == "locked").unwrap();
        assert_eq!(locked.mtime, (5, 0));
        fs::remove_dir_all(open.join("root")).unwrap();
    }
}
