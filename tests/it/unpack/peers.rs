//! The same images through `umoci`, and through a tar that GNU tar unpacks: trees that do not differ in anything.

use std::process::Command;

use crate::support::cli::Cli;
use crate::support::entries::{Item, layer_of};
use crate::support::flat::by_gnu_tar;
use crate::support::images::{Family, gzip, image, layer};
use crate::support::live::{is_root, needs};
use crate::support::peers::{assert_same, by_umoci, without_times_of};
use crate::support::real::RealImage;
use crate::support::sparse::{FORMS, by_gnu_tar_with_holes, make_files};
use crate::support::tars;
use crate::support::tree::{Node, names, nodes};

/// The tree that GNU tar makes of what `export` writes.
async fn by_export(cli: &Cli, place: &str) -> Vec<Node> {
    let root = tempfile::tempdir().unwrap();
    cli.run(&["export", place, "-o", "root.tar"]).await.expect(0, "");
    by_gnu_tar(&cli.dir().join("root.tar"), root.path());
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
        let other = by_umoci(real.layout(), name, &cli.dir().join(format!("{name}-umoci")));
        // To umoci the time of a directory is lost when it makes a missing one in it.
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
    // A directory of one layer gets a file of the next.
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
    // The oldest form is unknown to umoci.
    for form in &FORMS[1..] {
        let cli = Cli::new();
        let held = image(Family::Oci, "amd64", &[gzip(&by_gnu_tar_with_holes(files.path(), form))]);
        let archive = tars::write_to(&cli, &held);
        cli.run(&["copy", &archive, "oci:layout:held"]).await.expect(0, "");
        cli.run(&["unpack", "oci:layout:held", "root"]).await.expect(0, "");
        let other = by_umoci(&cli.dir().join("layout"), "held", &cli.dir().join("umoci"));
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
        Item::dir("./").mode(0o755).mtime(1000),
        Item::dir("etc").mtime(1001).xattr("user.dir", "1"),
        Item::file("etc/passwd", "root").mode(0o640).owner(3, 4).pax("mtime", "1234.000000567"),
        Item::file("etc/gone", "x"),
        Item::dir("usr").mtime(2),
        Item::dir("usr/lib").mtime(3),
        Item::symlink("lib", "usr/lib").owner(5, 6).mtime(7),
        Item::file("usr/lib/a.so", vec![7; 70_000]).mode(0o755),
        Item::hardlink("usr/lib/b.so", "lib/a.so"),
        Item::hardlink("lib2", "lib"),
        Item::dir("opaque").mtime(4),
        Item::file("opaque/lower", "x"),
        Item::dir("opaque/dir").mtime(5),
        Item::file("opaque/dir/lower", "x"),
        Item::file("ping", "x").mode(0o755).xattr("security.capability", capability),
        Item::file("su", "x").mode(0o6755).owner(9, 10),
        Item::dir("tmp").mode(0o1777).mtime(8),
        Item::dir("shared").mode(0o2775).owner(0, 50).mtime(9),
        Item::file("shared/file", "x").owner(0, 0),
        Item::device(b'3', "null", 1, 3).mode(0o666),
        Item::device(b'4', "disk", 8, 1).mode(0o660).owner(0, 6),
        Item::new(b'6', "pipe").mode(0o600),
        Item::dir("d".repeat(120)).mtime(11),
        Item::file(&long, "long"),
        Item::file("becomes-dir", "x"),
        Item::dir("becomes-file").mtime(12),
        Item::file("becomes-file/below", "x"),
        Item::dir("locked").mode(0o500).mtime(13),
        Item::file("locked/in", "x").mode(0o400),
    ]);
    let upper = layer_of(&[
        Item::dir("etc").mode(0o700).mtime(2000),
        Item::whiteout("etc/gone"),
        Item::whiteout("etc/never"),
        Item::file("lib/new.so", "new").mode(0o755),
        Item::dir("opaque").mtime(2001),
        Item::file("opaque/.wh..wh..opq", ""),
        Item::file("opaque/upper", "x"),
        Item::dir("opaque/dir").mtime(2002),
        Item::dir("becomes-dir").mtime(2003),
        Item::file("becomes-dir/below", "x"),
        Item::file("becomes-file", "x"),
        Item::symlink("su", "ping"),
        Item::file("shared/file", "other").owner(0, 50),
        Item::whiteout("pipe"),
    ]);
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[base, upper]));
    cli.run(&["copy", &archive, "oci:layout:held"]).await.expect(0, "");
    cli.run(&["unpack", "oci:layout:held", "root"]).await.expect(0, "");
    let other = by_umoci(&cli.dir().join("layout"), "held", &cli.dir().join("umoci"));
    assert_same(&nodes(&cli.dir().join("root"), &[]), &other);
    assert_same(&by_export(&cli, "oci:layout:held").await, &other);
}
