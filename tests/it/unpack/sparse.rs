//! Sparse files in every format of GNU tar; impossible ones are rejected.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rpull::layer::{Entries, EntryLimits};

use crate::support::entries::{TarItem, tar};
use crate::support::flat::apply;
use crate::support::sparse::{FORMS, make_files, sparse_gnu_tar};

/// Path, size and extents of every file in a tar.
type Listed = Vec<(String, u64, Vec<(u64, Vec<u8>)>)>;

fn list(tar: &[u8]) -> io::Result<Listed> {
    let mut entries = Entries::new(tar, EntryLimits::default());
    let mut listed = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        let mut pieces = Vec::new();
        while let Some((offset, bytes)) = entries.next_data()? {
            pieces.push((offset, bytes.to_vec()));
        }
        listed.push((String::from_utf8_lossy(&entry.path).into_owned(), entry.size, pieces));
    }
    Ok(listed)
}

#[test]
fn sparse_files_of_gnu_tar_stay_sparse() {
    let files = tempfile::tempdir().unwrap();
    make_files(files.path());
    for form in FORMS {
        let tar = sparse_gnu_tar(files.path(), form);
        assert!(tar.len() < 2 << 20, "{form:?} has no holes");
        let root = tempfile::tempdir().unwrap();
        apply(root.path(), &[tar]).unwrap();
        let mut names = 0;
        for entry in fs::read_dir(files.path()).unwrap() {
            let path = entry.unwrap().path();
            let made = root.path().join(path.file_name().unwrap());
            assert!(fs::read(&made).unwrap() == fs::read(&path).unwrap(), "{form:?} {path:?}");
            let found = made.metadata().unwrap();
            assert!(found.blocks() * 512 <= 700 * 4096 + 65_536, "{form:?} {path:?}");
            names += 1;
        }
        assert_eq!((names, fs::read_dir(root.path()).unwrap().count()), (8, 8));
        let blocks = |name: &str| root.path().join(name).metadata().unwrap().blocks() * 512;
        assert!(blocks("empty") == 0 && blocks("first") <= 65_536, "{form:?}");
    }
}

/// Returns a tar of a file with these sparse records, followed by another file.
fn with(bytes: impl AsRef<[u8]>, records: &[(&str, &str)]) -> Vec<u8> {
    let item = TarItem::file("GNUSparseFile.0/s", bytes);
    let key = |key: &str| match key {
        "size-of-entry" => "size".to_owned(),
        "path" => "path".to_owned(),
        key => format!("GNU.sparse.{key}"),
    };
    let item = records.iter().fold(item, |item, (name, value)| item.pax(&key(name), value));
    tar(&[item, TarItem::file("next", "n")])
}

