//! Layers of an overlay directory: mounted they show the same tree as `unpack`.

use std::fs;

use rpull::error::Result;

use crate::support::entries::TarItem;
use crate::support::flat::{apply, random_layers, tars};
use crate::support::mounted::can_mount;
use crate::support::outside_guard::OutsideGuard;
use crate::support::stack::{Stack, unpack};
use crate::support::tree::{self, Node};

/// Returns the tree that `unpack` makes of these layers.
fn flat(layers: &[&[TarItem]]) -> Result<Vec<Node>> {
    let dir = tempfile::tempdir().unwrap();
    apply(dir.path(), &tars(layers))?;
    Ok(tree::nodes(dir.path(), &[]))
}

/// Clears hard links: in an overlay, other names of a file in a lower layer keep the old one.
fn without_links(mut nodes: Vec<Node>) -> Vec<Node> {
    for node in &mut nodes {
        node.same_as.clear();
    }
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

/// A base layer with attributes, links and directories.
pub(super) fn base() -> Vec<TarItem> {
    vec![
        TarItem::dir("./").mode(0o711).owner(1, 2).mtime(3),
        TarItem::dir("a").mode(0o750).owner(3, 4).mtime(5).xattr("user.a", "1"),
        TarItem::dir("a/b").mode(0o1777).mtime(6),
        TarItem::file("a/b/c", "c").mode(0o4755).owner(7, 8).mtime(9).xattr("user.c", "2"),
        TarItem::file("a/x", "x"),
        TarItem::symlink("l", "a/b"),
        TarItem::symlink("abs", "/a"),
        TarItem::file("f", "f"),
    ]
}

#[test]
fn overlay_invalid_entry_fails_as_in_unpack() {
    for (items, why) in [
        (&[TarItem::hardlink("n", "absent")][..], "does not exist"),
        (&[TarItem::whiteout("f"), TarItem::hardlink("n", "f")], "does not exist"),
        (&[TarItem::hardlink("n", "a/b")], "hard link to a directory"),
        (&[TarItem::file("f/x", "")], "Not a directory"),
        (&[TarItem::file("f/y/x", "")], "Not a directory"),
    ] {
        let base = base();
        let error = Stack::try_of(&[&base, items]).err().unwrap().chain();
        assert!(error.starts_with("layer 1: ") && error.contains(why), "{error}");
        assert!(flat(&[&base, items]).is_err());
    }
}

#[test]
fn overlay_random_layers_mount_like_unpack() {
    if !can_mount("overlay_random_layers_mount_like_unpack") {
        return;
    }
    let mut compared = 0;
    for seed in 0..400 {
        let layers = random_layers(&mut fastrand::Rng::with_seed(seed));
        let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
        let (stack, wanted) = (Stack::try_of(&layers), flat(&layers));
        match (stack, wanted) {
            (Ok(stack), Ok(wanted)) => {
                let (found, wanted) = (without_links(stack.mounted()), without_links(wanted));
                assert_eq!(found, wanted, "seed {seed}: {layers:?}");
                compared += 1;
            }
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => panic!("seed {seed}: {error:?}: {layers:?}"),
            (Ok(_), Err(error)) => panic!("seed {seed}: only in one root {error:?}: {layers:?}"),
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn symlink_escape_from_overlay_is_blocked() {
    let guard = OutsideGuard::new();
    let victim = guard.root().parent().unwrap().join("victim");
    let first: &[TarItem] = &[
        TarItem::symlink("up", "../../../../victim"),
        TarItem::symlink("out", victim.to_str().unwrap()),
        TarItem::symlink("chain", "up"),
    ];
    for link in ["up", "out", "chain", "up/../../../../../victim"] {
        let second = [
            TarItem::file(format!("{link}/hello"), "pwned"),
            TarItem::dir(format!("{link}/below")).mode(0o777).owner(1, 1).xattr("user.pwned", "1"),
            TarItem::whiteout(&format!("{link}/link")),
            TarItem::file(format!("{link}/.wh..wh..opq"), ""),
            TarItem::symlink(format!("{link}/x"), "y"),
        ];
        unpack(guard.root(), &[first, &second]).unwrap();
        guard.assert_unharmed(link);
        let third = [TarItem::hardlink("stolen", format!("{link}/link"))];
        assert!(unpack(guard.root(), &[first, &third]).is_err());
        guard.assert_unharmed(link);
    }
}

#[test]
fn overlay_existing_layer_is_shared_damaged_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let (base, app, other) = (base(), [TarItem::file("app", "1")], [TarItem::file("app", "22")]);
    let (chains, _) = unpack(dir.path(), &[&base, &app]).unwrap();
    let marker = dir.path().join("overlay2").join(chains[0].encoded()).join("diff/f");
    fs::write(&marker, "touched").unwrap();
    let (_, done) = unpack(dir.path(), &[&base, &other]).unwrap();
    assert_eq!((done.shared, done.sizes[0], done.unpacked.bytes), (1, None, 2));
    assert_eq!(fs::read_to_string(&marker).unwrap(), "touched");
    fs::remove_file(dir.path().join("overlay2").join(chains[0].encoded()).join("committed"))
        .unwrap();
    let (_, done) = unpack(dir.path(), &[&base, &other]).unwrap();
    assert_eq!((done.shared, done.shared_bytes), (1, 2));
    assert_eq!(fs::read_to_string(&marker).unwrap(), "f");
}
