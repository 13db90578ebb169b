//! What entries become on disk, and how layers change lower ones.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rpull::error::{ErrorKind, Result};
use rpull::layer::{Entries, EntryLimits};
use rpull::unpack::{RootDir, SkipReason, UnpackOptions, Unpacked, Unpacker};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::entries::{TarItem, tar};
use crate::support::flat;
use crate::support::live::is_root;
use crate::support::outside_guard::OutsideGuard;
use crate::support::tree::{self, Node};

fn apply(root: &Path, layers: &[&[TarItem]]) -> Result<Unpacked> {
    flat::apply(root, &flat::tars(layers))
}

/// Returns the tree that these layers give.
fn unpacked(layers: &[&[TarItem]]) -> Vec<Node> {
    let dir = tempfile::tempdir().unwrap();
    apply(dir.path(), layers).unwrap();
    tree::nodes(dir.path(), &[])
}

fn node<'a>(nodes: &'a [Node], path: &str) -> &'a Node {
    nodes.iter().find(|node| node.path == path).unwrap_or_else(|| panic!("no {path} in {nodes:?}"))
}

#[test]
fn unpack_sets_all_attributes_of_entries() {
    if !is_root("unpack_sets_all_attributes_of_entries") {
        return;
    }
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let nodes = unpacked(&[&[
        TarItem::dir("./").mode(0o751).mtime(5),
        TarItem::dir("d").mode(0o2775).owner(3, 4).mtime(10),
        TarItem::file("d/plain", "x").mode(0o664).pax("mtime", "1.000000002"),
        TarItem::file("d/closed", "").mode(0),
        TarItem::file("su", "x").mode(0o6755).owner(7, 8),
        TarItem::file("ping", "x").mode(0o755).owner(9, 0).xattr("security.capability", capability),
        TarItem::file("x", "x").xattr("user.a", b"\0\xff").xattr("user.empty", "e"),
        TarItem::dir("tmp").mode(0o1777).xattr("user.d", "1"),
        TarItem::dir("locked").mode(0o500).mtime(77),
        TarItem::file("locked/in", "x"),
        TarItem::symlink("s", "../../nowhere").owner(5, 6).mtime(8),
        TarItem::hardlink("d/again", "su"),
        TarItem::device(b'3', "null", 1, 3).mode(0o666).owner(0, 5),
        TarItem::device(b'4', "disk", 259, 70_000).mode(0o660),
        TarItem::new(b'6', "pipe").mode(0o622),
        TarItem::file("missing/parent/file", "x"),
    ]]);
    let is = |path: &str, mode: u32, owner: (u32, u32), mtime: (i64, i64)| {
        let found = node(&nodes, path);
        assert_eq!((found.mode, found.owner, found.mtime), (mode, owner, mtime), "{path}");
    };
    let then = (1_600_000_000, 0);
    is("", 0o40751, (0, 0), (5, 0));
    is("d", 0o42775, (3, 4), (10, 0));
    is("d/plain", 0o100_664, (0, 0), (1, 2));
    is("d/closed", 0o100_000, (0, 0), then);
    is("su", 0o106_755, (7, 8), then);
    is("ping", 0o100_755, (9, 0), then);
    is("tmp", 0o41777, (0, 0), then);
    is("locked", 0o40500, (0, 0), (77, 0));
    is("s", 0o120_777, (5, 6), (8, 0));
    is("null", 0o20666, (0, 5), then);
    is("disk", 0o60660, (0, 0), then);
    is("pipe", 0o10622, (0, 0), then);
    is("missing/parent", 0o40755, (0, 0), (0, 0));
    assert_eq!(node(&nodes, "d/again").same_as, "su");
    assert_eq!(node(&nodes, "null").device, rustix::fs::makedev(1, 3));
    assert_eq!(node(&nodes, "disk").device, rustix::fs::makedev(259, 70_000));
    assert_eq!(node(&nodes, "s").bytes, b"../../nowhere");
    let capabilities = ("security.capability".to_owned(), capability.to_vec());
    assert_eq!(node(&nodes, "ping").attributes, [capabilities]);
    let attributes = [("user.a", &b"\0\xff"[..]), ("user.empty", b"e")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_vec()));
    assert_eq!(node(&nodes, "x").attributes, attributes);
    assert_eq!(node(&nodes, "tmp").attributes, [("user.d".to_owned(), b"1".to_vec())]);
}

