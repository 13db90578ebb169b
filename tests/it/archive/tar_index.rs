//! Tars in which two readers could see different entries. `index.json` has no digest, so only its name identifies it.

use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::Source as _;
use rpull::digest::Digest;
use rpull::error::{Error, ErrorKind};
use rpull::name::ImageName;
use serde_json::json;

use crate::support::images::{Family, Image, image, layer};
use crate::support::tars::{Entry, file, layout, long, long_name, symlink, tar};

fn held(content: &[u8]) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("etc/which", content)])])
}

/// An index.json that lists this image.
fn index(held: &Image) -> Vec<u8> {
    let listed = json!({"schemaVersion": 2, "manifests": [held.manifest.descriptor]});
    listed.to_string().into_bytes()
}

/// A layout of two images; these entries hold its index.json.
fn around(entries: Vec<Entry>) -> Vec<u8> {
    let mut all = [layout(&held(b"A"), None), layout(&held(b"B"), None)].concat();
    all.retain(|entry| !matches!(entry, Entry::File(name, _) if !name.starts_with("blobs")));
    all.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    tar(&[entries, all].concat())
}

async fn digest(tar: &[u8]) -> Result<Digest, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    std::fs::write(&path, tar).unwrap();
    let archive = Archive::open(&path, Some(ArchiveFormat::Oci))?;
    Ok(archive.resolve(&ImageName::Only).await?.digest().clone())
}

/// A header of this kind and name with another size field.
fn header(name: &str, kind: u8, size: &[u8; 12]) -> Vec<u8> {
    let mut block = long(0, kind);
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(size);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn pax(key: &'static str, value: &str) -> Entry {
    Entry::Pax(vec![(key, value.to_owned())])
}

/// A global header with this record.
fn global(record: &str) -> Entry {
    let record = format!("{} {record}\n", record.len() + 4);
    let mut blocks = [long(record.len() as u64, b'g'), record.into_bytes()].concat();
    blocks.resize(1024, 0);
    Entry::Raw(blocks)
}

/// A file with these headers in front of it.
fn named(ahead: Vec<Entry>, bytes: &[u8]) -> Vec<Entry> {
    [ahead, vec![file("s", bytes)]].concat()
}

async fn refused(what: &str, entries: Vec<Entry>, why: &str) {
    let refusal = digest(&around(entries)).await.map(|digest| panic!("{what}: {digest}"));
    let refusal: Error = refusal.unwrap_err();
    assert!(refusal.chain().contains(why), "{what}: no `{why}` in: {}", refusal.chain());
    assert_eq!(refusal.kind(), ErrorKind::Store, "{what}");
}

#[tokio::test]
async fn tar_entry_with_conflicting_headers_is_rejected() {
    let [a, b] = [index(&held(b"A")), index(&held(b"B"))];
    let hidden = tar(&[file("index.json", &b[..])]);
    for (what, entries, why) in [
        (
            "a PAX path and a GNU long name",
            [
                named(vec![long_name(b"unused"), pax("path", "index.json")], &a),
                named(vec![long_name(b"index.json"), pax("path", "unused")], &b),
            ]
            .concat(),
            "conflicting names",
        ),
        (
            "two long names",
            named(vec![long_name(b"x"), long_name(b"index.json")], &a),
            "conflicting names",
        ),
        (
            "two PAX headers",
            named(vec![pax("path", "index.json"), pax("path", "x")], &a),
            "two PAX headers",
        ),
        (
            "a PAX size and the header's",
            vec![pax("size", "0"), file("index.json", &a[..]), Entry::Raw(hidden.clone())],
            "conflicting sizes",
        ),
        (
            "a size for all entries",
            [vec![global("size=0")], named(vec![], &a)].concat(),
            "global PAX header",
        ),
        ("a PAX size below zero", named(vec![pax("size", "-1")], &a), "malformed number"),
        (
            "a binary size below zero",
            vec![Entry::Raw(header(
                "index.json",
                b'0',
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\x00",
            ))],
            "invalid size",
        ),
        ("a name with a zero byte", named(vec![pax("path", "index.json\0x")], &a), "NUL byte"),
    ] {
        refused(what, entries, why).await;
    }
}

#[tokio::test]
async fn tar_name_with_several_entries_is_rejected() {
    let [a, b] = [index(&held(b"A")), index(&held(b"B"))];
    let sparse = header("index.json", b'S', b"00000000000\0");
    for (what, entries, why) in [
        (
            "the name twice",
            vec![file("index.json", &a[..]), file("./index.json", &b[..])],
            "appears twice",
        ),
        (
            "a directory in its place",
            vec![
                Entry::Raw(header("index.json/", b'5', b"00000000000\0")),
                file("index.json", &a[..]),
            ],
            "appears twice",
        ),
        (
            "the end of a link twice",
            vec![symlink("index.json", "i"), file("i", &a[..]), file("i", &b[..])],
            "appears twice",
        ),
        (
            "a link below a link",
            vec![
                symlink("index.json", "d/i"),
                symlink("d", "e"),
                file("d/i", &a[..]),
                file("e/i", &b[..]),
            ],
            "its parent is not a directory",
        ),
        ("a sparse file", vec![Entry::Raw(sparse)], "sparse file"),
        ("a file named as a directory", vec![file("index.json/", &a[..])], "name ends in a slash"),
        (
            "an end within",
            vec![file("index.json", &a[..]), Entry::Raw(vec![0; 512])],
            "after the end-of-archive marker",
        ),
    ] {
        refused(what, entries, why).await;
    }
}

#[tokio::test]
async fn tar_entry_with_agreeing_headers_is_read() {
    let one = held(b"A");
    let bytes = index(&one);
    for (what, entries) in [
        // All readers end the name at the zero byte.
        ("a long name", vec![long_name(b"index.json\0x"), file("s", &bytes[..])]),
        (
            "both names alike",
            vec![long_name(b"index.json"), pax("path", "index.json"), file("s", &bytes[..])],
        ),
        // Go's reader ignores it, and so do docker, skopeo and containerd.
        ("a name for all entries", vec![global("path=other"), file("index.json", &bytes[..])]),
        ("a comment", vec![global("comment=x"), file("index.json", &bytes[..])]),
        (
            "an owner that no system has",
            vec![pax("uid", "4294967296"), file("index.json", &bytes[..])],
        ),
        ("a link", vec![symlink("index.json", "sub/i"), file("sub/i", &bytes[..])]),
        (
            "a hard link",
            vec![file("i", &bytes[..]), Entry::Hardlink("index.json".into(), "i".into())],
        ),
        (
            "a size of the entry of a directory",
            vec![Entry::Raw(header("d/", b'5', b"00000001000\0")), file("index.json", &bytes[..])],
        ),
    ] {
        let found = digest(&around(entries)).await;
        let found = found.unwrap_or_else(|error| panic!("{what}: {}", error.chain()));
        assert_eq!(found, *one.manifest.digest(), "{what}");
    }
}

#[tokio::test]
async fn tar_without_last_padding_is_read() {
    let one = held(b"A");
    let mut bytes = around(vec![]);
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tar(&[file("index.json", index(&one))]));
    let padded = bytes.len() - 1024;
    let end = bytes.iter().rposition(|byte| *byte == b'}').unwrap() + 1;
    assert!(end < padded);
    for length in [padded, end] {
        let found = digest(&bytes[..length])
            .await
            .unwrap_or_else(|error| panic!("{length}: {}", error.chain()));
        assert_eq!(found, *one.manifest.digest());
    }
}
