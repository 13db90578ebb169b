//! Unpacking with little memory, interrupted system calls, and concurrent changes.

use std::fs;
use std::io::{BufReader, Read as _};

use rpull::control::Control;
use rpull::layer::{DiffIdReader, Entries, EntryLimits};
use rpull::unpack::{BuildOptions, RootBuilder, RootDir, UnpackOptions, Unpacker};
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of, tar, tar_without_trailer};
use crate::support::flat::{blobs, tars as tars_of};
use crate::support::images::{Family, Image, Layer, gzip, image, random_blob, with_config};
use crate::support::live::needs;
use crate::support::tars;
use crate::support::tree::{names, nodes};

/// Returns a layer of these entries, followed by zeros.
fn with_zeros(items: &[TarItem], zeros: u64) -> Layer {
    let tar = tar_without_trailer(items);
    let bytes = || tar.chain(std::io::repeat(0).take(zeros));
    let mut hashed = DiffIdReader::new(BufReader::new(bytes()));
    std::io::copy(&mut hashed, &mut std::io::sink()).unwrap();
    let bytes = zstd::encode_all(bytes(), 1).unwrap().into();
    Layer { diff_id: hashed.finish(), bytes }
}

#[tokio::test]
async fn bomb_and_large_layer_need_little_memory() {
    let test = "bomb_and_large_layer_need_little_memory";
    if !needs(test, &["prlimit"]) {
        return;
    }
    let cli = Cli::new();
    let large = with_zeros(&[TarItem::file("big", random_blob(30 << 20, 1))], 500 << 20);
    let bomb = with_zeros(&[TarItem::file("small", "")], 1100 << 20);
    let layers = [large, bomb];
    // All writable memory of the process, including thread stacks.
    let limited = ["prlimit", &format!("--data={}", 64 << 20)];
    for (number, (layers, code, words)) in
        [(&layers[..1], 0, "unpacked 1 layer"), (&layers[1..], 7, "likely a decompression bomb")]
            .into_iter()
            .enumerate()
    {
        let dir = format!("root{number}");
        let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", layers));
        let output =
            cli.spawn_under(&limited, &["unpack", "--no-store", &archive, &dir]).wait().await;
        output.expect(code, words);
    }
}

#[tokio::test]
async fn interrupted_or_short_system_calls_are_retried() {
    let test = "interrupted_or_short_system_calls_are_retried";
    if !needs(test, &["strace", "prlimit"]) {
        return;
    }
    let cli = Cli::new();
    let items: Vec<_> =
        (0..20).map(|n| TarItem::file(n.to_string(), random_blob(50_000, n))).collect();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[layer_of(&items)]));
    cli.run(&["unpack", &archive, "root"]).await.expect(0, "");
    // Only calls on the archive: those of the runtime are never interrupted.
    let file = cli.dir().join(archive.split_once(':').unwrap().1);
    let interrupt = ["-e", "trace=pread64", "-e", "inject=pread64:error=EINTR:when=4+3"];
    let strace = [&["strace", "-f", "-o", "log", "-P", file.to_str().unwrap()], &interrupt[..]];
    let strace = strace.concat();
    cli.spawn_under(&strace, &["unpack", &archive, "again"]).wait().await.expect(0, "");
    assert!(fs::read_to_string(cli.dir().join("log")).unwrap().contains("INJECTED"));
    assert_eq!(nodes(&cli.dir().join("again"), &[]), nodes(&cli.dir().join("root"), &[]));
    // The file grows to the limit, then writing fails.
    let limited = "trap '' XFSZ; prlimit --pid $$ --fsize=70000; \"$@\"";
    let large =
        image(Family::Oci, "amd64", &[layer_of(&[TarItem::file("large", random_blob(90_000, 1))])]);
    let archive = tars::write_to(&cli, &large);
    let output =
        cli.spawn_in_shell(limited, &["unpack", "--no-store", &archive, "other"]).wait().await;
    output.expect(7, ": large: File too large");
    assert!(!cli.dir().join("other").exists());
}

