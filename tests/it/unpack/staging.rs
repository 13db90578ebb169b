//! The staging directory of an unpack: on full and read-only disks, at mount points, and after kills.

use std::fs;
use std::path::Path;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::images::{Family, Image, image, random_blob};
use crate::support::live::{is_root, needs};
use crate::support::small::Small;
use crate::support::tars;
use crate::support::tree::names;

const MOUNTING: &[&str] = &["mount", "umount"];

pub(crate) fn sample() -> Image {
    let base = layer_of(&[
        TarItem::dir("d"),
        TarItem::file("d/first", "1").mode(0o4755).owner(1, 1).xattr("user.a", "1"),
        TarItem::symlink("link", "d"),
        TarItem::hardlink("again", "d/first"),
        TarItem::new(b'6', "pipe"),
        TarItem::file("big", random_blob(600_000, 1)),
    ]);
    image(Family::Oci, "amd64", &[base, layer_of(&[TarItem::file("d/last", "2")])])
}

const TREE: [&str; 7] = ["again", "big", "d/", "d/first", "d/last", "link", "pipe"];

#[tokio::test]
async fn disk_full_leaves_no_partial_tree() {
    let test = "disk_full_leaves_no_partial_tree";
    if !needs(test, MOUNTING) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let small = cli.dir().join("small");
    let Some(mounted) = Small::mount(test, &small, "size=400k") else { return };
    let full = "No space left on device";
    for options in ["size=400k", "size=2m,nr_inodes=6", "size=12k,nr_inodes=100"] {
        mounted.remount(options);
        let output = cli.run(&["unpack", &archive, "small/root"]).await;
        output.expect(7, full).expect(7, "hint: free disk space");
        assert_eq!(names(&small), Vec::<String>::new(), "{options}");
        // A mount point is filled in place.
        let output = cli.run(&["unpack", &archive, "small"]).await;
        output.expect(7, full);
        assert_eq!(names(&small), Vec::<String>::new(), "{options}");
    }
    mounted.remount("size=2m,nr_inodes=100");
    cli.run(&["unpack", &archive, "small/root"]).await.expect(0, "");
    assert_eq!(names(&small.join("root")), TREE);
}

