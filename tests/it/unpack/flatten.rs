//! Layers flattened to one tar: the same tree as unpacking them one over the other.

use std::collections::HashSet;

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::ErrorKind;
use rpull::flatten::Tree;
use rpull::unpack::SkipReason;

use crate::support::entries::{TarItem, sparse, tar};
use crate::support::flat::{apply, blobs, extract_with_gnu_tar, flattened, random_layers, tars};
use crate::support::live::is_root;
use crate::support::tree::{self, Node};

fn unpacked(tars: &[Vec<u8>]) -> Vec<Node> {
    let dir = tempfile::tempdir().unwrap();
    apply(dir.path(), tars).unwrap();
    tree::nodes(dir.path(), &[])
}

/// `(type, path, what it links to)` of every entry.
fn entries(tar: &[u8]) -> Vec<(char, String, String)> {
    let mut archive = tar::Archive::new(tar);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entry = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let entry = entry.unwrap();
        let link = entry.link_name_bytes().map(|link| text(&link)).unwrap_or_default();
        (char::from(entry.header().entry_type().as_byte()), text(&entry.path_bytes()), link)
    };
    archive.entries().unwrap().map(entry).collect()
}

#[test]
fn flatten_random_layers_match_unpack() {
    let gnu = is_root("flatten_random_layers_match_unpack");
    let mut compared = 0;
    for seed in 0..400 {
        let layers = random_layers(&mut fastrand::Rng::with_seed(seed));
        let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
        let tars = tars(&layers);
        let dir = tempfile::tempdir().unwrap();
        let on_disk = apply(dir.path(), &tars);
        match (flattened(&tars), on_disk) {
            (Ok((tree, tar)), Ok(_)) => {
                let wanted = tree::nodes(dir.path(), &[]);
                assert_eq!(unpacked(std::slice::from_ref(&tar)), wanted, "seed {seed}: {layers:?}");
                // Docker and podman keep a record of the tar, in which no name may be twice.
                let names: HashSet<_> =
                    entries(&tar).into_iter().map(|(_, path, _)| path).collect();
                assert_eq!(names.len() as u64, tree.shown.entries, "{:?}", entries(&tar));
                // The times of directories with a link that has two names are lost on GNU tar.
                let linked =
                    |node: &Node| node.mode & 0o170_000 == 0o120_000 && node.same_as != node.path;
                if gnu && seed % 4 == 0 && !wanted.iter().any(linked) {
                    let (file, root) = (dir.path().join("tar"), tempfile::tempdir().unwrap());
                    std::fs::write(&file, &tar).unwrap();
                    extract_with_gnu_tar(&file, root.path());
                    let found = tree::nodes(root.path(), &[]);
                    assert_eq!(found, wanted, "seed {seed}: {layers:?} {:?}", entries(&tar));
                }
                compared += 1;
            }
            (Err(own), Err(other)) => assert_eq!(own.kind(), other.kind()),
            (Err(error), Ok(_)) => panic!("seed {seed}: {error:?}: {layers:?}"),
            (Ok(_), Err(error)) => panic!("seed {seed}: only on a disk {error:?}: {layers:?}"),
        }
    }
    assert!(compared > 100, "{compared}");
}

const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Entries of every kind with all metadata, in three layers.
fn all_kinds() -> Vec<Vec<u8>> {
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(200));
    let base = [
        TarItem::dir("./").mode(0o751).owner(1, 2).pax("mtime", "1000.000000001"),
        TarItem::dir("etc").mtime(1001).xattr("user.dir", "1"),
        TarItem::file("etc/passwd", "root").mode(0o640).owner(3, 4).pax("mtime", "1234.000000567"),
        TarItem::file("etc/gone", "x"),
        TarItem::file("su", "x").mode(0o6755).owner(9, 4_000_000_000),
        TarItem::file("ping", "x").mode(0o755).xattr("security.capability", CAPABILITY),
        TarItem::file("odd", "x").xattr("user.a", b"\0\n=\xff").xattr("user.empty", ""),
        TarItem::dir("tmp").mode(0o1777).mtime(8),
        TarItem::dir("shared").mode(0o2775).owner(0, 50).mtime(9),
        TarItem::dir("locked").mode(0o500).mtime(13),
        TarItem::file("locked/in", "x").mode(0o400),
        TarItem::symlink("link", "../../nowhere").owner(5, 6).mtime(7),
        TarItem::hardlink("link2", "link"),
        TarItem::symlink("long-link", format!("/{long}")),
        TarItem::device(b'3', "null", 1, 3).mode(0o666),
        TarItem::device(b'4', "disk", 259, 70_000).mode(0o660).owner(0, 6),
        TarItem::new(b'6', "pipe").mode(0o622),
        TarItem::file(&long, vec![7; 700]),
        TarItem::hardlink(format!("{long}2"), &long),
        TarItem::file(b"\xffno-text\n", "x"),
        TarItem::file(b"\xff".repeat(150), "x"),
        TarItem::file("first", "shared"),
        TarItem::hardlink("etc/second", "first"),
        TarItem::file("missing/parent/file", "x"),
    ];
    let upper = [
        TarItem::whiteout("etc/gone"),
        TarItem::whiteout("first"),
        TarItem::dir("shared").mode(0o2770).owner(7, 50).mtime(10),
        TarItem::file("shared/file", "x"),
        TarItem::symlink("locked/absolute", "/etc/passwd"),
        TarItem::hardlink("third", "etc/second"),
    ];
    let mut sparse = sparse("sparse", &[(1 << 20, 3), (3 << 20, 0)], 3 << 20, b"mid");
    sparse.resize(sparse.len() + 1024, 0);
    vec![tar(&base), tar(&upper), sparse]
}