#[test]
fn unpack_applies_whiteouts_and_replacements() {
    let base: &[TarItem] = &[
        TarItem::dir("a").mode(0o700).mtime(1).xattr("user.old", "1").xattr("user.both", "1"),
        TarItem::file("a/kept", "kept").mtime(2),
        TarItem::file("a/gone", "gone"),
        TarItem::dir("a/file"),
        TarItem::file("a/file/below", ""),
        TarItem::file("a/dir", ""),
        TarItem::dir("usr/lib").mtime(3),
        TarItem::symlink("lib", "usr/lib"),
        TarItem::file("twice", "1"),
        TarItem::hardlink("link", "twice"),
    ];
    let upper: &[TarItem] = &[
        TarItem::whiteout("a/gone"),
        TarItem::dir("a").mode(0o755).mtime(9).xattr("user.both", "2").xattr("user.new", "2"),
        TarItem::file("a/file", "file now"),
        TarItem::dir("a/dir"),
        TarItem::file("lib/new", "new"),
        TarItem::file("twice", "2"),
        TarItem::file("twice", "3"),
    ];
    let nodes = unpacked(&[base, upper]);
    let names: Vec<_> = nodes.iter().map(|node| node.path.as_str()).collect();
    let wanted = [
        "",
        "a",
        "lib",
        "link",
        "twice",
        "usr",
        "a/dir",
        "a/file",
        "a/kept",
        "usr/lib",
        "usr/lib/new",
    ];
    assert_eq!(names, wanted);
    let a = node(&nodes, "a");
    assert_eq!((a.mode, a.mtime), (0o40755, (9, 0)));
    let attributes = [("user.both", "2"), ("user.new", "2")];
    assert_eq!(a.attributes, attributes.map(|(name, value)| (name.to_owned(), value.into())));
    assert_eq!(node(&nodes, "a/file").bytes, b"file now");
    assert_eq!(node(&nodes, "usr/lib").mtime, (3, 0), "making a file in it does not count");
    assert_eq!(node(&nodes, "twice").bytes, b"3");
    assert_eq!(node(&nodes, "link").bytes, b"1", "the other name has the old file");
    assert_eq!(node(&nodes, "lib").bytes, b"usr/lib");
}

#[test]
fn opaque_below_file_is_ignored() {
    let layer: &[TarItem] = &[
        TarItem::file("f", "f"),
        TarItem::file("f/below/.wh..wh..opq", ""),
        TarItem::file("g", "g"),
        TarItem::file("g/.wh..wh..opq", ""),
        TarItem::symlink("s", "g"),
        TarItem::file("s/.wh..wh..opq", ""),
    ];
    let directories = &[TarItem::file("f/x", ""), TarItem::file("g/x", ""), TarItem::dir("s")];
    let markers = &[TarItem::file("g/.wh..wh..opq", ""), TarItem::file("f/.wh..wh..opq", "")];
    for layers in [&[layer][..], &[&[], layer], &[directories, layer], &[layer, markers]] {
        let nodes = unpacked(layers);
        let found: Vec<_> = nodes.iter().map(|node| (&node.path[..], node.mode >> 12)).collect();
        assert_eq!(found, [("", 0o4), ("f", 0o10), ("g", 0o10), ("s", 0o12)]);
    }
}

#[test]
fn sparse_file_stays_sparse() {
    let dir = tempfile::tempdir().unwrap();
    let mut unpacker =
        Unpacker::new(RootDir::open(dir.path()).unwrap(), UnpackOptions::default()).unwrap();
    let sparse = crate::support::entries::sparse("s", &[(4 << 20, 3)], 8 << 20, b"end");
    unpacker.apply("l", &mut Entries::new(&sparse[..], EntryLimits::default())).unwrap();
    unpacker.finish().unwrap();
    let found = dir.path().join("s").metadata().unwrap();
    assert_eq!(found.len(), 8 << 20);
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    let bytes = fs::read(dir.path().join("s")).unwrap();
    assert_eq!(&bytes[4 << 20..(4 << 20) + 4], b"end\0");
}

