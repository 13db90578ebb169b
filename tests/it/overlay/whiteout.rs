//! Whiteouts and opaque directories of overlay layers.

use rpull::unpack::SkipReason;

use super::layers::base;
use crate::support::entries::TarItem;
use crate::support::stack::{Stack, is_whiteout, opaque};

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
    // The kernel ignores an opaque attribute on the root.
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
        stack.done.unpacked.skipped.iter().map(|one| (one.cause, one.entries)).collect();
    assert!(left.contains(&(SkipReason::WhiteoutDevice, 2)), "{left:?}");
}