#[test]
fn flatten_keeps_all_metadata() {
    if !is_root("flatten_keeps_all_metadata") {
        return;
    }
    let tars = all_kinds();
    let (tree, tar) = flattened(&tars).unwrap();
    let wanted = unpacked(&tars);
    assert_eq!(unpacked(std::slice::from_ref(&tar)), wanted);
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("tar"), &tar).unwrap();
    extract_with_gnu_tar(&dir.path().join("tar"), root.path());
    assert_eq!(tree::nodes(root.path(), &[]), wanted);
    assert_eq!(tree.shown.entries, wanted.len() as u64);
    let files: Vec<_> = wanted.iter().filter(|node| node.mode & 0o170_000 == 0o100_000).collect();
    let once = files.iter().filter(|node| node.same_as == node.path);
    assert_eq!(tree.shown.files, once.clone().count() as u64);
    assert_eq!(tree.shown.bytes, once.map(|node| node.bytes.len() as u64).sum::<u64>());
}

#[test]
fn flatten_is_reproducible() {
    let tars = all_kinds();
    let (_, first) = flattened(&tars).unwrap();
    assert_eq!(flattened(&tars).unwrap().1, first);
    // Flattening its own output changes nothing.
    let (_, again) = flattened(std::slice::from_ref(&first)).unwrap();
    assert_eq!(flattened(std::slice::from_ref(&again)).unwrap().1, again);
}

#[test]
fn hardlink_flatten_uses_first_remaining_name() {
    let base =
        [TarItem::file("a", "shared"), TarItem::hardlink("d/b", "a"), TarItem::hardlink("c", "a")];
    let upper = [
        TarItem::whiteout("a"),
        TarItem::hardlink("e", "c"),
        TarItem::symlink("s", "c"),
        TarItem::hardlink("t", "s"),
    ];
    let (tree, tar) = flattened(&tars(&[&base, &upper])).unwrap();
    let found = entries(&tar);
    let wanted = [
        ('5', "d/", ""),
        ('0', "d/b", ""),
        ('1', "c", "d/b"),
        ('1', "e", "d/b"),
        ('2', "s", "c"),
        ('1', "t", "s"),
        ('5', "./", ""),
    ];
    assert_eq!(found, wanted.map(|(kind, path, link)| (kind, path.to_owned(), link.to_owned())));
    assert_eq!((tree.shown.files, tree.shown.bytes), (1, 6));
}

#[test]
fn whiteout_and_opaque_in_flatten_hide_lower_entries() {
    let base =
        [TarItem::file("d/gone", ""), TarItem::file("d/kept", ""), TarItem::file("o/gone", "")];
    let upper = [
        TarItem::whiteout("d/gone"),
        TarItem::file("o/.wh..wh..opq", ""),
        TarItem::file("o/new", ""),
    ];
    let (_, tar) = flattened(&tars(&[&base, &upper])).unwrap();
    let found: Vec<String> = entries(&tar).into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(found, ["d/", "d/kept", "o/", "o/new", "./"]);
}

#[test]
fn flatten_skips_layers_without_visible_bytes() {
    let base = [TarItem::file("a", "hidden"), TarItem::file("empty", ""), TarItem::dir("d")];
    let upper = [TarItem::file("a", "shown"), TarItem::symlink("s", "a")];
    let tars = tars(&[&base, &upper, &[TarItem::file("d/again", "")]]);
    let tree = Tree::read(blobs(&tars), &Control::default()).unwrap();
    let mut again = blobs(&tars);
    for layer in [0, 2] {
        again[layer].open = Box::new(|_| panic!("it is read"));
    }
    let mut written = Vec::new();
    let mut output = |bytes: &[u8]| {
        written.extend_from_slice(bytes);
        Ok(())
    };
    tree.write(again, &Control::default(), &mut output).unwrap();
    assert_eq!(unpacked(&[written]), unpacked(&tars));
}

