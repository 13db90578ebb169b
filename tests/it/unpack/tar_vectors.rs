//! `tests/layers/tars`: test tars of other projects and their entries.

use std::io::{self, BufReader};
use std::path::Path;

use rpull::layer::{Compression, Entries, EntryLimits, LayerEntry, decompress};

/// An entry in the form of the table.
fn line(entry: &LayerEntry) -> String {
    let path = String::from_utf8_lossy(&entry.path);
    let LayerEntry { kind, size, mode, uid, gid, mtime, .. } = entry;
    let (seconds, nanoseconds) = (mtime.seconds, mtime.nanoseconds);
    let said =
        format!("{kind:?}\t{path}\t{size}\t{mode:o}\t{uid}\t{gid}\t{seconds}.{nanoseconds:09}");
    let xattrs = entry.xattrs.iter().map(|xattr| {
        let [name, value] = [&xattr.0, &xattr.1].map(|text| String::from_utf8_lossy(text));
        format!("{name}={value}")
    });
    std::iter::once(said).chain(xattrs).collect::<Vec<_>>().join("\t")
}

fn read(blob: &[u8], lines: &mut Vec<String>) -> io::Result<()> {
    let compression = Compression::detect(blob).map_err(io::Error::other)?;
    let tar = BufReader::new(decompress(compression, blob)?);
    let mut entries = Entries::new(tar, EntryLimits::default());
    while let Some(entry) = entries.next_entry()? {
        lines.push(line(&entry));
        let mut size = 0;
        while let Some((offset, bytes)) = entries.next_data()? {
            assert_eq!(offset, size);
            size += bytes.len() as u64;
        }
        assert_eq!(size, entry.size);
    }
    entries.drain().map(drop)
}

#[test]
fn tar_vectors_of_other_readers_match() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layers/tars");
    let table = std::fs::read_to_string(dir.join("cases.tsv")).unwrap();
    let cases: Vec<_> = table.split("\ntar\t").skip(1).collect();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let (file, wanted) = case.split_once('\n').unwrap();
        let file = file.split('\t').next().unwrap();
        let mut lines = Vec::new();
        if let Err(error) = read(&std::fs::read(dir.join(file)).unwrap(), &mut lines) {
            lines.push(format!("refused\t{error}"));
        }
        assert_eq!(lines.join("\n"), wanted.trim_end(), "{file}");
    }
}
