//! What layers change, as they are read, against what unpacking them changes on a disk.

use std::collections::BTreeMap;

use rpull::control::Control;
use rpull::error::Result;
use rpull::insight::files::{ChangeKind, FileInfo, FileTree, ReadOptions, read_layers};
use rpull::layer::EntryKind;

use crate::support::entries::{TarItem, sparse};
use crate::support::flat::{apply, blobs, random_layers, tars};
use crate::support::tree::{self, Node};

/// One layer's changes: the path, what happened, and whether a directory above it was deleted.
type Changes = Vec<(String, ChangeKind, bool)>;

fn read(tars: &[Vec<u8>]) -> Result<(FileTree, Vec<Changes>)> {
    let mut layers = vec![Vec::new(); tars.len()];
    let options = ReadOptions::default().contents();
    let (tree, _) = read_layers(
        blobs(tars),
        options,
        &Control::default(),
        |number, change| {
            let path = String::from_utf8_lossy(change.path).into_owned();
            layers[number].push((path, change.kind, change.implied));
            Ok(())
        },
        |_, _| Ok(()),
    )?;
    Ok((tree, layers))
}

fn on_disk(tars: &[Vec<u8>]) -> BTreeMap<String, Node> {
    let dir = tempfile::tempdir().unwrap();
    apply(dir.path(), tars).unwrap();
    tree::nodes(dir.path(), &[]).into_iter().map(|node| (node.path.clone(), node)).collect()
}

fn file_type(kind: EntryKind) -> u32 {
    match kind {
        EntryKind::File => 0o100_000,
        EntryKind::Directory => 0o040_000,
        EntryKind::Symlink => 0o120_000,
        other => panic!("{other:?}"),
    }
}

/// Whether both say the same; modes of links are not kept on a disk.
fn assert_same(path: &str, file: &FileInfo<'_>, node: &Node, context: &str) {
    assert_eq!(file_type(file.kind), node.mode & 0o170_000, "{path}: {context}");
    match file.kind {
        EntryKind::Symlink => assert_eq!(file.link, &node.bytes[..], "{path}: {context}"),
        EntryKind::File => assert_eq!(file.size, node.bytes.len() as u64, "{path}: {context}"),
        _ => {}
    }
    if file.kind != EntryKind::Symlink && !path.is_empty() {
        assert_eq!(file.mode, node.mode & 0o7777, "{path}: {context}");
    }
}

#[test]
fn changes_of_random_layers_match_unpack() {
    let (mut compared, mut kinds) = (0, [0; 3]);
    for seed in 0..400 {
        let layers = random_layers(&mut fastrand::Rng::with_seed(seed));
        let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
        let context = format!("seed {seed}: {layers:?}");
        let tars = tars(&layers);
        let dir = tempfile::tempdir().unwrap();
        let unpacked = apply(dir.path(), &tars);
        let (flat, changes) = match (read(&tars), unpacked) {
            (Ok(read), Ok(_)) => read,
            (Err(own), Err(other)) => {
                assert_eq!(own.kind(), other.kind(), "{context}");
                continue;
            }
            (own, other) => panic!("{context}: {own:?} {other:?}"),
        };
        let mut before = BTreeMap::new();
        for (number, changes) in changes.iter().enumerate() {
            let after = on_disk(&tars[..=number]);
            let counts = assert_changes(changes, &before, &after, &context);
            kinds.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
            before = after;
        }
        let mut paths = Vec::new();
        let visit = |path: &[u8], file: &FileInfo<'_>| {
            let path = String::from_utf8_lossy(path).into_owned();
            assert_same(&path, file, &before[&path], &context);
            paths.push(path);
            Ok::<_, ()>(())
        };
        flat.walk(b"", true, visit).unwrap();
        paths.sort_unstable();
        assert_eq!(paths, before.keys().cloned().collect::<Vec<_>>(), "{context}");
        assert_hardlinks(&flat, &before, &context);
        compared += 1;
    }
    assert!(compared > 100 && kinds.iter().all(|count| *count > 50), "{compared} {kinds:?}");
}

/// Checks the changes from one tree to the next, and counts them by kind.
fn assert_changes(
    changes: &Changes,
    before: &BTreeMap<String, Node>,
    after: &BTreeMap<String, Node>,
    context: &str,
) -> [usize; 3] {
    assert!(changes.is_sorted_by(|a, b| key(&a.0) < key(&b.0)), "{changes:?} {context}");
    let [added, modified, deleted] = [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]
        .map(|kind| {
            let some = changes.iter().filter(|(path, found, _)| *found == kind && !path.is_empty());
            let mut paths: Vec<_> = some.map(|(path, ..)| path.clone()).collect();
            paths.sort_unstable();
            paths
        });
    let only = |a: &BTreeMap<String, Node>, b: &BTreeMap<String, Node>| {
        let paths = a.keys().filter(|path| !b.contains_key(*path) && !path.is_empty());
        paths.cloned().collect::<Vec<_>>()
    };
    assert_eq!(added, only(after, before), "{context}");
    assert_eq!(deleted, only(before, after), "{context}");
    for (path, old) in before {
        let Some(new) = after.get(path) else { continue };
        let differs = (old.mode, &old.bytes) != (new.mode, &new.bytes);
        assert!(!differs || path.is_empty() || modified.contains(path), "{path} {context}");
    }
    [added.len(), modified.len(), deleted.len()]
}

/// A path as it sorts: names below a directory come directly after it.
fn key(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// Whether the same paths are names of one file.
fn assert_hardlinks(flat: &FileTree, disk: &BTreeMap<String, Node>, context: &str) {
    for (path, node) in disk {
        let (own, first) = (flat.get(path.as_bytes()), flat.get(node.same_as.as_bytes()));
        assert_eq!(own.unwrap().inode, first.unwrap().inode, "{path} {context}");
        if own.unwrap().kind != EntryKind::Directory {
            let names = disk.values().filter(|other| other.same_as == node.same_as).count();
            assert_eq!(own.unwrap().names as usize, names, "{path} {context}");
        }
    }
}

#[test]
fn content_is_known_for_equal_files_without_holes() {
    let layers = [
        vec![TarItem::file("a", "same"), TarItem::file("b", "other"), TarItem::hardlink("c", "a")],
        vec![TarItem::file("d", "same"), TarItem::file("empty", ""), TarItem::dir("dir")],
    ];
    let mut tars = tars(&[&layers[0], &layers[1]]);
    let mut holes = sparse("holes", &[(1 << 20, 3)], 3 << 20, b"mid");
    holes.resize(holes.len() + 1024, 0);
    tars.push(holes);
    let (tree, _) = read(&tars).unwrap();
    let content = |path: &str| tree.get(path.as_bytes()).unwrap().content;
    assert!(content("a").is_some() && content("a") == content("d"));
    assert_eq!(content("a"), content("c"));
    assert_ne!(content("a"), content("b"));
    assert!(content("empty").is_some());
    assert_eq!((content("dir"), content("holes")), (None, None));
}