#[test]
fn flatten_layer_changed_between_reads_is_rejected() {
    let (first, other) =
        (tars(&[&[TarItem::file("a", "12345")]]), tars(&[&[TarItem::file("a", "54321")]]));
    let longer = tars(&[&[TarItem::file("a", "123456")]]);
    let tree = Tree::read(blobs(&first), &Control::default()).unwrap();
    for (changed, kind, why) in [
        (&other, ErrorKind::Mismatch, "diff_id mismatch: expected"),
        (&longer, ErrorKind::Unpack, "a: has changed since it was read"),
    ] {
        let mut again = blobs(changed);
        again[0].diff_id = Digest::sha256(&first[0]);
        let error = tree.write(again, &Control::default(), &mut |_| Ok(())).unwrap_err();
        assert_eq!((error.layer(), error.kind()), (Some(0), kind));
        assert!(error.chain().contains(why), "{}", error.chain());
    }
    let error =
        tree.write(Vec::new(), &Control::default(), &mut |_| panic!("it writes")).unwrap_err();
    assert_eq!(error.chain(), "layers: differ from the layers that were read");
}

#[test]
fn flatten_invalid_layer_reports_layer_and_path() {
    let many: Vec<TarItem> =
        (0..50).map(|n| TarItem::symlink(format!("l{n}"), format!("l{}", n + 1))).collect();
    let long = "n".repeat(256);
    let deep = format!("{}/x", vec!["n".repeat(250); 17].join("/"));
    for (items, path, why) in [
        (&[TarItem::hardlink("a", "missing")][..], "a", "hard link to a file that does not exist"),
        (&[TarItem::hardlink("a", "b"), TarItem::hardlink("b", "a")], "a", "does not exist"),
        (&[TarItem::hardlink("a", "a")], "a", "does not exist"),
        (&[TarItem::hardlink("a", "f/x/y")], "a", "does not exist"),
        (&[TarItem::dir("d"), TarItem::hardlink("a", "d")], "a", "hard link to a directory"),
        (&[TarItem::file("d/x", ""), TarItem::hardlink("d", "d/x")], "d", "does not exist"),
        (&[TarItem::file("f", ""), TarItem::file("f/x", "")], "f/x", "Not a directory"),
        (&[TarItem::file("f", ""), TarItem::file("f/x/y", "")], "f/x/y", "Not a directory"),
        (&[TarItem::file(&long, "")], "nnnn", "File name too long"),
        (&[TarItem::file(format!("{long}/x"), "")], "nnnn", "File name too long"),
        (&[TarItem::file(format!("d/{long}/x"), "")], "d/nnnn", "File name too long"),
        (&[TarItem::whiteout(&long)], "nnnn", "File name too long"),
        (&[TarItem::file(&deep, "")], "", "too long"),
        (
            &[TarItem::symlink("loop", "loop"), TarItem::file("loop/x", "")],
            "loop/x",
            "symbolic links",
        ),
        (&[&many[..], &[TarItem::file("l0/x", "")]].concat(), "l0/x", "symbolic links"),
        (&[TarItem::file("ok", ""), TarItem::new(b'Q', "odd")], "ok", "unknown type 'Q'"),
    ] {
        let tars = tars(&[&[], items]);
        let error = Tree::read(blobs(&tars), &Control::default()).unwrap_err();
        let text = error.chain();
        assert_eq!((error.layer(), error.kind()), (Some(1), ErrorKind::Unpack), "{text}");
        assert!(
            text.starts_with("layer 1: ") && text.contains(path) && text.contains(why),
            "{text}"
        );
        let dir = tempfile::tempdir().unwrap();
        let on_disk = apply(dir.path(), &tars).unwrap_err().chain();
        assert_eq!(text, on_disk, "the same words as on a disk");
    }
}

#[test]
fn xattr_privileged_is_skipped_with_one_warning() {
    let items: Vec<_> = ["trusted.overlay.opaque", "user.overlay.redirect", "security.selinux"]
        .iter()
        .map(|name| TarItem::file(name, "").xattr(name, "y").xattr("user.kept", "k"))
        .collect();
    let (tree, tar) =
        flattened(&tars(&[&items, &[TarItem::file("security.selinux", "")]])).unwrap();
    let left: Vec<_> = tree.skipped.iter().map(|left| (left.cause, left.entries)).collect();
    assert_eq!(left, [(SkipReason::ForeignAttribute, 3)]);
    let found = String::from_utf8_lossy(&tar);
    assert_eq!(found.matches("SCHILY.xattr.").count(), 2);
    assert_eq!(found.matches("SCHILY.xattr.user.kept=k\n").count(), 2);
}

#[test]
fn sparse_holes_over_limit_are_rejected() {
    let large = |count: usize| {
        let files = (0..count).flat_map(|n| sparse(&n.to_string(), &[(0, 0)], 7 << 30, b""));
        let mut tar: Vec<u8> = files.collect();
        tar.resize(tar.len() + 1024, 0);
        [tar]
    };
    assert_eq!(Tree::read(blobs(&large(9)), &Control::default()).unwrap().shown.bytes, 63 << 30);
    let error = Tree::read(blobs(&large(10)), &Control::default()).unwrap_err().chain();
    assert!(error.contains("holes are too large"), "{error}");
}
