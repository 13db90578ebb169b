//! Random hostile layers: `unpack`, overlay directories and `export` give the same tree, or all three reject them.

use fastrand::Rng;
use rpull::error::Result;

use crate::support::entries::TarItem;
use crate::support::flat::{apply, flattened, tars};
use crate::support::live::is_root;
use crate::support::mounted::can_mount;
use crate::support::stack::Stack;
use crate::support::tree::{self, Node};

const NAMES: [&str; 8] =
    ["a", "b", "c", ".wh..wh.plnk", ".wh..wh.orph", ".wh", "..", ".wh..wh..opq"];

fn path(random: &mut Rng) -> String {
    let depth = random.usize(1..=3);
    let names: Vec<_> = (0..depth)
        .map(|_| {
            let few = if random.u8(0..4) == 0 { NAMES.len() } else { 3 };
            NAMES[random.usize(..few)]
        })
        .collect();
    names.join("/")
}

fn item(random: &mut Rng) -> TarItem {
    let at = path(random);
    let long = "n".repeat(random.usize(250..260));
    match random.u8(0..34) {
        0..=5 => TarItem::file(&at, random.u8(..).to_string()).mode(random.u32(0..0o10000)),
        6..=10 => TarItem::dir(&at).mode(random.u32(0..0o10000)).mtime(random.u64(1..99)),
        11..=12 => TarItem::symlink(&at, format!("/{}", path(random))),
        13 => TarItem::symlink(&at, format!("../{}", path(random))),
        14..=17 => TarItem::hardlink(&at, path(random)),
        18..=20 => TarItem::file(format!("{at}/.wh..wh..opq"), ""),
        21..=23 => TarItem::whiteout(&at),
        24 => TarItem::file(format!(".wh..wh.plnk/{}", random.u8(0..2)), random.u8(..).to_string()),
        25 => TarItem::hardlink(&at, format!(".wh..wh.plnk/{}", random.u8(0..2))),
        26 => TarItem::hardlink(format!(".wh..wh.plnk/{}", random.u8(0..2)), path(random)),
        27 => TarItem::new(b'6', &at),
        28 => TarItem::device(b'3', &at, random.u32(1..4097), random.u32(0..3)),
        29 => TarItem::device(b'4', &at, 8, (1 << 20) - random.u32(0..2)),
        30 if random.bool() => TarItem::file(format!("{at}/{long}"), ""),
        30 if random.bool() => TarItem::whiteout(&format!("{at}/{long}")),
        30 => TarItem::hardlink(&at, format!("a/{long}")),
        31 => TarItem::file(
            format!("{at}/{}x", "d/".repeat(if random.bool() { 5 } else { 2050 })),
            "",
        ),
        32 => TarItem::dir("./").mode(random.u32(0..0o10000)),
        _ => TarItem::symlink("a", "a"),
    }
}

/// Nodes without hardlinks: an overlay copies up a file that an upper layer links to.
fn without_links(mut nodes: Vec<Node>) -> Vec<Node> {
    for node in &mut nodes {
        node.same_as.clear();
    }
    nodes
}

fn words<T>(result: &Result<T>) -> Option<String> {
    result.as_ref().err().map(rpull::error::Error::chain)
}

#[test]
fn unpack_overlay_and_export_agree_on_hostile_layers() {
    let test = "unpack_overlay_and_export_agree_on_hostile_layers";
    if !is_root(test) {
        return;
    }
    let mounts = can_mount(test);
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..300 {
        let random = &mut Rng::with_seed(seed);
        let layers: Vec<Vec<TarItem>> = (0..random.usize(1..=3))
            .map(|_| (0..random.usize(1..=6)).map(|_| item(random)).collect())
            .collect();
        let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
        let tars = tars(&layers);
        let root = tempfile::tempdir().unwrap();
        let on_disk = apply(root.path(), &tars);
        let (as_tar, apart) = (flattened(&tars), Stack::try_of(&layers));
        let found = (words(&on_disk), words(&as_tar));
        assert_eq!(found.0, found.1, "seed {seed}: {layers:?}");
        // The overlay unpacks layers concurrently and may report any of several bad ones.
        let other = words(&apart);
        assert_eq!(
            found.0.is_some(),
            other.is_some(),
            "seed {seed}: {found:?} {other:?} {layers:?}"
        );
        let (Ok((_, tar)), Ok(stack)) = (as_tar, apart) else {
            refused += 1;
            continue;
        };
        taken += 1;
        let nodes = tree::nodes(root.path(), &[]);
        let names: Vec<_> = nodes.iter().map(|node| &node.path[..]).collect();
        assert!(!names.iter().any(|name| name.contains(".wh..wh.")), "seed {seed}: {names:?}");
        let again = tempfile::tempdir().unwrap();
        apply(again.path(), &[tar]).unwrap();
        assert_eq!(tree::nodes(again.path(), &[]), nodes, "seed {seed}: {layers:?}");
        if mounts && seed % 2 == 0 {
            let (found, wanted) = (without_links(stack.mounted()), without_links(nodes));
            assert_eq!(found, wanted, "seed {seed}: {layers:?}");
        }
    }
    assert!(taken > 60 && refused > 60, "{taken} {refused}");
}

