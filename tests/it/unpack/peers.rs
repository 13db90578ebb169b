//! The trees of `unpack`, `umoci` and of an exported tar extracted by GNU tar are equal.

use std::process::Command;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of};
use crate::support::flat::extract_with_gnu_tar;
use crate::support::images::{Family, gzip, image, layer};
use crate::support::live::{is_root, needs};
use crate::support::peers::{assert_same, unpack_with_umoci, without_times_of};
use crate::support::real::RealImage;
use crate::support::sparse::{FORMS, make_files, sparse_gnu_tar};
use crate::support::tars;
use crate::support::tree::{Node, names, nodes};

/// Returns the tree that GNU tar extracts from `export`.
async fn by_export(cli: &Cli, place: &str) -> Vec<Node> {
    let root = tempfile::tempdir().unwrap();
    cli.run(&["export", place, "-o", "root.tar"]).await.expect(0, "");
    extract_with_gnu_tar(&cli.dir().join("root.tar"), root.path());
    nodes(root.path(), &[])
}

#[tokio::test]
async fn real_image_equals_umoci_tree() {
    let test = "real_image_equals_umoci_tree";
    if !is_root(test) || !needs(test, &["umoci", "dpkg"]) {
        return;
    }
    let (cli, real) = (Cli::new(), RealImage::get());
    for name in ["v1", "v2"] {
        let place = format!("oci:{}:{name}", real.layout().display());
        let dir = cli.dir().join(name);
        cli.run(&["unpack", &place, name]).await.expect(0, "");
        assert_same(&nodes(&dir, &[]), &by_export(&cli, &place).await);
        let other =
            unpack_with_umoci(real.layout(), name, &cli.dir().join(format!("{name}-umoci")));
        // umoci changes the mtime of a directory when it creates an implicit directory in it.
        let unsaid = ["", "app", "etc", "etc/app", "usr", "usr/local", "usr/local/bin"];
        let [own, other] = [nodes(&dir, &[]), other].map(|tree| without_times_of(tree, &unsaid));
        assert!(own.len() > 50);
        assert_same(&own, &other);
    }
}

