use std::fmt::Write as _;

use super::*;
use crate::image_layers::apply::implicit_dir;
use crate::layer::{EntryKind, LayerEntry};

/// An entry by its notation: `f a/b 10` a file with a size, `d a` a directory, `s a b` a link, `h a b` a hard link,
/// `w a` a whiteout, `o a` an opaque marker; more words set mode (`m700`) and an attribute (`xuser.a`).
fn entry(text: &str) -> LayerEntry {
    let mut words = text.split(' ');
    let kind = match words.next().unwrap() {
        "f" => EntryKind::File,
        "d" => EntryKind::Directory,
        "s" => EntryKind::Symlink,
        "h" => EntryKind::Hardlink,
        "w" => EntryKind::Whiteout,
        "o" => EntryKind::Opaque,
        other => panic!("{other}"),
    };
    let path = words.next().unwrap().trim_matches('/').into();
    let mut entry = LayerEntry { path, kind, ..implicit_dir() };
    for word in words {
        match kind {
            _ if word.starts_with('m') => entry.mode = u32::from_str_radix(&word[1..], 8).unwrap(),
            _ if word.starts_with('x') => entry.xattrs = vec![(word[1..].into(), b"1".to_vec())],
            EntryKind::File => entry.size = word.parse().unwrap(),
            _ => entry.link = word.into(),
        }
    }
    entry
}

fn add(tree: &mut FileTree, entries: &[&str]) {
    for text in entries {
        tree.entry(entry(text)).unwrap();
    }
}

/// One line for each change, with what it hides in brackets; implied ones are indented.
fn end(tree: &mut FileTree) -> (Vec<String>, LayerTotals) {
    let mut lines = Vec::new();
    let totals = tree.end_layer(|change| {
        let mut line = format!("{} /{}", change.kind.letter(), change.path.escape_ascii());
        if change.hidden.files + change.hidden_below.files > 0 {
            write!(line, " [{}+{}]", change.hidden.bytes, change.hidden_below.bytes).unwrap();
        }
        if let Some(link) = change.hardlink {
            write!(line, " = {}", link.escape_ascii()).unwrap();
        }
        lines.push(if change.implied { format!("  {line}") } else { line });
        Ok::<_, std::convert::Infallible>(())
    });
    (lines, totals.unwrap())
}

/// The lines of the last of these layers.
fn last(layers: &[&[&str]]) -> Vec<String> {
    let mut tree = FileTree::new().unwrap();
    let mut lines = Vec::new();
    for layer in layers {
        add(&mut tree, layer);
        (lines, _) = end(&mut tree);
    }
    lines
}

const BASE: &[&str] =
    &["d etc", "f etc/a 10", "f etc/b 20", "d etc/sub", "f etc/sub/c 30", "s link etc"];

#[test]
fn changes_of_base_are_additions_in_path_order() {
    let unsorted = ["f z 1", "d d", "f d/x 1", "d a", "f missing/parent/f 1", "d /"];
    let wanted = [
        "A /",
        "A /a",
        "A /d",
        "A /d/x",
        "A /missing",
        "A /missing/parent",
        "A /missing/parent/f",
        "A /z",
    ];
    assert_eq!(last(&[&unsorted]), wanted);
    assert_eq!(last(&[BASE, &[]]), [""; 0]);
}

#[test]
fn whiteout_and_opaque_changes_tell_hidden_bytes() {
    for (upper, wanted) in [
        (&["w etc/a"][..], &["D /etc/a [10+0]"][..]),
        (
            &["w etc"],
            &[
                "D /etc [0+60]",
                "  D /etc/a [10+0]",
                "  D /etc/b [20+0]",
                "  D /etc/sub",
                "  D /etc/sub/c [30+0]",
            ],
        ),
        (&["f etc/a 5"], &["M /etc/a [10+0]"]),
        (&["f etc/a 5", "w etc/a"], &["M /etc/a [10+0]"]),
        (&["w etc/a", "f etc/a 5"], &["M /etc/a [10+0]"]),
        (
            &["o etc", "f etc/b 1"],
            &["D /etc/a [10+0]", "M /etc/b [20+0]", "D /etc/sub [0+30]", "  D /etc/sub/c [30+0]"],
        ),
        (
            &["f etc/b 1", "o etc"],
            &["D /etc/a [10+0]", "M /etc/b [20+0]", "D /etc/sub [0+30]", "  D /etc/sub/c [30+0]"],
        ),
        (
            &["w etc", "f etc/new 1"],
            &[
                "M /etc",
                "D /etc/a [10+0]",
                "D /etc/b [20+0]",
                "A /etc/new",
                "D /etc/sub [0+30]",
                "  D /etc/sub/c [30+0]",
            ],
        ),
        (&["w nothing", "w etc/nothing", "w no/parent"], &[]),
        (&["f new 1", "w new"], &["A /new"]),
    ] {
        assert_eq!(last(&[BASE, upper]), wanted, "{upper:?}");
    }
}

