//! Layers read without writing anything: entries, their metadata, and where reading stops.

use std::io::{self, BufReader, Read as _};
use std::path::Path;

use rpull::digest::Digest;
use rpull::layer::{
    BombGuard, Compression, Device, DiffIdReader, Entries, EntryKind, EntryLimits, LayerEntry,
    Timestamp, decompress_with_guard,
};

use crate::support::entries::{TarItem, sparse, tar, tar_without_trailer};

type Listed = Vec<(LayerEntry, Vec<(u64, Vec<u8>)>)>;

/// Every entry with the pieces of its bytes.
fn list(tar: &[u8]) -> io::Result<Listed> {
    list_with(tar, EntryLimits::default(), 256 << 10)
}

fn list_with(tar: &[u8], limits: EntryLimits, buffer: usize) -> io::Result<Listed> {
    let mut entries =
        Entries::new(DiffIdReader::new(BufReader::with_capacity(buffer, tar)), limits);
    let mut listed = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        let mut pieces = Vec::new();
        while let Some((offset, bytes)) = entries.next_data()? {
            pieces.push((offset, bytes.to_vec()));
        }
        listed.push((entry, pieces));
    }
    let hashed = entries.drain()?;
    assert_eq!(hashed.position(), tar.len() as u64);
    assert_eq!(hashed.finish(), Digest::sha256(tar));
    Ok(listed)
}

fn entries(tar: &[u8]) -> Vec<LayerEntry> {
    list(tar).unwrap().into_iter().map(|(entry, _)| entry).collect()
}

#[track_caller]
fn refused(tar: &[u8], why: &str) {
    let error = list(tar).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn compressed_layer_is_read_to_end_or_rejected() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layers/compression");
    let table = std::fs::read_to_string(dir.join("cases.tsv")).unwrap();
    let mut count = 0;
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, expected, diff_id, why] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let blob = std::fs::read(dir.join(file)).unwrap();
        let read = || {
            let compression = Compression::detect(&blob).map_err(io::Error::other)?;
            let inside =
                decompress_with_guard(&BombGuard::with_allowance(1 << 20), compression, &blob[..])?;
            let mut entries =
                Entries::new(DiffIdReader::new(BufReader::new(inside)), EntryLimits::default());
            while entries.next_entry()?.is_some() {}
            entries.drain().map(|hashed| hashed.finish().to_string())
        };
        let found = read();
        let found = found.as_ref().map_or("error", |_| "ok").to_owned()
            + "\t"
            + found.as_deref().unwrap_or("-");
        assert_eq!(found, format!("{expected}\t{diff_id}"), "{file}: {why}");
        count += 1;
    }
    assert_eq!(count, 20);
}

#[test]
fn entry_has_all_header_fields() {
    use EntryKind::{Block, Character, Directory, Fifo, File, Hardlink, Symlink};
    let long = format!("{}/{}", "d".repeat(150), "n".repeat(200));
    let tar = tar(&[
        TarItem::dir("./"),
        TarItem::dir("/usr/").mode(0o41755).owner(1, 2),
        TarItem::file("usr/a", "abc").mode(0o104_755).mtime(7).owner(70_000, 3_000_000_000),
        TarItem::file("b", "")
            .pax("mtime", "12.000000034")
            .pax("uid", "2147483649")
            .pax("gid", "5"),
        TarItem::file("c", "x").xattr("user.a", b"\0=\n").xattr("security.capability", "v"),
        TarItem::symlink(&long, "t".repeat(120)),
        TarItem::file("short", "").pax("path", "from/pax").pax("linkpath", "no"),
        TarItem::hardlink("d/../e", "/usr/../usr/a").size(512),
        TarItem::device(b'3', "null", 1, 3),
        TarItem::device(b'4', "disk", 259, 70_000),
        TarItem::new(b'6', "pipe"),
        TarItem::new(0, "old/"),
        TarItem::new(0, "older"),
        TarItem::file(b"\xff\n\\", ""),
    ]);
    let found = entries(&tar);
    let paths: Vec<_> = found.iter().map(|entry| entry.path.escape_ascii().to_string()).collect();
    let wanted = [
        "", "usr", "usr/a", "b", "c", &long, "from/pax", "e", "null", "disk", "pipe", "old",
        "older",
    ];
    assert_eq!(paths[..13], wanted);
    assert_eq!(found[13].path, b"\xff\n\\");
    let kinds: Vec<_> = found.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds[..7], [Directory, Directory, File, File, File, Symlink, File]);
    assert_eq!(kinds[7..], [Hardlink, Character, Block, Fifo, Directory, File, File]);
    assert_eq!((found[1].mode, found[1].uid, found[1].gid), (0o1755, 1, 2));
    let a = &found[2];
    assert_eq!((a.mode, a.uid, a.gid, a.size), (0o4755, 70_000, 3_000_000_000, 3));
    assert_eq!(a.mtime, Timestamp { seconds: 7, nanoseconds: 0 });
    let b = &found[3];
    assert_eq!(
        (b.uid, b.gid, b.mtime),
        (1 << 31 | 1, 5, Timestamp { seconds: 12, nanoseconds: 34 })
    );
    let attributes = [("security.capability", &b"v"[..]), ("user.a", b"\0=\n")];
    assert_eq!(found[4].xattrs, attributes.map(|(name, value)| (name.into(), value.to_vec())));
    assert_eq!(found[5].link, [b't'; 120]);
    assert_eq!((&found[7].link[..], found[7].size), (&b"usr/a"[..], 0));
    assert_eq!(found[8].device, Device { major: 1, minor: 3 });
    assert_eq!(found[9].device, Device { major: 259, minor: 70_000 });
}