/// Returns the map before the data in format 1.0.
fn lines(map: &str) -> Vec<u8> {
    let mut block = map.as_bytes().to_vec();
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

const NEWEST: [(&str, &str); 3] = [("major", "1"), ("minor", "0"), ("name", "d/s")];

#[test]
fn sparse_records_give_name_size_and_extents() {
    let one = |size: &'static str| [&NEWEST[..], &[("realsize", size)]].concat();
    let older = [("size", "99"), ("numblocks", "2"), ("name", "d/s"), ("map", "4,3,90,2")];
    let oldest = [
        ("size", "99"),
        ("numblocks", "2"),
        ("offset", "4"),
        ("numbytes", "3"),
        ("offset", "90"),
        ("numbytes", "2"),
    ];
    let pieces = vec![(4, b"abc".to_vec()), (90, b"de".to_vec())];
    for (tar, name) in [
        (with("abcde", &oldest), "GNUSparseFile.0/s"),
        (with("abcde", &older), "d/s"),
        (with("abcde", &[&older[..], &[("path", "other")]].concat()), "d/s"),
        (with([lines("2\n4\n3\n90\n2\n"), b"abcde".to_vec()].concat(), &one("99")), "d/s"),
    ] {
        let found = list(&tar).unwrap();
        assert_eq!(found[0], (name.to_owned(), 99, pieces.clone()));
        assert_eq!(found[1], ("next".to_owned(), 1, vec![(0, b"n".to_vec())]));
    }
    let hole = list(&with(lines("0\n"), &one("5000"))).unwrap();
    assert_eq!(hole[0], ("d/s".to_owned(), 5000, vec![]));
}

#[test]
fn sparse_impossible_or_ambiguous_map_is_rejected() {
    let one = |size: &'static str| [&NEWEST[..], &[("realsize", size)]].concat();
    let text = |map: &str, bytes: &str| [lines(map), bytes.as_bytes().to_vec()].concat();
    let map = |size, count, map| [("size", size), ("numblocks", count), ("map", map)];
    let many = format!("70000\n{}", "0\n".repeat(140_000));
    let holes = "invalid map";
    for (number, (tar, why)) in [
        (with("abc", &map("9", "1", "0,4")), holes),
        (with("abc", &map("9", "1", "0,2")), holes),
        (with("abc", &map("9", "1", "7,3")), holes),
        (with("abc", &map("9", "2", "4,2,0,1")), holes),
        (with("abc", &map("9", "2", "0,2,1,1")), holes),
        (with("abc", &map("9", "1", "9223372036854775807,3")), holes),
        (with("", &map("9223372036854775807", "0", "")), "holes are too large"),
        (with("", &map("68719476737", "0", "")), "holes are too large"),
        (with("abc", &map("9", "2", "0,3")), holes),
        (with("abc", &[("size", "9"), ("map", "0,3")]), holes),
        (with(text("1\n0\n4\n", "abc"), &one("9")), holes),
        (with(text("1\n7\n3\n", "abc"), &one("9")), holes),
        (with(text("2\n4\n2\n0\n1\n", "abc"), &one("9")), holes),
        (with(text("1\n0\n3", "abc"), &one("9")), holes),
        (with(text("x", "abc"), &one("9")), holes),
        (with("3\n", &one("9")), holes),
        (with("", &one("9")), holes),
        (with(text(&many, ""), &one("9")), "too many holes"),
        (with("abc", &NEWEST), holes),
        (with("abc", &[("name", "x")]), "in an unknown format"),
        (with("abc", &[("major", "3"), ("minor", "0"), ("size", "9")]), "in an unknown format"),
        // The stored size is that of the header; a record must agree.
        (
            with("abc", &[&map("9", "1", "0,3")[..], &[("size-of-entry", "2")]].concat()),
            "conflicting sizes",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let error = list(&tar).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(why), "{number}: {error}");
    }
    let about = |item: TarItem| {
        let item = item.pax("GNU.sparse.size", "9").pax("GNU.sparse.numblocks", "0");
        list(&tar(&[item])).unwrap_err().to_string()
    };
    for item in [
        TarItem::dir("d"),
        TarItem::symlink("s", "a"),
        TarItem::new(b'S', "s"),
        TarItem::hardlink("h", "a"),
    ] {
        assert!(about(item).contains(holes));
    }
}

/// Maps are limited before they are stored.
#[test]
fn sparse_arbitrary_map_does_not_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..2000 {
        let map: String = (0..random.usize(0..40))
            .map(|_| random.choice(["0", "1", "9", "\n", "\n", ",", "512\n"]).unwrap())
            .collect();
        let (bytes, records) = if random.bool() {
            (
                [lines(&map), vec![b'x'; 512]].concat(),
                [&NEWEST[..], &[("realsize", "4096")]].concat(),
            )
        } else {
            (vec![b'x'; 512], vec![("size", "4096"), ("numblocks", "1"), ("map", map.trim())])
        };
        if let Ok(found) = list(&with(bytes, &records)) {
            let stored: u64 = found[0].2.iter().map(|(_, bytes)| bytes.len() as u64).sum();
            assert!(stored <= 1024 && found[1].0 == "next");
        }
    }
}
