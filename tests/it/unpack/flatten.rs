//! Layers flattened to one tar: the same tree as unpacking them one over the other.

use std::collections::HashSet;

use rpull::digest::Digest;
use rpull::error::ErrorKind;
use rpull::flatten::Tree;
use rpull::unpack::SkipReason;

use crate::support::entries::{Item, sparse, tar};
use crate::support::flat::{apply, blobs, by_chance, by_gnu_tar, flattened, tars};
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
        let layers = by_chance(&mut fastrand::Rng::with_seed(seed));
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
                    by_gnu_tar(&file, root.path());
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
        Item::dir("./").mode(0o751).owner(1, 2).pax("mtime", "1000.000000001"),
        Item::dir("etc").mtime(1001).xattr("user.dir", "1"),
        Item::file("etc/passwd", "root").mode(0o640).owner(3, 4).pax("mtime", "1234.000000567"),
        Item::file("etc/gone", "x"),
        Item::file("su", "x").mode(0o6755).owner(9, 4_000_000_000),
        Item::file("ping", "x").mode(0o755).xattr("security.capability", CAPABILITY),
        Item::file("odd", "x").xattr("user.a", b"\0\n=\xff").xattr("user.empty", ""),
        Item::dir("tmp").mode(0o1777).mtime(8),
        Item::dir("shared").mode(0o2775).owner(0, 50).mtime(9),
        Item::dir("locked").mode(0o500).mtime(13),
        Item::file("locked/in", "x").mode(0o400),
        Item::symlink("link", "../../nowhere").owner(5, 6).mtime(7),
        Item::hardlink("link2", "link"),
        Item::symlink("long-link", format!("/{long}")),
        Item::device(b'3', "null", 1, 3).mode(0o666),
        Item::device(b'4', "disk", 259, 70_000).mode(0o660).owner(0, 6),
        Item::new(b'6', "pipe").mode(0o622),
        Item::file(&long, vec![7; 700]),
        Item::hardlink(format!("{long}2"), &long),
        Item::file(b"\xffno-text\n", "x"),
        Item::file(b"\xff".repeat(150), "x"),
        Item::file("first", "shared"),
        Item::hardlink("etc/second", "first"),
        Item::file("missing/parent/file", "x"),
    ];
    let upper = [
        Item::whiteout("etc/gone"),
        Item::whiteout("first"),
        Item::dir("shared").mode(0o2770).owner(7, 50).mtime(10),
        Item::file("shared/file", "x"),
        Item::symlink("locked/absolute", "/etc/passwd"),
        Item::hardlink("third", "etc/second"),
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
    by_gnu_tar(&dir.path().join("tar"), root.path());
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
    let base = [Item::file("a", "shared"), Item::hardlink("d/b", "a"), Item::hardlink("c", "a")];
    let upper = [
        Item::whiteout("a"),
        Item::hardlink("e", "c"),
        Item::symlink("s", "c"),
        Item::hardlink("t", "s"),
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
    let base = [Item::file("d/gone", ""), Item::file("d/kept", ""), Item::file("o/gone", "")];
    let upper =
        [Item::whiteout("d/gone"), Item::file("o/.wh..wh..opq", ""), Item::file("o/new", "")];
    let (_, tar) = flattened(&tars(&[&base, &upper])).unwrap();
    let found: Vec<String> = entries(&tar).into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(found, ["d/", "d/kept", "o/", "o/new", "./"]);
}

#[test]
fn flatten_skips_layers_without_visible_bytes() {
    let base = [Item::file("a", "hidden"), Item::file("empty", ""), Item::dir("d")];
    let upper = [Item::file("a", "shown"), Item::symlink("s", "a")];
    let tars = tars(&[&base, &upper, &[Item::file("d/again", "")]]);
    let tree = Tree::read(blobs(&tars), &|_| true).unwrap();
    let mut again = blobs(&tars);
    for layer in [0, 2] {
        again[layer].open = Box::new(|_| panic!("it is read"));
    }
    let mut written = Vec::new();
    let mut output = |bytes: &[u8]| {
        written.extend_from_slice(bytes);
        Ok(())
    };
    tree.write(again, &|_| true, &mut output).unwrap();
    assert_eq!(unpacked(&[written]), unpacked(&tars));
}

#[test]
fn flatten_layer_changed_between_reads_is_rejected() {
    let (first, other) =
        (tars(&[&[Item::file("a", "12345")]]), tars(&[&[Item::file("a", "54321")]]));
    let longer = tars(&[&[Item::file("a", "123456")]]);
    let tree = Tree::read(blobs(&first), &|_| true).unwrap();
    for (changed, kind, why) in [
        (&other, ErrorKind::Mismatch, "uncompressed it has digest"),
        (&longer, ErrorKind::Unpack, "a: has changed since it was read"),
    ] {
        let mut again = blobs(changed);
        again[0].diff_id = Digest::sha256(&first[0]);
        let error = tree.write(again, &|_| true, &mut |_| Ok(())).unwrap_err();
        assert_eq!((error.layer(), error.kind()), (Some(0), kind));
        assert!(error.chain().contains(why), "{}", error.chain());
    }
    let error = tree.write(Vec::new(), &|_| true, &mut |_| panic!("it writes")).unwrap_err();
    assert_eq!(error.chain(), "layers: are others than were read");
}

#[test]
fn flatten_invalid_layer_reports_layer_and_path() {
    let many: Vec<Item> =
        (0..50).map(|n| Item::symlink(format!("l{n}"), format!("l{}", n + 1))).collect();
    let long = "n".repeat(256);
    let deep = format!("{}/x", vec!["n".repeat(250); 17].join("/"));
    for (items, path, why) in [
        (&[Item::hardlink("a", "missing")][..], "a", "hard link to what is not there"),
        (&[Item::hardlink("a", "b"), Item::hardlink("b", "a")], "a", "not there"),
        (&[Item::hardlink("a", "a")], "a", "not there"),
        (&[Item::hardlink("a", "f/x/y")], "a", "not there"),
        (&[Item::dir("d"), Item::hardlink("a", "d")], "a", "hard link to a directory"),
        (&[Item::file("d/x", ""), Item::hardlink("d", "d/x")], "d", "not there"),
        (&[Item::file("f", ""), Item::file("f/x", "")], "f/x", "Not a directory"),
        (&[Item::file("f", ""), Item::file("f/x/y", "")], "f/x/y", "Not a directory"),
        (&[Item::file(&long, "")], "nnnn", "File name too long"),
        (&[Item::file(format!("{long}/x"), "")], "nnnn", "File name too long"),
        (&[Item::file(format!("d/{long}/x"), "")], "d/nnnn", "File name too long"),
        (&[Item::whiteout(&long)], "nnnn", "File name too long"),
        (&[Item::file(&deep, "")], "", "too long"),
        (&[Item::symlink("loop", "loop"), Item::file("loop/x", "")], "loop/x", "symbolic links"),
        (&[&many[..], &[Item::file("l0/x", "")]].concat(), "l0/x", "symbolic links"),
        (&[Item::file("ok", ""), Item::new(b'Q', "odd")], "ok", "unknown type 'Q'"),
    ] {
        let tars = tars(&[&[], items]);
        let error = Tree::read(blobs(&tars), &|_| true).unwrap_err();
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
        .map(|name| Item::file(name, "").xattr(name, "y").xattr("user.kept", "k"))
        .collect();
    let (tree, tar) = flattened(&tars(&[&items, &[Item::file("security.selinux", "")]])).unwrap();
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
    assert_eq!(Tree::read(blobs(&large(9)), &|_| true).unwrap().shown.bytes, 63 << 30);
    let error = Tree::read(blobs(&large(10)), &|_| true).unwrap_err().chain();
    assert!(error.contains("holes are too large"), "{error}");
}