#[test]
fn whiteout_and_opaque_entries_are_recognized() {
    let tar = tar(&[
        TarItem::whiteout("a/b"),
        TarItem::dir("a/.wh.c"),
        TarItem::file(".wh.d/e", "x"),
        TarItem::file("a/.wh..wh..opq", "bytes"),
        TarItem::file(".wh..wh..opq", ""),
    ]);
    let listed = list(&tar).unwrap();
    let has_bytes = |(entry, pieces): &&(LayerEntry, Vec<_>)| {
        entry.kind != EntryKind::File && !pieces.is_empty()
    };
    assert_eq!(listed.iter().find(has_bytes), None, "only files have bytes");
    let found: Vec<_> = listed
        .iter()
        .map(|(entry, _)| entry)
        .map(|entry| (entry.kind, std::str::from_utf8(&entry.path).unwrap()))
        .collect();
    let wanted = [
        (EntryKind::Whiteout, "a/b"),
        (EntryKind::Whiteout, "a/c"),
        (EntryKind::File, ".wh.d/e"),
        (EntryKind::Opaque, "a"),
        (EntryKind::Opaque, ""),
    ];
    assert_eq!(found, wanted);
    for name in [".wh.", "a/.wh..", "a/.wh..."] {
        refused(&tar_without_trailer(&[TarItem::file(name, "")]), "whiteout without a name");
    }
}

#[test]
fn tar_ending_in_padding_is_complete() {
    let whole = tar_without_trailer(&[TarItem::file("a", [b'x'; 600]), TarItem::file("b", "yz")]);
    for length in [2050, 2051, 2559, 2560] {
        let listed = list(&whole[..length]).unwrap();
        let bytes: Vec<_> = listed.iter().map(|(_, pieces)| pieces[0].1.len()).collect();
        assert_eq!(bytes, [600, 2], "{length}");
    }
    // Only the digest of the layer shows that more is missing.
    assert_eq!(entries(&whole[..1112 + 100]).len(), 1);
    let sparse = sparse("s", &[(4096, 3)], 8192, b"end");
    assert_eq!(list(&sparse[..512 + 3]).unwrap()[0].1, [(4096, b"end".to_vec())]);
    refused(&sparse[..512 + 2], "unexpected end");
    // Extended headers are incomplete without their padding.
    refused(
        &tar_without_trailer(&[TarItem::file("a", "").pax("path", "b")])[..600],
        "unexpected end",
    );
}

