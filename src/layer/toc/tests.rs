use std::io::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::build;
use super::location::{TableLocation, TableLookup};
use super::table::{Contents, Table};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::layer::{Compression, EntryKind};
use crate::media::MediaType;

const END: u64 = 32 << 20;

fn parse(entries: &Value) -> std::io::Result<Option<Table>> {
    let json = json!({"entries": entries, "version": 1}).to_string();
    parse_json(json.as_bytes(), END)
}

fn parse_json(json: &[u8], end: u64) -> std::io::Result<Option<Table>> {
    build::table(json, end, Compression::Zstd, &Control::default())
}

fn open(location: TableLocation, bytes: impl Into<Bytes>) -> std::io::Result<TableLookup> {
    location.open(&bytes.into(), &Control::default())
}

fn contents(entries: &Value) -> Contents {
    parse(entries).unwrap().unwrap().contents
}

fn message(entries: &Value) -> String {
    parse(entries).unwrap_err().to_string()
}

/// A file of one chunk.
fn file(name: &str, offset: u64, size: u64) -> Value {
    let digest = Digest::sha256(name.as_bytes());
    json!({"type": "reg", "name": name, "size": size, "offset": offset, "digest": digest})
}

/// A file of chunks of one byte at these offsets.
fn chunked(offsets: &[u64]) -> Value {
    let digest = Digest::sha256(b"x");
    let chunk = |(at, offset): (usize, &u64)| {
        let kind = if at == 0 { "reg" } else { "chunk" };
        json!({"type": kind, "name": "a", "size": offsets.len(), "offset": offset,
            "chunkOffset": at, "chunkSize": 1, "chunkDigest": digest})
    };
    offsets.iter().enumerate().map(chunk).collect()
}

fn read(contents: &Contents, entry: u32, blob: &Bytes) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for group in contents.file(entry).unwrap() {
        let at = |position: u64| usize::try_from(position).unwrap();
        let range = at(group.range.start)..at(group.range.end);
        let output = |bytes: &[u8]| {
            all.extend_from_slice(bytes);
            Ok(())
        };
        group.read(&blob.slice(range), |error| error.to_string(), output)?;
    }
    Ok(all)
}

#[test]
fn table_of_another_version_or_shape_is_not_used() {
    for unknown in [
        json!([{"type": "door", "name": "a"}]),
        json!([{"name": "a"}]),
        json!([{"type": "reg", "name": "a\u{fffd}"}]),
        json!([{"type": "symlink", "name": "a", "linkName": "\u{fffd}"}]),
        // Nothing verifies these bytes.
        json!([{"type": "reg", "name": "a", "size": 1, "offset": 1}]),
        json!([{"type": "reg", "name": "a", "size": 1, "offset": 1, "digest": "other:00"}]),
        json!([{"type": "reg", "name": "a", "size": 1, "offset": 1, "chunkType": "ones"}]),
    ] {
        assert!(parse(&unknown).unwrap().is_none(), "{unknown}");
    }
    for version in [json!(2), json!("1"), Value::Null] {
        let json = json!({"version": version, "entries": "other"}).to_string();
        let table = parse_json(json.as_bytes(), END);
        assert!(table.unwrap().is_none(), "{version}");
    }
    assert!(parse_json(b"{\"entries\":[]}", END).unwrap().is_none());
    assert!(parse(&Value::Null).unwrap().unwrap().entries.is_empty());
}

#[test]
fn contradictory_table_is_error() {
    let with = |mut entry: Value, key: &str, value: Value| {
        entry[key] = value;
        json!([entry])
    };
    let outside = "points outside of its bytes";
    assert!(message(&json!([file("a", END, 1)])).contains(outside));
    assert!(message(&json!([file("a", u64::MAX, 1)])).contains(outside));
    assert!(message(&with(file("a", 9, 1), "endOffset", json!(END + 1))).contains(outside));
    assert!(message(&with(file("a", 9, 1), "endOffset", json!(8))).contains(outside));
    let gaps = "chunks overlap or have gaps";
    assert!(message(&with(file("a", 9, 1), "chunkOffset", json!(1))).contains(gaps));
    assert!(message(&with(file("a", 9, 1), "chunkSize", json!(2))).contains(gaps));
    assert!(message(&with(file("a", 9, 9), "chunkSize", json!(2))).contains("are not all of it"));
    let overlap = "files that overlap";
    assert!(message(&json!([file("a", 9, 1), file("b", 9, 1)])).contains(overlap));
    let first = with(file("a", 9, 1), "endOffset", json!(30))[0].clone();
    assert!(message(&json!([first, file("b", 20, 1)])).contains(overlap));
    assert!(message(&chunked(&[9, 8])).contains("out of order"));
    assert!(message(&chunked(&[9, 9])).contains("out of order"));
    assert!(message(&json!([{"type": "chunk", "name": "a"}])).contains("without a file"));
    let other = json!({"type": "chunk", "name": "b"});
    assert!(message(&json!([file("a", 9, 1), other])).contains("without a file"));
    assert!(message(&with(file("a", 9, 1), "digest", json!("none"))).contains("invalid digest"));
    assert!(message(&json!(7)).contains("malformed table of contents"));
    assert!(message(&json!([{"type": "dir", "name": "a", "uid": -1}])).contains("uid or gid"));
    assert!(message(&json!([file("a/", 9, 1)])).contains("name ends in a slash"));
}

