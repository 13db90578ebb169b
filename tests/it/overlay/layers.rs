//! What layers become in directories of their own: the same tree when they are mounted as in one root.

use std::fs;

use rpull::digest::Digest;
use rpull::error::Result;
use rpull::unpack::SkipReason;

use crate::support::entries::TarItem;
use crate::support::flat::{apply, random_layers, tars};
use crate::support::live::is_root;
use crate::support::mounted::can_mount;
use crate::support::outside_guard::OutsideGuard;
use crate::support::stack::{Stack, is_whiteout, opaque, unpack};
use crate::support::tree::{self, Node};

/// The tree that these layers give in one root.
fn flat(layers: &[&[TarItem]]) -> Result<Vec<Node>> {
    let dir = tempfile::tempdir().unwrap();
    apply(dir.path(), &tars(layers))?;
    Ok(tree::nodes(dir.path(), &[]))
}

/// A hard link into a lower layer has one name less: other names of the file there keep the old one.
fn without_links(mut nodes: Vec<Node>) -> Vec<Node> {
    for node in &mut nodes {
        node.same_as.clear();
    }
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

fn base() -> Vec<TarItem> {
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
fn implicit_directory_copies_attributes_of_lower_layer() {
    if !is_root("implicit_directory_copies_attributes_of_lower_layer") {
        return;
    }
    let stack = Stack::of(&[&base(), &[TarItem::file("a/b/new", "n")]]);
    let nodes = tree::nodes(&stack.diff(1), &[]);
    let found: Vec<_> =
        nodes.iter().map(|node| (&node.path[..], node.mode, node.owner, node.mtime.0)).collect();
    let wanted = [
        ("", 0o40711, (1, 2), 3),
        ("a", 0o40750, (3, 4), 5),
        ("a/b", 0o41777, (0, 0), 6),
        ("a/b/new", 0o100_644, (0, 0), 1_600_000_000),
    ];
    assert_eq!(found, wanted);
    assert_eq!(nodes[1].attributes, [("user.a".to_owned(), b"1".to_vec())]);
}

#[test]
fn symlink_of_lower_layer_leads_to_its_target_directory() {
    let stack = Stack::of(&[&base(), &[TarItem::file("l/new", "n"), TarItem::whiteout("abs/x")]]);
    assert_eq!(stack.names(1), ["a/", "a/b/", "a/b/new", "a/x"]);
    assert!(is_whiteout(&stack.nodes(1)[2]), "{:?}", stack.nodes(1));
}

#[test]
fn hardlink_to_lower_layer_copies_up() {
    let stack = Stack::of(&[
        &base(),
        &[
            TarItem::hardlink("link", "l/c"),
            TarItem::hardlink("also", "a/b/c"),
            TarItem::hardlink("s", "l"),
        ],
    ]);
    assert_eq!(stack.names(1), ["a/", "a/b/", "a/b/c", "also", "l", "link", "s"]);
    let nodes = stack.nodes(1);
    let of = |path: &str| nodes.iter().find(|node| node.path == path).unwrap();
    let below = stack.nodes(0);
    let below = below.iter().find(|node| node.path == "a/b/c").unwrap();
    assert_eq!(Node { same_as: "also".into(), ..below.clone() }, *of("a/b/c"));
    assert_eq!((&of("link").same_as[..], &of("s").bytes[..]), ("also", &b"a/b"[..]));
    assert_eq!(stack.done.unpacked.bytes, 4, "the copy counts as a file of the layer");
}

#[test]
fn sparse_file_copied_up_stays_sparse() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (chains, _) = unpack(dir.path(), &[&[TarItem::file("s", "")]]).unwrap();
    let diff = |chain: &Digest| dir.path().join("overlay2").join(chain.encoded()).join("diff");
    fs::File::options()
        .write(true)
        .open(diff(&chains[0]).join("s"))
        .unwrap()
        .set_len(9 << 30)
        .unwrap();
    let (chains, _) =
        unpack(dir.path(), &[&[TarItem::file("s", "")], &[TarItem::hardlink("l", "s")]]).unwrap();
    let copy = diff(&chains[1]).join("l").metadata().unwrap();
    assert_eq!((copy.len(), copy.blocks()), (9 << 30, 0));
}

#[test]
fn whiteout_and_opaque_are_made_only_if_needed() {
    let stack = Stack::of(&[
        &base(),
        &[
            TarItem::whiteout("a/x"),
            TarItem::whiteout("a/absent"),
            TarItem::whiteout("gone/absent"),
            TarItem::whiteout("f"),
            TarItem::file("f", "mine"),
            TarItem::dir("new"),
            TarItem::file("new/.wh..wh..opq", ""),
            TarItem::whiteout("new/x"),
            TarItem::file("a/b/mine", ""),
            TarItem::file("a/b/.wh..wh..opq", ""),
            TarItem::whiteout("a/b/c"),
        ],
        &[TarItem::whiteout("a/x"), TarItem::whiteout("a")],
        &[TarItem::whiteout("a"), TarItem::file("a/again", "")],
    ]);
    assert_eq!(stack.names(1), ["a/", "a/b/", "a/b/mine", "a/x", "f", "new/"]);
    let nodes = stack.nodes(1);
    let of = |path: &str| nodes.iter().find(|node| node.path == path).unwrap();
    assert!(is_whiteout(of("a/x")) && opaque(of("a/b")) && !opaque(of("new")));
    assert_eq!(of("f").bytes, b"mine");
    assert_eq!(stack.names(2), ["a"]);
    assert!(is_whiteout(&stack.nodes(2)[0]));
    assert!(!opaque(&stack.nodes(3)[0]), "{:?}", stack.nodes(3));
}

#[test]
fn opaque_is_set_on_replaced_directory() {
    let stack = Stack::of(&[
        &base(),
        &[TarItem::file("a", "file"), TarItem::dir("a"), TarItem::whiteout("l"), TarItem::dir("l")],
        &[TarItem::file(".wh..wh..opq", ""), TarItem::dir("a"), TarItem::file("kept", "")],
    ]);
    assert_eq!(stack.names(1), ["a/", "l/"]);
    assert!(stack.nodes(1).iter().all(opaque));
    // The kernel does not look for a mark on the root.
    assert_eq!(stack.names(2), ["a/", "abs", "f", "kept", "l"]);
    let marked: Vec<_> =
        stack.nodes(2).iter().map(|node| opaque(node) || is_whiteout(node)).collect();
    assert_eq!(marked, [true, true, true, false, true]);
}

#[test]
fn whiteout_device_entry_hides_and_warns() {
    let stack = Stack::of(&[
        &base(),
        &[TarItem::device(b'3', "f", 0, 0), TarItem::device(b'3', "n", 0, 0)],
    ]);
    assert_eq!(stack.names(1), ["f"]);
    let left: Vec<_> =
        stack.done.unpacked.left_out.iter().map(|one| (one.cause, one.entries)).collect();
    assert!(left.contains(&(SkipReason::WhiteoutDevice, 2)), "{left:?}");
}

#[test]
fn overlay_invalid_entry_fails_as_in_unpack() {
    for (items, why) in [
        (&[TarItem::hardlink("n", "absent")][..], "not there"),
        (&[TarItem::whiteout("f"), TarItem::hardlink("n", "f")], "not there"),
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