#[test]
fn aufs_metadata_is_recognized() {
    let tar = tar(&[
        TarItem::dir(".wh..wh.plnk"),
        TarItem::file(".wh..wh.plnk/12.3", "x"),
        TarItem::hardlink("a/.wh..wh.orph/b/c", "etc/a"),
        TarItem::symlink(".wh..wh.plnk/link", "x"),
        TarItem::new(b'6', ".wh..wh.plnk/pipe"),
        TarItem::file(".wh..wh.aufs", ""),
        TarItem::file(".wh..wh.plnk/.wh.x", ""),
        TarItem::file(".wh..wh.plnk/.wh..wh..opq", ""),
        TarItem::file(".wh..wh..opq/in", ""),
        TarItem::file(".wh..wh", ""),
        TarItem::file("a.wh..wh.", ""),
        TarItem::hardlink("etc/b", ".wh..wh.plnk/12.3"),
    ]);
    let found = entries(&tar);
    let shown: Vec<_> = found.iter().filter(|entry| !entry.is_aufs_metadata()).collect();
    let shown: Vec<_> =
        shown.iter().map(|entry| (entry.kind, entry.path.escape_ascii().to_string())).collect();
    let wanted = [
        (EntryKind::Whiteout, ".wh"),
        (EntryKind::File, "a.wh..wh."),
        (EntryKind::Hardlink, "etc/b"),
    ];
    assert_eq!(shown, wanted.map(|(kind, path)| (kind, path.to_owned())));
    let kinds: Vec<_> =
        found.iter().filter(|entry| entry.is_aufs_metadata()).map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [
            EntryKind::File,
            EntryKind::Hardlink,
            EntryKind::Symlink,
            EntryKind::File,
            EntryKind::File
        ]
    );
    let many: Vec<_> = (0..17_000)
        .map(|n| TarItem::file(format!(".wh..wh.{n}/{}", "n".repeat(4000)), ""))
        .collect();
    refused(&tar_without_trailer(&many), "too many AUFS entries");
}

#[test]
fn device_number_beyond_kernel_limit_is_rejected() {
    let last = entries(&tar(&[TarItem::device(b'4', "last", (1 << 12) - 1, (1 << 20) - 1)]));
    assert_eq!(last[0].device, Device { major: (1 << 12) - 1, minor: (1 << 20) - 1 });
    for kind in *b"34" {
        for (major, minor) in [(1 << 12, 0), (0, 1 << 20), (2_097_151, 3), (1, 2_097_151)] {
            let items = [TarItem::device(kind, "beyond", major, minor)];
            refused(&tar_without_trailer(&items), "a device number out of range");
        }
    }
    // Other kinds of entries ignore these fields.
    assert_eq!(entries(&tar(&[TarItem::device(b'6', "pipe", 1 << 20, 0)])).len(), 1);
}