#[tokio::test]
async fn exported_tar_is_imported_by_podman() {
    let test = "exported_tar_is_imported_by_podman";
    if !is_root(test) || !needs(test, &["podman"]) {
        return;
    }
    // A layer adds a file to a directory of the layer below.
    let layers = [layer(&[("d/base", b"1"), ("e/base", b"2")]), layer(&[("d/app", b"3")])];
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &layers));
    cli.run(&["export", &archive, "-o", "root.tar"]).await.expect(0, "");
    for words in [
        &["import", "-q", "root.tar", "imported:1"][..],
        &["save", "-q", "--format=oci-archive", "-o", "back.tar", "imported:1"],
    ] {
        let output = Command::new("podman")
            .args(["--root=podman", "--runroot=run", "--storage-driver=vfs"])
            .args(["--events-backend=none"])
            .args(words)
            .current_dir(cli.dir())
            .env("HOME", cli.home())
            .env("XDG_RUNTIME_DIR", cli.dir().join("run"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    cli.run(&["unpack", "oci-archive:back.tar", "root"]).await.expect(0, "");
    let found = names(&cli.dir().join("root"));
    assert_eq!(found, ["d/", "d/app", "d/base", "e/", "e/base"]);
}

#[tokio::test]
async fn sparse_formats_equal_umoci_tree() {
    let test = "sparse_formats_equal_umoci_tree";
    if !is_root(test) || !needs(test, &["umoci"]) {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    make_files(files.path());
    // umoci does not support the oldest format.
    for form in &FORMS[1..] {
        let cli = Cli::new();
        let held = image(Family::Oci, "amd64", &[gzip(&sparse_gnu_tar(files.path(), form))]);
        let archive = tars::write_to(&cli, &held);
        cli.run(&["copy", &archive, "oci:layout:held"]).await.expect(0, "");
        cli.run(&["unpack", "oci:layout:held", "root"]).await.expect(0, "");
        let other = unpack_with_umoci(&cli.dir().join("layout"), "held", &cli.dir().join("umoci"));
        assert_same(&nodes(&cli.dir().join("root"), &[]), &other);
        assert_same(&by_export(&cli, "oci:layout:held").await, &other);
    }
}

#[tokio::test]
async fn all_entry_types_and_whiteouts_equal_umoci_tree() {
    let test = "all_entry_types_and_whiteouts_equal_umoci_tree";
    if !is_root(test) || !needs(test, &["umoci"]) {
        return;
    }
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(200));
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let base = layer_of(&[
        TarItem::dir("./").mode(0o755).mtime(1000),
        TarItem::dir("etc").mtime(1001).xattr("user.dir", "1"),
        TarItem::file("etc/passwd", "root").mode(0o640).owner(3, 4).pax("mtime", "1234.000000567"),
        TarItem::file("etc/gone", "x"),
        TarItem::dir("usr").mtime(2),
        TarItem::dir("usr/lib").mtime(3),
        TarItem::symlink("lib", "usr/lib").owner(5, 6).mtime(7),
        TarItem::file("usr/lib/a.so", vec![7; 70_000]).mode(0o755),
        TarItem::hardlink("usr/lib/b.so", "lib/a.so"),
        TarItem::hardlink("lib2", "lib"),
        TarItem::dir("opaque").mtime(4),
        TarItem::file("opaque/lower", "x"),
        TarItem::dir("opaque/dir").mtime(5),
        TarItem::file("opaque/dir/lower", "x"),
        TarItem::file("ping", "x").mode(0o755).xattr("security.capability", capability),
        TarItem::file("su", "x").mode(0o6755).owner(9, 10),
        TarItem::dir("tmp").mode(0o1777).mtime(8),
        TarItem::dir("shared").mode(0o2775).owner(0, 50).mtime(9),
        TarItem::file("shared/file", "x").owner(0, 0),
        TarItem::device(b'3', "null", 1, 3).mode(0o666),
        TarItem::device(b'4', "disk", 8, 1).mode(0o660).owner(0, 6),
        TarItem::new(b'6', "pipe").mode(0o600),
        TarItem::dir("d".repeat(120)).mtime(11),
        TarItem::file(&long, "long"),
        TarItem::file("becomes-dir", "x"),
        TarItem::dir("becomes-file").mtime(12),
        TarItem::file("becomes-file/below", "x"),
        TarItem::dir("locked").mode(0o500).mtime(13),
        TarItem::file("locked/in", "x").mode(0o400),
    ]);
    let upper = layer_of(&[
        TarItem::dir("etc").mode(0o700).mtime(2000),
        TarItem::whiteout("etc/gone"),
        TarItem::whiteout("etc/never"),
        TarItem::file("lib/new.so", "new").mode(0o755),
        TarItem::dir("opaque").mtime(2001),
        TarItem::file("opaque/.wh..wh..opq", ""),
        TarItem::file("opaque/upper", "x"),
        TarItem::dir("opaque/dir").mtime(2002),
        TarItem::dir("becomes-dir").mtime(2003),
        TarItem::file("becomes-dir/below", "x"),
        TarItem::file("becomes-file", "x"),
        TarItem::symlink("su", "ping"),
        TarItem::file("shared/file", "other").owner(0, 50),
        TarItem::whiteout("pipe"),
    ]);
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[base, upper]));
    cli.run(&["copy", &archive, "oci:layout:held"]).await.expect(0, "");
    cli.run(&["unpack", "oci:layout:held", "root"]).await.expect(0, "");
    let other = unpack_with_umoci(&cli.dir().join("layout"), "held", &cli.dir().join("umoci"));
    assert_same(&nodes(&cli.dir().join("root"), &[]), &other);
    assert_same(&by_export(&cli, "oci:layout:held").await, &other);
}