#[test]
fn xattr_privileged_is_skipped_with_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let steering =
        ["trusted.overlay.opaque", "user.overlay.redirect", "security.selinux", "system.a"];
    let items: Vec<_> = steering
        .iter()
        .map(|name| TarItem::file(name, "").xattr(name, "y").xattr("user.kept", "k"))
        .collect();
    let done = apply(dir.path(), &[&items]).unwrap();
    let left: Vec<_> = done.skipped.iter().map(|left| (left.cause, left.entries)).collect();
    assert!(left.contains(&(SkipReason::ForeignAttribute, 4)), "{left:?}");
    for node in &tree::nodes(dir.path(), &[])[1..] {
        assert_eq!(node.attributes, [("user.kept".to_owned(), b"k".to_vec())], "{}", node.path);
    }
}

#[test]
fn invalid_entry_fails_with_layer_and_path() {
    let many: Vec<TarItem> =
        (0..50).map(|n| TarItem::symlink(format!("l{n}"), format!("l{}", n + 1))).collect();
    for (items, path, why) in [
        (&[TarItem::hardlink("a", "missing")][..], "a", "hard link to a file that does not exist"),
        (&[TarItem::hardlink("a", "b"), TarItem::hardlink("b", "a")], "a", "does not exist"),
        (&[TarItem::hardlink("a", "a")], "a", "does not exist"),
        (&[TarItem::dir("d"), TarItem::hardlink("a", "d")], "a", "hard link to a directory"),
        (&[TarItem::file("f", ""), TarItem::file("f/x", "")], "f/x", "Not a directory"),
        (&[TarItem::file("n".repeat(256), "")], "nnnn", "File name too long"),
        (
            &[TarItem::symlink("loop", "loop"), TarItem::file("loop/x", "")],
            "loop/x",
            "symbolic links",
        ),
        (&[&many[..], &[TarItem::file("l0/x", "")]].concat(), "l0/x", "symbolic links"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = apply(dir.path(), &[&[], items]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unpack);
        let text = error.chain();
        assert!(
            text.starts_with("layer 1: ") && text.contains(path) && text.contains(why),
            "{text}"
        );
    }
}

#[test]
fn deep_paths_and_many_hardlinks_are_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let deep = vec!["d"; 2000].join("/");
    let long = format!("{}/x", vec!["n".repeat(250); 17].join("/"));
    apply(dir.path(), &[&[TarItem::file(&deep, "deep"), TarItem::symlink("s", &deep)]]).unwrap();
    let error = apply(dir.path(), &[&[TarItem::file(&long, "")]]).unwrap_err();
    assert!(error.chain().contains("too long"), "{}", error.chain());
    // All of it can be removed again.
    apply(dir.path(), &[&[TarItem::file(".wh..wh..opq", "")]]).unwrap();
    assert_eq!(tree::names(dir.path()), Vec::<String>::new());
    let links: Vec<_> = (0..3000).map(|n| TarItem::hardlink(n.to_string(), "one")).collect();
    apply(dir.path(), &[&[&[TarItem::file("one", "")], &links[..]].concat()]).unwrap();
    assert_eq!(dir.path().join("one").metadata().unwrap().nlink(), 3001);
}

#[test]
fn symlink_escape_stays_inside_root() {
    let guard = OutsideGuard::new();
    let root = guard.root();
    for (name, target) in [("planted", "../victim"), ("absolute", "/tmp")] {
        symlink(target, root.join(name)).unwrap();
    }
    let first: &[TarItem] = &[
        TarItem::symlink("up", "../victim"),
        TarItem::symlink("out", root.parent().unwrap().join("victim").to_str().unwrap()),
        TarItem::symlink("chain", "up"),
    ];
    let through = |link: &str| {
        [
            TarItem::file(format!("{link}/hello"), "pwned"),
            TarItem::dir(format!("{link}/below")).mode(0o777).owner(1, 1).xattr("user.pwned", "1"),
            TarItem::whiteout(&format!("{link}/link")),
            TarItem::file(format!("{link}/.wh..wh..opq"), ""),
            TarItem::symlink(format!("{link}/x"), "y"),
            TarItem::device(b'6', &format!("{link}/pipe"), 0, 0),
        ]
    };
    for link in ["planted", "up", "out", "chain", "absolute", "up/../../victim"] {
        apply(root, &[first, &through(link)]).unwrap();
        guard.assert_unharmed(link);
        let linked = TarItem::hardlink("stolen", format!("{link}/deeper/hello"));
        assert!(apply(root, &[first, &[linked]]).is_err());
        // The last component of a path is never followed.
        let last = [
            TarItem::file("up", "x"),
            TarItem::dir("out").mode(0o777),
            TarItem::hardlink("chain", "up"),
        ];
        apply(root, &[first, &last]).unwrap();
        guard.assert_unharmed(link);
    }
}

