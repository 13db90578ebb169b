use proptest::prelude::*;

use super::*;

const PAGE: usize = 4096;

fn page(flags: u16, elements: &[(u32, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut page = vec![0; 8];
    page.extend(flags.to_ne_bytes());
    page.extend(u16::try_from(elements.len()).unwrap().to_ne_bytes());
    page.extend(0_u32.to_ne_bytes());
    let mut data = Vec::new();
    for (index, (kind, key, value)) in elements.iter().enumerate() {
        let position = (elements.len() - index) * ELEMENT + data.len();
        page.extend(kind.to_ne_bytes());
        for number in [position, key.len(), value.len()] {
            page.extend(u32::try_from(number).unwrap().to_ne_bytes());
        }
        data.extend([&key[..], value].concat());
    }
    page.extend(data);
    page
}

/// A branch has the number of its page where a leaf has lengths.
fn branch(pages: &[u64]) -> Vec<u8> {
    let mut page = page(BRANCH, &vec![(0, Vec::new(), Vec::new()); pages.len()]);
    for (index, id) in pages.iter().enumerate() {
        let at = HEADER + index * ELEMENT + 8;
        page[at..at + 8].copy_from_slice(&id.to_ne_bytes());
    }
    page
}

fn meta(transaction: u64, root: u64) -> Vec<u8> {
    let mut meta = Vec::new();
    for number in [MAGIC, VERSION, u32::try_from(PAGE).unwrap(), 0] {
        meta.extend(number.to_ne_bytes());
    }
    for number in [root, 0, 0, 10, transaction] {
        meta.extend(number.to_ne_bytes());
    }
    let checksum = fnv_1a(&meta);
    meta.extend(checksum.to_ne_bytes());
    [vec![0; HEADER], meta].concat()
}

fn bucket(root: u64, inline: &[u8]) -> Vec<u8> {
    [&root.to_ne_bytes()[..], &[0; 8], inline].concat()
}

fn entry(key: &str, value: &[u8]) -> (u32, Vec<u8>, Vec<u8>) {
    (0, key.into(), value.to_vec())
}

/// `v1` is a bucket of two leaves under a branch; `small` is inline.
fn database() -> Vec<u8> {
    let inline = page(LEAF, &[entry("key", b"inline")]);
    let root =
        [(BUCKET, b"small".to_vec(), bucket(0, &inline)), (BUCKET, b"v1".to_vec(), bucket(3, &[]))];
    let pages = [
        meta(7, 2),
        meta(6, 4),
        page(LEAF, &root),
        branch(&[4, 5]),
        page(LEAF, &[entry("a", b"1"), entry("b", b"")]),
        page(LEAF, &[entry("c", b"3")]),
    ];
    pages
        .into_iter()
        .flat_map(|mut page| {
            page.resize(PAGE, 0);
            page
        })
        .collect()
}

fn read(bytes: &[u8]) -> io::Result<Bolt> {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, bytes).unwrap();
    Bolt::read(&file)
}

/// Everything in it.
fn visit(bucket: Bucket<'_>, depth: usize) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for (key, value) in bucket.entries()? {
        let key = String::from_utf8_lossy(key).into_owned();
        match value {
            Value::Bytes(value) => found.push(format!("{key}={}", String::from_utf8_lossy(value))),
            Value::Bucket(_) if depth == 0 => return Err(corrupt("deep")),
            Value::Bucket(below) => {
                found.extend(
                    visit(below, depth - 1)?.into_iter().map(|inner| format!("{key}/{inner}")),
                );
            }
        }
    }
    Ok(found)
}

#[test]
fn bolt_pages_and_inline_buckets_are_read() {
    let bolt = read(&database()).unwrap();
    assert_eq!(visit(bolt.root(), 3).unwrap(), ["small/key=inline", "v1/a=1", "v1/b=", "v1/c=3"]);
    let small = bolt.root().bucket("small").unwrap().unwrap();
    assert_eq!(small.value("key").unwrap(), Some(&b"inline"[..]));
    assert!(small.value("other").unwrap().is_none() && small.bucket("key").unwrap().is_none());
}

#[test]
fn bolt_older_meta_page_is_used_if_newer_is_torn() {
    let mut bytes = database();
    bytes[HEADER + 20] ^= 1;
    let bolt = read(&bytes).unwrap();
    assert_eq!(visit(bolt.root(), 1).unwrap(), ["a=1", "b="], "as of the transaction before");
    bytes[PAGE + HEADER + 20] ^= 1;
    assert!(read(&bytes).is_err() && read(b"").is_err());
}

#[test]
fn bolt_circle_of_pages_is_rejected() {
    let mut bytes = database();
    let mut round = branch(&[3, 3]);
    round.resize(PAGE, 0);
    bytes[3 * PAGE..4 * PAGE].copy_from_slice(&round);
    assert!(visit(read(&bytes).unwrap().root(), 3).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bolt_of_damaged_bytes_does_not_panic(
        changes in prop::collection::vec((0..6 * PAGE, any::<u8>()), 1..20), end in 0..=6 * PAGE,
    ) {
        let mut bytes = database();
        for (at, byte) in changes {
            // Mostly where something is.
            bytes[at / PAGE * PAGE + at % 128] = byte;
        }
        bytes.truncate(end.max(PAGE));
        if let Ok(bolt) = read(&bytes) {
            let _entries = visit(bolt.root(), 3);
        }
    }
}