#[test]
fn table_with_too_many_zeros_is_error() {
    let zeros = |size: u64| {
        let whole = json!({"type": "reg", "name": "a", "size": size, "chunkType": "zeros"});
        let part = json!([{"type": "reg", "name": "a", "size": size, "chunkType": "zeros", "chunkSize": 1},
            {"type": "chunk", "name": "a", "chunkType": "zeros", "chunkOffset": 1}]);
        [json!([whole]), part].map(|entries| parse(&entries))
    };
    assert!(zeros(64 << 30).into_iter().all(|table| table.unwrap().is_some()));
    // A few bytes of a table must not fill the disk.
    for table in zeros((64 << 30) + 1) {
        assert!(table.unwrap_err().to_string().contains("holes are too large"));
    }
}

#[test]
fn empty_file_whose_name_ends_in_slash_is_directory() {
    let table = parse(&json!([{"type": "reg", "name": "a/"}])).unwrap().unwrap();
    let found = &table.entries[0];
    assert_eq!((found.kind, &*found.path), (EntryKind::Directory, &b"a"[..]));
}

#[test]
fn cancellation_ends_parsing_before_next_entry() {
    let control = Control::default();
    control.cancel.cancel();
    // What comes after the first entry is not looked at.
    let json = br#"{"version": 1, "entries": [{"type": "dir", "name": "a"}, 7]}"#;
    let error = build::table(json, END, Compression::Zstd, &control).unwrap_err();
    let error = error.downcast::<crate::Error>().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Interrupted);
}

#[test]
fn chunks_are_fetched_together_up_to_limit() {
    const MEBI: u64 = 1 << 20;
    let groups = |offsets: &[u64]| {
        let groups = contents(&chunked(offsets)).file(0).unwrap();
        groups.into_iter().map(|group| group.range).collect::<Vec<_>>()
    };
    let next = 8 * MEBI + 1;
    let expected = [1..next, next..20 * MEBI, 20 * MEBI..END];
    assert_eq!(groups(&[1, MEBI, 7 * MEBI, next, 20 * MEBI]), expected);
}

#[test]
fn file_with_large_chunk_needs_whole_layer() {
    let entries = json!([file("a", 9, 64 << 20), file("b", 20, (64 << 20) + 1)]);
    let contents = contents(&entries);
    assert!(contents.file(0).is_some());
    assert!(contents.file(1).is_none());
    let json = json!({"version": 1, "entries": [file("a", 9, 1)]}).to_string();
    let apart = parse_json(json.as_bytes(), 1 << 30).unwrap().unwrap();
    assert!(apart.contents.file(0).is_none(), "a gigabyte of compressed bytes");
}

#[test]
fn table_has_contents_only_of_needed_files() {
    let mut table = parse(&json!([file("a", 9, 1), file("b", 20, 1)])).unwrap().unwrap();
    table.keep_contents(|number, entry| number == 1 && entry.path == b"b");
    assert!(!table.contents.has(0) && table.contents.has(1));
}

#[test]
fn files_of_one_frame_and_holes_are_read() {
    let blob = Bytes::from(zstd::encode_all(&b"headeronetwo"[..], 1).unwrap());
    let one = Digest::sha256(b"one");
    let two = Digest::sha256(b"two");
    let mut entries = json!([
        {"type": "reg", "name": "a", "size": 200_006, "offset": 0, "innerOffset": 6,
            "chunkSize": 3, "chunkDigest": one},
        {"type": "chunk", "name": "a", "chunkOffset": 3, "chunkSize": 200_000, "chunkType": "zeros"},
        {"type": "chunk", "name": "a", "offset": 0, "innerOffset": 9, "chunkOffset": 200_003,
            "chunkDigest": two},
    ]);
    let json = json!({"version": 1, "entries": entries}).to_string();
    let end = blob.len() as u64;
    let contents = |json: &str| {
        let table = parse_json(json.as_bytes(), end);
        table.unwrap().unwrap().contents
    };
    let expected = [&b"one"[..], &vec![0; 200_000], b"two"].concat();
    assert!(read(&contents(&json), 0, &blob) == Ok(expected));
    entries[2]["chunkDigest"] = json!(one);
    let json = json!({"version": 1, "entries": entries}).to_string();
    let error = read(&contents(&json), 0, &blob).unwrap_err();
    assert!(error.contains("digest mismatch of a chunk"), "{error}");
    let json = json.replace("\"innerOffset\":9", "\"innerOffset\":10");
    let error = read(&contents(&json), 0, &blob).unwrap_err();
    assert!(error.contains("a chunk of another size"), "{error}");
}