#[test]
fn change_of_type_hides_tree() {
    for (upper, wanted) in [
        (&["f etc/sub 7"][..], &["M /etc/sub [0+30]", "  D /etc/sub/c [30+0]"][..]),
        (&["s etc/sub ../x"], &["M /etc/sub [0+30]", "  D /etc/sub/c [30+0]"]),
        (&["d etc/a"], &["M /etc/a [10+0]"]),
        (&["d etc/a", "f etc/a/in 1"], &["M /etc/a [10+0]", "A /etc/a/in"]),
        (&["d etc m700"], &["M /etc"]),
        (&["f etc/sub 7", "d etc/sub", "f etc/sub/c 1"], &["M /etc/sub", "M /etc/sub/c [30+0]"]),
    ] {
        assert_eq!(last(&[BASE, upper]), wanted, "{upper:?}");
    }
}

#[test]
fn symlink_in_parent_path_is_followed() {
    assert_eq!(last(&[BASE, &["f link/new 1", "w link/a"]]), ["D /etc/a [10+0]", "A /etc/new"]);
    assert_eq!(last(&[BASE, &["f link 3"]]), ["M /link"]);
}

#[test]
fn symlink_replaced_between_files_leads_elsewhere() {
    for between in
        [&["s l b"][..], &["s t b"], &["s u b", "h l u"], &["f t 1", "s t b"], &["d t", "s t b"]]
    {
        let mut tree = FileTree::new().unwrap();
        add(&mut tree, &["d a", "d b", "s t a", "s l t", "f l/x 1", "f l/y 1"]);
        add(&mut tree, between);
        add(&mut tree, &["f l/z 1", "h l/again l/z"]);
        for path in ["a/x", "a/y", "b/z", "b/again"] {
            assert!(tree.get(path.as_bytes()).is_some(), "{between:?}: {path}");
        }
    }
    let mut tree = FileTree::new().unwrap();
    add(&mut tree, &["d a/c", "s l a/c", "f l/x 1"]);
    end(&mut tree);
    add(&mut tree, &["f l/y 1", "w a/c", "f a/c 1"]);
    assert!(tree.entry(entry("f l/z 1")).is_err(), "it leads to a file now");
}

#[test]
fn hardlink_hides_bytes_with_last_name() {
    let base: &[&str] = &["f one 10", "h two one", "d d", "h d/three one"];
    let lines = last(&[base]);
    assert_eq!(lines, ["A /d", "A /d/three = one", "A /one", "A /two = one"]);
    for (upper, wanted) in [
        (&["w one"][..], &["D /one"][..]),
        (&["w one", "w two", "w d"], &["D /d [0+0]", "  D /d/three", "D /one", "D /two"]),
        (&["h four two"], &["A /four = two"]),
        (&["w one", "h one two"], &["M /one = two"]),
    ] {
        let lines = last(&[base, upper]);
        let without_sizes: Vec<_> =
            lines.iter().map(|line| line.split(" [").next().unwrap()).collect();
        let wanted: Vec<_> = wanted.iter().map(|line| line.split(" [").next().unwrap()).collect();
        assert_eq!(without_sizes, wanted, "{upper:?}");
    }
    let mut tree = FileTree::new().unwrap();
    add(&mut tree, base);
    assert_eq!(end(&mut tree).1.bytes, 10);
    assert_eq!(tree.get(b"d/three").unwrap().names, 3);
    for (text, hidden) in [("w one", 0), ("w d", 0), ("f two 1", 10)] {
        tree.entry(entry(text)).unwrap();
        assert_eq!(end(&mut tree).1.hidden.bytes, hidden, "{text}");
    }
}