#[test]
fn symlink_swapped_in_during_unpack_stays_inside_root() {
    let guard = OutsideGuard::new();
    let root = guard.root().to_owned();
    fs::create_dir(root.join("dir")).unwrap();
    symlink("../victim", root.join("link")).unwrap();
    let done = AtomicBool::new(false);
    let layer: Vec<_> = ["dir", "link"]
        .iter()
        .flat_map(|dir| {
            [
                TarItem::file(format!("{dir}/hello"), "pwned"),
                TarItem::dir(format!("{dir}/below")).mode(0o777).mtime(1),
                TarItem::file(format!("{dir}/below/deep"), "pwned"),
                TarItem::symlink(format!("{dir}/link"), "pwned"),
                TarItem::whiteout(&format!("{dir}/link")),
            ]
        })
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (a, b) = (root.join("dir"), root.join("link"));
            while !done.load(Ordering::Relaxed) {
                // The unpacker may have removed one of them.
                _ = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
                if b.symlink_metadata().is_err() {
                    drop(symlink("../victim", &b));
                }
            }
        });
        let rounds = 10_000 / (2 * layer.len());
        let outcomes: Vec<_> = (0..rounds).map(|_| apply(&root, &[&[], &layer]).is_ok()).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(outcomes.len(), rounds);
    });
    // Content swapped into the root is harmless; writes outside are not.
    for path in ["hello", "below/deep"] {
        let text = fs::read_to_string(root.parent().unwrap().join("victim").join(path)).unwrap();
        assert_eq!(text, "canary of the host");
    }
}

/// Returns a random entry with few names, so that they collide.
fn any_item(random: &mut fastrand::Rng) -> TarItem {
    let part = |random: &mut fastrand::Rng| {
        ["a", "b", "c", "..", ".", "", "victim", ".wh.a", ".wh..wh..opq", "hello"]
            [random.usize(..10)]
    };
    let path = |random: &mut fastrand::Rng| {
        let count = random.usize(1..5);
        (0..count).map(|_| part(random)).collect::<Vec<_>>().join("/")
    };
    let (name, other) = (path(random), path(random));
    let up = if random.bool() { "/" } else { "../../" };
    match random.u8(..7) {
        0 | 1 => TarItem::file(name, "pwned"),
        2 => TarItem::dir(name).mode(random.u32(..0o10000)).xattr("user.pwned", "1"),
        3 | 4 => TarItem::symlink(name, format!("{up}{other}")),
        5 => TarItem::hardlink(name, other),
        _ => TarItem::new(b'6', name).mode(0o777),
    }
}

#[test]
fn random_layers_change_nothing_outside_root() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut applied = 0;
    for round in 0..400 {
        let guard = OutsideGuard::new();
        let options = UnpackOptions::default();
        let mut unpacker = Unpacker::new(RootDir::open(guard.root()).unwrap(), options).unwrap();
        // Alone and together with others in a layer: a rejected entry ends only its layer.
        for size in [1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 8] {
            let items: Vec<_> = (0..size).map(|_| any_item(&mut random)).collect();
            let tar = tar(&items);
            let layer = unpacker.apply("l", &mut Entries::new(&tar[..], EntryLimits::default()));
            applied += usize::from(layer.is_ok());
        }
        unpacker.finish().unwrap();
        guard.assert_unharmed(&format!("round {round}"));
    }
    assert!(applied > 1500, "only {applied} layers had an effect");
}