fn layer(annotations: &[(&str, &str)]) -> Descriptor {
    let mut layer = Descriptor::for_bytes(MediaType::from("application/x"), b"");
    layer.size = 1 << 20;
    let pairs = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    layer.annotations.extend(pairs);
    layer
}

#[test]
fn table_location_follows_annotations() {
    let digest = &*Digest::sha256(b"").to_string();
    let gzip = ("containerd.io/snapshot/stargz/toc.digest", digest);
    let of = |annotations: &[(&str, &str)]| TableLocation::from_annotations(&layer(annotations));
    let range = |annotations: &[(&str, &str)]| of(annotations).unwrap().map(|at| at.range);
    for prefix in ["io.github.containers", "io.containers"] {
        let key = |name: &str| format!("{prefix}.zstd-chunked.manifest-{name}");
        let (checksum, position) = (key("checksum"), key("position"));
        let with = |digest, at| [(&*checksum, digest), (&*position, at)];
        assert_eq!(range(&with(digest, "5:7:9:1")), Some(5..12));
        for unknown in ["5:7:9:2", "5:7:9", "5:7:9:1:1", "5:7:x:1", "", "-5:7:9:1"] {
            assert_eq!(range(&with(digest, unknown)), None, "{unknown}");
        }
        assert_eq!(range(&with("digest", "5:7:9:1")), None);
        assert_eq!(range(&with("other:00", "5:7:9:1")), None);
        assert_eq!(range(&[with(digest, "5:7:9:1")[0]]), None);
        assert_eq!(range(&with(digest, "5:7:99999999999:1")), None);
        for outside in ["1048576:1:9:1", "5:0:9:1", "18446744073709551615:7:9:1"] {
            assert!(of(&with(digest, outside)).is_err(), "{outside}");
        }
        let [a, b] = with(digest, "5:7:9:1");
        assert_eq!(range(&[a, b, gzip]), None);
        let typed = |media_type: &str, annotations: &[(&str, &str)]| {
            let media_type = MediaType::from(media_type);
            let layer = Descriptor { media_type, ..layer(annotations) };
            TableLocation::from_annotations(&layer).unwrap().map(|at| at.range)
        };
        for (compression, expected) in [("zstd", 5..12), ("gzip", 512 << 10..1 << 20)] {
            for media_type in ["oci.image.layer.v1.tar+", "docker.image.rootfs.diff.tar."] {
                let media_type = format!("application/vnd.{media_type}{compression}");
                assert_eq!(typed(&media_type, &[a, b, gzip]), Some(expected.clone()));
                // What is left of another compression says nothing of these bytes.
                let other = if compression == "zstd" { &[gzip][..] } else { &[a, b] };
                assert_eq!(typed(&media_type, other), None);
            }
        }
        assert_eq!(typed("application/vnd.oci.image.layer.v1.tar", &[a, b, gzip]), None);
    }
    assert_eq!(range(&[gzip]), Some(512 << 10..1 << 20));
    assert_eq!(range(&[]), None);
    let mut small = layer(&[gzip]);
    small.size = 32 << 10;
    assert_eq!(TableLocation::from_annotations(&small).unwrap(), None);
}

/// The end of an eStargz layer whose table is said to be at this position.
fn tail(len: usize, position: u64) -> Bytes {
    let mut bytes = vec![0; len - 51];
    bytes.write_all(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0").unwrap();
    write!(bytes, "{position:016x}STARGZ").unwrap();
    bytes.write_all(b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0").unwrap();
    bytes.into()
}

#[test]
fn estargz_footer_gives_position_once() {
    let digest = Digest::sha256(b"").to_string();
    let layer = layer(&[("containerd.io/snapshot/stargz/toc.digest", &*digest)]);
    let first = || TableLocation::from_annotations(&layer).unwrap().unwrap();
    let Ok(TableLookup::Further(further)) = open(first(), tail(512 << 10, 1000)) else {
        panic!("the table begins before the bytes");
    };
    assert_eq!(further.range, 1000..1 << 20);
    // Another response says something else.
    let error = open(further, tail((1 << 20) - 1000, 999)).unwrap_err();
    assert!(error.to_string().contains("outside"), "{error}");
    assert!(open(first(), tail(512 << 10, (1 << 20) - 51)).is_err());
    let mut damaged = tail(512 << 10, 1000).to_vec();
    for at in 1..=51 {
        let at = damaged.len() - at;
        damaged[at] ^= 0xff;
        // Nothing is read of the last bytes.
        let is_read = at < damaged.len() - 13;
        let opened = open(first(), damaged.clone());
        assert_eq!(matches!(opened, Ok(TableLookup::None)), is_read, "{at}");
        damaged[at] ^= 0xff;
    }
    assert!(matches!(open(first(), Bytes::new()), Ok(TableLookup::None)));
}