#[test]
fn file_info_before_and_after_are_compared() {
    let mut tree = FileTree::new().unwrap();
    tree.entry(entry("f a 1 m644 xuser.a")).unwrap();
    tree.set_content(ContentId::from_sha256(&[1; 32]));
    end(&mut tree);
    tree.entry(entry("f a 1 m600")).unwrap();
    tree.set_content(ContentId::from_sha256(&[1; 32]));
    let mut seen = 0;
    let totals = tree.end_layer(|change| {
        let (before, after) = (change.before.unwrap(), change.after.unwrap());
        assert_eq!((before.mode, after.mode), (0o644, 0o600));
        assert_eq!((before.layer, after.layer), (0, 1));
        assert_eq!((before.xattrs.len(), after.xattrs.len()), (1, 0));
        assert!(before.content.is_some() && before.content == after.content);
        assert!(!before.has_same_metadata(&after));
        seen += 1;
        Ok::<_, ()>(())
    });
    let totals = totals.unwrap();
    assert_eq!((seen, totals.modified, totals.bytes, totals.hidden.bytes), (1, 1, 1, 1));
}

#[test]
fn tree_walk_lists_directory_or_subtree() {
    let mut tree = FileTree::new().unwrap();
    add(&mut tree, BASE);
    end(&mut tree);
    tree.entry(entry("w etc/b")).unwrap();
    end(&mut tree);
    let walk = |path: &[u8], recursive| {
        let mut found = Vec::new();
        let visit = |path: &[u8], _: &FileInfo<'_>| {
            found.push(String::from_utf8_lossy(path).into_owned());
            Ok::<_, ()>(())
        };
        tree.walk(path, recursive, visit).unwrap();
        found.join(" ")
    };
    assert_eq!(walk(b"etc", false), "etc etc/a etc/sub");
    assert_eq!(walk(b"etc", true), "etc etc/a etc/sub etc/sub/c");
    assert_eq!(walk(b"", false), " etc link");
    assert_eq!((walk(b"etc/b", true), walk(b"no", true)), (String::new(), String::new()));
    assert_eq!(tree.resolve(b"link/../link/sub").unwrap(), b"etc/sub");
    assert_eq!((tree.len(), tree.is_empty()), (6, false));
}

#[test]
fn freed_names_and_files_are_used_again() {
    let mut tree = FileTree::new().unwrap();
    for round in 0..50 {
        for number in 0..20 {
            tree.entry(entry(&format!("f dir{}/f{number} {round}", round % 3))).unwrap();
        }
        end(&mut tree);
        tree.entry(entry(&format!("w dir{}", round % 3))).unwrap();
        let (_, totals) = end(&mut tree);
        assert_eq!((totals.deleted, totals.hidden.files), (1, 20));
    }
    assert!(tree.is_empty());
    tree.entry(entry("f x 1")).unwrap();
    tree.entry(entry("f x 2")).unwrap();
    assert_eq!(end(&mut tree).0, ["A /x"]);
    assert_eq!(tree.get(b"x").unwrap().size, 2);
}

#[test]
fn sizes_and_times_of_any_value_are_kept() {
    let file = |mtime: i64, size: u64| {
        let mut file = entry("f a 0");
        (file.size, file.mtime.seconds) = (size, mtime);
        file
    };
    let found = |tree: &FileTree| {
        let mut found = None;
        let visit = |path: &[u8], file: &FileInfo<'_>| {
            if path == b"a" {
                found = Some((file.mtime, file.size));
            }
            Ok::<_, std::convert::Infallible>(())
        };
        tree.walk(b"", true, visit).unwrap();
        found.unwrap()
    };
    let mut tree = FileTree::new().unwrap();
    let values = [(1, 2), (-1, 2), (1, u64::MAX), (i64::MIN, 0), (i64::MAX, 1 << 32), (7, 8)];
    for (mtime, size) in values {
        tree.entry(file(mtime, size)).unwrap();
        assert_eq!(found(&tree), (mtime, size));
        end(&mut tree);
        let fork = tree.fork();
        assert_eq!((found(&tree), found(&fork)), ((mtime, size), (mtime, size)));
    }
}