#[tokio::test]
async fn mount_point_is_filled_in_place() {
    let test = "mount_point_is_filled_in_place";
    if !needs(test, &["mount", "umount", "strace"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let small = cli.dir().join("small");
    let Some(_mounted) = Small::mount(test, &small, "size=2m,mode=0711") else { return };
    fs::create_dir(small.join("lost+found")).unwrap();
    killed(&cli, &archive, "small").await;
    assert!(names(&small).contains(&".rpull-incomplete".to_owned()));
    let output = cli.run(&["unpack", &archive, "small"]).await;
    output.expect(7, "small: contains an incomplete unpack");
    output.expect(
        7,
        "hint: empty the directory, including `.rpull-incomplete`, and run the command again",
    );
    for name in names(&small).iter().rev().filter(|name| !name.ends_with("found/")) {
        let path = small.join(name);
        if name.ends_with('/') {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    cli.run(&["unpack", &archive, "small"]).await.expect(0, "");
    let mut wanted = TREE.map(str::to_owned).to_vec();
    wanted.push("lost+found/".to_owned());
    wanted.sort();
    assert_eq!(names(&small), wanted);
    let mode = std::os::unix::fs::MetadataExt::mode(&small.metadata().unwrap());
    assert_eq!(mode & 0o7777, 0o711, "no layer says another");
}

/// Kills an unpack in the middle.
pub(crate) async fn killed(cli: &Cli, archive: &str, target: &str) {
    let strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=symlinkat",
        "-e",
        "inject=symlinkat:signal=KILL",
    ];
    let output = cli.spawn_under(&strace, &["unpack", archive, target]).wait().await;
    assert_eq!((output.code(), output.signal()), (None, Some(9)), "{}", output.stderr);
}

#[tokio::test]
async fn killed_or_interrupted_unpack_leaves_no_target() {
    let test = "killed_or_interrupted_unpack_leaves_no_target";
    if !needs(test, &["strace"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    killed(&cli, &archive, "root").await;
    assert!(!cli.dir().join("root").exists());
    cli.run(&["unpack", &archive, "root"]).await.expect(0, "");
    assert_eq!(names(&cli.dir().join("root")), TREE);

    // More than the read-ahead of decompression.
    let long =
        layer_of(&[TarItem::symlink("a", "b"), TarItem::file("big", random_blob(40 << 20, 1))]);
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[long]));
    let strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=symlinkat",
        "-e",
        "inject=symlinkat:signal=INT",
    ];
    let output = cli.spawn_under(&strace, &["unpack", &archive, "other"]).wait().await;
    output.expect(130, "interrupted");
    assert!(!cli.dir().join("other").exists());
    let left = fs::read_dir(cli.dir()).unwrap().flatten();
    let left =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with(".rpull-unpack"));
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn failed_system_call_is_reported_and_leaves_nothing() {
    let test = "failed_system_call_is_reported_and_leaves_nothing";
    if !is_root(test) || !needs(test, &["strace"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    for (call, error, words) in [
        ("mkdirat:error=ENOSPC", "No space left", "unpack: root: "),
        ("mkdirat:error=EDQUOT", "quota exceeded", "unpack: root: "),
        ("openat2:error=EIO", "Input/output error", "unpack: root: "),
        ("fchmod:error=EIO", "Input/output error", ": d/first: "),
        ("symlinkat:error=EIO", "Input/output error", ": link: "),
        ("linkat:error=EMLINK", "Too many links", ": again: "),
        ("mknodat:error=ENOSPC", "No space left", ": pipe: "),
        ("fchown:error=EIO", "Input/output error", ": d/first: "),
        ("fsetxattr:error=EIO", "Input/output error", ": d/first: "),
        ("utimensat:error=EIO", "Input/output error", ": d/first: "),
        // Of the tree, or of a file read ahead: which layers those are is random.
        ("renameat2:error=EIO", "Input/output error", "error: "),
        ("syncfs:error=EIO", "Input/output error", "unpack: root: "),
    ] {
        let name = call.split(':').next().unwrap();
        let (trace, inject) = (format!("trace={name}"), format!("inject={call}"));
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let output = cli.spawn_under(&strace, &["unpack", "--sync", &archive, "root"]).wait().await;
        output.expect(7, error).expect(7, words);
        let left = fs::read_dir(cli.dir()).unwrap().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| {
                let name = name.to_string_lossy();
                name.starts_with(".rpull") || name == "root"
            })
            .collect();
        assert!(left.is_empty(), "{call}: {left:?}");
    }
}

#[tokio::test]
async fn read_only_target_fails_immediately() {
    let test = "read_only_target_fails_immediately";
    if !needs(test, MOUNTING) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let Some(mounted) = Small::mount(test, &cli.dir().join("small"), "size=2m") else { return };
    mounted.remount("ro");
    for target in ["small", "small/root"] {
        let output = cli.run(&["unpack", &archive, target]).await;
        output.expect(7, &format!("error: unpack: {target}: Read-only file system"));
    }
}

#[tokio::test]
async fn unpack_needs_few_open_files() {
    let test = "unpack_needs_few_open_files";
    if !needs(test, &["prlimit"]) {
        return;
    }
    let cli = Cli::new();
    let deep = vec!["d"; 500].join("/");
    let mut items: Vec<_> = (0..100).map(|n| TarItem::file(format!("{n}/{n}/x"), "x")).collect();
    items.push(TarItem::file(format!("{deep}/x"), "x"));
    let upper = [TarItem::whiteout("d"), TarItem::file("0", "a file now")];
    let layers = [layer_of(&items), layer_of(&upper)];
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &layers));
    let limited = ["prlimit", "--nofile=40"];
    let output = cli.spawn_under(&limited, &["unpack", &archive, "root"]).wait().await;
    output.expect(0, "unpacked 2 layers, 102 files");
    assert_eq!(names(&cli.dir().join("root")).len(), 1 + 99 * 3);
    assert!(Path::new(&cli.dir().join("root/0")).is_file());
}
