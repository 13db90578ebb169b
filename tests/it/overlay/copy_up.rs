//! Copy-up: what an overlay layer takes from the layers below.

use std::fs;

use rpull::digest::Digest;

use super::layers::base;
use crate::support::entries::TarItem;
use crate::support::live::is_root;
use crate::support::stack::{Stack, is_whiteout, unpack};
use crate::support::tree::{self, Node};

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