#[test]
fn entry_body_is_complete_for_any_buffer_size() {
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let tar =
        tar(&[TarItem::file("a", &content), TarItem::file("b", "bee"), TarItem::file("c", "")]);
    for buffer in [1, 511, 4096, 1 << 20] {
        let listed = list_with(&tar, EntryLimits::default(), buffer).unwrap();
        let whole = |at: usize| {
            let mut bytes = Vec::new();
            for (offset, piece) in &listed[at].1 {
                assert_eq!(*offset, bytes.len() as u64);
                bytes.extend_from_slice(piece);
            }
            bytes
        };
        assert_eq!([whole(0), whole(1), whole(2)], [content.clone(), b"bee".to_vec(), Vec::new()]);
        assert_eq!(listed[1].1.len(), 1, "what is small comes in one piece");
    }
    // Unread bodies are skipped.
    let mut unread = Entries::new(&tar[..], EntryLimits::default());
    let mut count = 0;
    while unread.next_entry().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn sparse_gnu_entry_has_holes() {
    let extents = [(0, 3), (4096, 2), (8192, 1), (8193, 0), (8193, 0), (10_000, 0)];
    let tar = [
        sparse("s", &extents, 10_000, b"abcdef"),
        tar_without_trailer(&[TarItem::file("next", "n")]),
    ]
    .concat();
    let listed = list(&tar).unwrap();
    assert_eq!(listed[0].0.size, 10_000);
    let pieces = [(0, &b"abc"[..]), (4096, b"de"), (8192, b"f")];
    assert_eq!(listed[0].1, pieces.map(|(offset, bytes)| (offset, bytes.to_vec())));
    assert_eq!(listed[1].0.path, b"next");
    refused(&sparse("s", &[(0, 3), (2, 3)], 10, b"abcdef"), "invalid map");
    refused(&sparse("s", &[(0, 6)], 1 << 32, b"abcd"), "invalid map");
}

#[test]
fn tar_ambiguous_is_rejected() {
    let inner = tar(&[TarItem::file("smuggled", "")]);
    for size in ["0", "512"] {
        refused(&tar(&[TarItem::file("a", &inner).pax("size", size)]), "conflicting sizes");
    }
    let one_empty_block =
        [tar_without_trailer(&[TarItem::file("a", "")]), vec![0; 512], inner].concat();
    refused(&one_empty_block, "has data after the end-of-archive marker");
    let about_nothing = tar_without_trailer(&[TarItem::file("a", "").pax("path", "b")]);
    refused(&about_nothing[..1024], "ends with an extension header that has no entry");
    refused(&tar(&[TarItem::file("a/", "x")]), "a file whose name ends in a slash");
    assert_eq!(entries(&tar(&[TarItem::file("a/", "")])).len(), 1, "an old directory");
    // Symbolic links have no bytes, so what follows must be a header.
    let bytes = TarItem::symlink("a", "b").size(512);
    refused(&[tar_without_trailer(&[bytes]), vec![b'x'; 512]].concat(), "invalid tar header");
}

#[test]
fn tar_malformed_or_over_limit_is_rejected() {
    refused(b"hello", "unexpected end");
    refused(&[b'x'; 512], "is not a tar");
    let whole = tar_without_trailer(&[TarItem::file("a", [b'x'; 600]), TarItem::file("b", "y")]);
    for length in [100, 512, 600, 1111, 1600, 2048] {
        refused(&whole[..length], "unexpected end");
    }
    assert_eq!(entries(&whole).len(), 2, "without its end it is as good");
    assert_eq!(entries(b"").len(), 0);
    assert_eq!(entries(&[0; 1024]).len(), 0);
    for (item, why) in [
        (TarItem::file("n".repeat(5000), ""), "too long"),
        (TarItem::symlink("a", "n".repeat(5000)), "too long"),
        (TarItem::file("n".repeat(2 << 20), ""), "too large"),
        (TarItem::file("a", "").pax("comment", vec![b'c'; 2 << 20]), "too large"),
        (TarItem::file("a", "").size(1 << 60), "unexpected end"),
        (TarItem::new(b'x', "pax").size(1 << 60), "too large"),
        (TarItem::new(b'g', "pax").size(1 << 40), "too large"),
        (TarItem::new(b'L', "long").size(1 << 31), "too large"),
        (TarItem::new(b'K', "long").size(1 << 31), "too large"),
        (TarItem::file("a", "").size(u64::MAX >> 1), "invalid size"),
        (TarItem::file("a", "").pax("size", "9223372036854775807"), "invalid size"),
        (TarItem::file("a", "").owner(u64::from(u32::MAX), 0), "invalid uid or gid"),
        (TarItem::file("a", "").owner(0, 1 << 40), "invalid uid or gid"),
        (TarItem::file("a", "").pax("uid", "4294967295"), "invalid uid or gid"),
        (TarItem::symlink("/", "a"), "not a directory"),
        (TarItem::file(".", ""), "not a directory"),
        (TarItem::file("", ""), "not a directory"),
        (TarItem::hardlink("a", "/"), "directory"),
        (TarItem::symlink("a", ""), "link with an empty target"),
        (TarItem::new(b'Q', "a"), "unknown type 'Q'"),
    ] {
        refused(&tar_without_trailer(&[item]), why);
    }
    let many = tar_without_trailer(&vec![TarItem::file("a", ""); 11]);
    let error = list_with(&many, EntryLimits::default().entries(10), 4096).unwrap_err();
    assert!(error.to_string().contains("too many entries"));
}

#[test]
fn tar_random_damage_never_panics() {
    let tar = tar(&[
        TarItem::file("a", "abc").pax("mtime", "1.5").xattr("user.a", "b"),
        TarItem::symlink("l".repeat(200), "t"),
        TarItem::dir("d"),
    ]);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..3000 {
        let mut broken = tar.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..broken.len());
            broken[at] = random.u8(..);
        }
        broken.truncate(random.usize(..=broken.len()));
        if let Err(error) = list(&broken) {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
    let endless = io::repeat(0).take(1 << 20);
    let entries = Entries::new(BufReader::new(endless), EntryLimits::default());
    assert!(entries.drain().is_ok());
}