fn of_aufs() -> Vec<TarItem> {
    vec![
        TarItem::dir("./").mode(0o755).mtime(1),
        TarItem::file("in/a", "shared"),
        TarItem::dir(".wh..wh.plnk").mode(0o700),
        TarItem::file(".wh..wh.plnk/1.1", "data").mode(0o4755).owner(3, 4),
        TarItem::hardlink(".wh..wh.plnk/2.1", "in/a"),
        TarItem::symlink(".wh..wh.plnk/3.1", "bin/x"),
        TarItem::file(".wh..wh.plnk/4.1", "lost"),
        TarItem::dir(".wh..wh.orph"),
        TarItem::file(".wh..wh.orph/deep/er", "lost"),
        TarItem::file(".wh..wh.aufs", ""),
        TarItem::hardlink("bin/x", ".wh..wh.plnk/1.1"),
        TarItem::hardlink("in/b", ".wh..wh.plnk/2.1"),
        TarItem::hardlink("bin/y", ".wh..wh.plnk/1.1"),
        TarItem::hardlink("s", ".wh..wh.plnk/3.1"),
    ]
}

#[test]
fn aufs_metadata_is_removed_and_hardlinks_kept() {
    let base = of_aufs();
    let upper = [
        TarItem::file(".wh..wh.plnk/1.1", "other"),
        TarItem::file(".wh..wh..opq", ""),
        TarItem::hardlink("new", ".wh..wh.plnk/1.1"),
    ];
    let wanted = [
        ("", "", "", 0o40755),
        ("bin", "bin", "", 0o40755),
        ("in", "in", "", 0o40755),
        ("s", "s", "bin/x", 0o120_777),
        ("bin/x", "bin/x", "data", 0o104_755),
        ("bin/y", "bin/x", "data", 0o104_755),
        ("in/a", "in/a", "shared", 0o100_644),
        ("in/b", "in/a", "shared", 0o100_644),
    ];
    let (wanted_below, wanted_above) =
        (&wanted[..], [wanted[0], ("new", "new", "other", 0o100_644)]);
    for (layers, wanted) in [(&[&base[..]][..], wanted_below), (&[&base, &upper], &wanted_above)] {
        let tars = tars(layers);
        let root = tempfile::tempdir().unwrap();
        let done = apply(root.path(), &tars).unwrap();
        let again = tempfile::tempdir().unwrap();
        let (tree, tar) = flattened(&tars).unwrap();
        apply(again.path(), &[tar]).unwrap();
        for root in [&root, &again] {
            let nodes = tree::nodes(root.path(), &[]);
            let found = nodes.iter().map(|node| {
                let bytes = std::str::from_utf8(&node.bytes).unwrap();
                (&node.path[..], &node.same_as[..], bytes, node.mode)
            });
            let found: Vec<_> = found.collect();
            if is_root("owners and set-id bits") {
                assert_eq!(found, wanted);
            }
        }
        assert_eq!(tree.shown.entries, wanted.len() as u64);
        assert_eq!((done.files, done.bytes), if layers.len() == 1 { (2, 10) } else { (3, 15) });
        let stack = Stack::of(layers);
        assert!(!stack.names(0).iter().any(|name| name.contains(".wh.")), "{:?}", stack.names(0));
    }
}

#[test]
fn aufs_metadata_hardlink_to_lower_layer_is_rejected() {
    let (base, above) = (of_aufs(), [TarItem::hardlink("stale", ".wh..wh.plnk/1.1")]);
    for layers in [&[&base[..], &above][..], &[&above]] {
        let tars = tars(layers);
        let root = tempfile::tempdir().unwrap();
        let found = [
            words(&apply(root.path(), &tars)),
            words(&flattened(&tars)),
            words(&Stack::try_of(layers)),
        ];
        let number = layers.len() - 1;
        let refused =
            format!("layer {number}: stale: is a hard link to a file that does not exist");
        assert!(found.iter().all(|words| words.as_deref() == Some(&refused)), "{found:?}");
    }
}
