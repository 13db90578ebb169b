//! Changes tars so that they stay tars: bytes by libFuzzer, whole entries and their names here, and then the sums of the
//! headers are set right.

use std::io::Write as _;

const BLOCK: usize = 512;

/// Parts of paths, few enough to meet.
const PARTS: &[&str] = &[
    "a",
    "b",
    "d",
    "..",
    ".",
    "",
    "up",
    "out",
    "victim",
    "hello",
    ".wh.a",
    ".wh..wh..opq",
    "blobs",
    "sha256",
    "index.json",
    "manifest.json",
    "layer.tar",
];

const KINDS: &[u8] = b"0012345675LKxgS";

/// The tars of layers, each but the last one up to its end.
pub(crate) fn layers(tars: &[u8]) -> Vec<&[u8]> {
    let empty = |at: usize| {
        tars.get(at..at + 2 * BLOCK).is_some_and(|end| end.iter().all(|byte| *byte == 0))
    };
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tars.len() {
        let end = if empty(at) { at + 2 * BLOCK } else { (at + BLOCK).min(tars.len()) };
        if empty(at) || end == tars.len() {
            found.push(&tars[start..end]);
            start = end;
        }
        at = end;
    }
    found
}

/// Changes the first `size` bytes, to at most `most`; tells how many there are then.
pub fn mutate(tars: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut random = fastrand::Rng::with_seed(seed.into());
    let size = if random.u8(..3) == 0 {
        libfuzzer_sys::fuzzer_mutate(tars, size, most)
    } else {
        let mut entries = split(&tars[..size]);
        for _ in 0..random.usize(1..4) {
            rearrange(&mut entries, &mut random);
        }
        let bytes = entries.concat();
        let size = bytes.len().min(most);
        tars[..size].copy_from_slice(&bytes[..size]);
        size
    };
    mend(&mut tars[..size]);
    size
}

/// Headers with the bytes that follow them.
fn split(tars: &[u8]) -> Vec<Vec<u8>> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < tars.len() {
        let end = next(&tars[at..]).saturating_add(at).min(tars.len());
        entries.push(tars[at..end].to_vec());
        at = end;
    }
    entries
}

/// Bytes from this header to the next one.
fn next(tar: &[u8]) -> usize {
    let field = |range| tar.get(range).unwrap_or_default();
    let octal = || usize::from_str_radix(std::str::from_utf8(field(124..135)).ok()?, 8).ok();
    match field(156..157) {
        // They have no bytes.
        [b'1'..=b'6'] => BLOCK,
        // One more block says where the bytes of a sparse file are.
        [b'S'] if field(482..483) != [0] => BLOCK * 2,
        _ => octal().unwrap_or(0).checked_next_multiple_of(BLOCK).unwrap_or(0) + BLOCK,
    }
}

fn rearrange(entries: &mut Vec<Vec<u8>>, random: &mut fastrand::Rng) {
    if entries.is_empty() {
        entries.push(vec![0; BLOCK]);
    }
    let (one, other) = (random.usize(..entries.len()), random.usize(..entries.len()));
    let entry = &mut entries[one];
    match random.u8(..9) {
        0 => drop(entries.remove(one)),
        1 => entries.swap(one, other),
        2 => {
            let copy = entry.clone();
            entries.insert(other, copy);
        }
        3 => entries.insert(one, vec![0; 2 * BLOCK]),
        4 if entry.len() >= BLOCK => entry[156] = KINDS[random.usize(..KINDS.len())],
        5 if entry.len() >= BLOCK => write(&mut entry[157..257], &path(random)),
        6 if entry.len() >= BLOCK => {
            write(&mut entry[100..108], &format!("{:o}", random.u32(..0o10000)));
        }
        _ if entry.len() >= BLOCK => write(&mut entry[..100], &path(random)),
        _ => {}
    }
}

fn path(random: &mut fastrand::Rng) -> String {
    let start = ["", "", "", "/", "../"][random.usize(..5)];
    let parts: Vec<_> =
        (0..random.usize(1..5)).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
    format!("{start}{}", parts.join("/"))
}

fn write(field: &mut [u8], text: &str) {
    field.fill(0);
    field[..text.len()].copy_from_slice(text.as_bytes());
}

/// Gives every header the sum of its bytes.
fn mend(tars: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = tars.get_mut(at..at + BLOCK) {
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            write!(&mut header[148..156], "{sum:06o}\0").unwrap();
        }
        at = at.saturating_add(next(&tars[at..]));
    }
}