#[tokio::test]
async fn truncated_layer_leaves_no_files() {
    let cli = Cli::new();
    let tar = tar(&[
        TarItem::dir("d"),
        TarItem::file("d/a", random_blob(40_000, 1)),
        TarItem::file("b", "b"),
    ]);
    let zstd = Layer { bytes: zstd::encode_all(&tar[..], 1).unwrap().into(), ..gzip(&tar) };
    for whole in [gzip(&tar), zstd] {
        for tenth in 0..10 {
            let bytes = whole.bytes.slice(..whole.bytes.len() * tenth / 10);
            let cut = Layer { bytes, ..whole.clone() };
            let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[cut]));
            let output = cli.run(&["unpack", "--no-store", &archive, "root"]).await;
            // An empty layer is a tar without entries, with another digest.
            output.expect(if tenth == 0 { 5 } else { 7 }, "error: layer sha256:");
            assert!(
                !names(cli.dir())
                    .iter()
                    .any(|name| name.contains("root") || name.contains(".rpull"))
            );
        }
    }
}

fn sample() -> Image {
    image(Family::Oci, "amd64", &[layer_of(&[TarItem::file("app", "app")])])
}

#[tokio::test]
async fn config_paths_create_no_files() {
    let cli = Cli::new();
    let mut config: Value = serde_json::from_slice(&sample().config.bytes).unwrap();
    config["config"] = json!({
        "Volumes": {"../../out": {}, "/vol": {}}, "WorkingDir": "/../../work\n\u{1b}[2J",
        "User": "99999999999:-1", "Labels": {"a\n": "x".repeat(1 << 20)}, "Entrypoint": ["/../e"],
    });
    let archive = tars::write_to(&cli, &with_config(&sample(), &config));
    cli.run(&["unpack", &archive, "root"]).await.expect(0, "unpacked 1 layer");
    assert_eq!(names(&cli.dir().join("root")), ["app"]);
    config.as_object_mut().unwrap().remove("rootfs");
    let archive = tars::write_to(&cli, &with_config(&sample(), &config));
    cli.run(&["unpack", &archive, "other"]).await.expect(5, "error: ");
    assert!(!cli.dir().join("other").exists());
}

/// Returns the staging directory, next to the target.
fn made_in(dir: &std::path::Path) -> std::path::PathBuf {
    let beside = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut own = beside.filter(|entry| entry.file_name().to_string_lossy().starts_with(".rpull-"));
    let own = own.next().unwrap();
    own.path().join(own.file_name())
}

#[test]
fn staging_directory_replaced_during_unpack_fails() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("victim")).unwrap();
    fs::write(at("victim/file"), "mine").unwrap();
    for by_link in [true, false] {
        let building = RootBuilder::begin(&at("root")).unwrap();
        let own = made_in(dir.path());
        fs::rename(&own, at("moved")).unwrap();
        if by_link {
            std::os::unix::fs::symlink("victim", &own).unwrap();
        } else {
            fs::rename(at("victim"), &own).unwrap();
        }
        let layer = [TarItem::file("file", "pwned"), TarItem::dir("d"), TarItem::file("d/new", "")];
        let layers = tars_of(&[&layer]);
        let filled =
            building.apply(blobs(&layers), BuildOptions::default(), &Control::default(), || Ok(()));
        let error = filled.unwrap_err().chain();
        assert!(
            error.contains("root: was replaced by another process during the unpack"),
            "{error}"
        );
        assert!(at("root").symlink_metadata().is_err());
        if by_link {
            fs::remove_file(&own).unwrap();
        } else {
            fs::rename(&own, at("victim")).unwrap();
        }
        assert_eq!(names(&at("victim")), ["file"]);
        assert_eq!(fs::read_to_string(at("victim/file")).unwrap(), "mine");
        assert_eq!(names(&at("moved")), ["d/", "d/new", "file"]);
        fs::remove_dir_all(at("moved")).unwrap();
    }
}

#[test]
fn directories_over_cache_size_have_mode_and_mtime() {
    let dir = tempfile::tempdir().unwrap();
    let mut unpacker =
        Unpacker::new(RootDir::open(dir.path()).unwrap(), UnpackOptions::default()).unwrap();
    let mut items = vec![TarItem::dir("first").mode(0o500).mtime(5)];
    items.extend((0..100_001).map(|n| TarItem::dir(format!("d/{n}")).mtime(n)));
    items.push(TarItem::file("first/late", ""));
    items.push(TarItem::file("d/7/late", ""));
    let tar = tar(&items);
    unpacker.apply("layer", &mut Entries::new(&tar[..], EntryLimits::default())).unwrap();
    unpacker.finish().unwrap();
    let found = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let found = dir.path().join(path).metadata().unwrap();
        (found.mode() & 0o7777, found.mtime())
    };
    assert_eq!(found("first"), (0o500, 5));
    assert_eq!([found("d/7"), found("d/100000")], [(0o755, 7), (0o755, 100_000)]);
}
