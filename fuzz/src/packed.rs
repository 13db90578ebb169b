//! Deltas and records from an unpacked form: mutations of compressed bytes rarely get past the decompressor.
//!
//! All numbers are little-endian. A record is family, level, pieces in units of 64 KiB, zeros (one byte each), blob size (4 bytes),
//! the sizes of its eight streams (2 bytes each), and the streams. A delta is the size of its tar (4 bytes), the sizes of
//! operations, table of frames and record (2 bytes each), these three, and the literals as they are packed.

use std::io::Read as _;

use rpull::digest::Digest;
use rpull::layer::{BombGuard, Compression, decompress_with_guard};
use rpull::rebuild::Record;

/// Maximum bytes of a block of zstd.
const BLOCK: usize = 128 << 10;

/// What every record begins with.
const RECORD: &[u8] = b"RPREBLD\x01";
/// What every delta begins with.
const DELTA: &[u8] = b"RPDELTA\x01";

/// Returns the record that an unpacked one stands for, and the size of its blob. `None` if bytes are missing.
pub(crate) fn record(mut from: &[u8], tar_size: u64) -> Option<(Vec<u8>, u64)> {
    let [family, level, pieces, zeros] = take(&mut from)?;
    let blob_size = u64::from(u32::from_le_bytes(take(&mut from)?));
    let mut sizes = [0; 8];
    for size in &mut sizes {
        *size = u16::from_le_bytes(take(&mut from)?).into();
    }
    let streams =
        sizes.map(|size| frames(from.split_off(..size.min(from.len())).unwrap_or_default()));
    let mut bytes = RECORD.to_vec();
    let head = [family.into(), level.into(), u64::from(pieces) << 16, tar_size, blob_size, 0];
    let sizes = streams.iter().map(|stream| stream.len() as u64);
    for number in head.into_iter().chain([zeros.into()]).chain(sizes) {
        put(&mut bytes, number);
    }
    bytes.extend(streams.concat());
    Some((bytes, blob_size))
}

/// The unpacked form of a record, with pieces of another size if the second one is given.
pub(crate) fn unpack_record(record: &Record, pieces: Option<u8>) -> Vec<u8> {
    let mut from = record.as_bytes().strip_prefix(RECORD).unwrap();
    let [family, level, piece, _, blob_size, _, zeros] = std::array::from_fn(|_| number(&mut from));
    let sizes: [u64; 8] = std::array::from_fn(|_| number(&mut from));
    let streams = sizes.map(|size| unframed(from.split_off(..size as usize).unwrap()));
    let pieces = pieces.unwrap_or((piece >> 16) as u8);
    let mut bytes = vec![family as u8, level as u8, pieces, zeros as u8];
    bytes.extend((blob_size as u32).to_le_bytes());
    for stream in &streams {
        bytes.extend(u16::try_from(stream.len()).unwrap().to_le_bytes());
    }
    bytes.extend(streams.concat());
    bytes
}

/// Returns the delta that an unpacked one stands for, of one old tar. `None` if bytes are missing.
pub(crate) fn delta(mut from: &[u8], old: &[u8]) -> Option<Vec<u8>> {
    let tar_size = u64::from(u32::from_le_bytes(take(&mut from)?));
    let mut sizes = [0; 3];
    for size in &mut sizes {
        *size = usize::from(u16::from_le_bytes(take(&mut from)?));
    }
    let [ops, table, unpacked] =
        sizes.map(|size| from.split_off(..size.min(from.len())).unwrap_or_default());
    let (record, blob_size) = record(unpacked, tar_size)?;
    let zero = Digest::sha256(b"");
    let (own, raw) = ([stored(ops), stored(table)], [ops.len(), table.len()]);
    let section = |name: &str, size: usize, raw: usize| {
        format!(r#"{{"name":"{name}","size":{size},"raw":{raw}}}"#)
    };
    let sections = [
        section("ops", own[0].len(), raw[0]),
        section("frames", own[1].len(), raw[1]),
        section("record", record.len(), record.len()),
        section("literals", from.len(), from.len()),
    ];
    let header = format!(
        r#"{{"target":{{"mediaType":"","digest":"{zero}","size":{blob_size}}},"diffId":"{zero}","tarSize":{tar_size},
        "sources":[{{"diffId":"{}","size":{}}}],"encoder":{{"family":"b","level":6}},"sections":[{}]}}"#,
        Digest::sha256(old),
        old.len(),
        sections.join(",")
    );
    let length = u32::try_from(header.len()).ok()?.to_le_bytes();
    Some([DELTA, &length, header.as_bytes(), &own[0], &own[1], &record, from].concat())
}

/// The unpacked form of a delta.
pub(crate) fn unpack_delta(bytes: &[u8]) -> Vec<u8> {
    let mut from = bytes.strip_prefix(DELTA).unwrap();
    let length = u32::from_le_bytes(take(&mut from).unwrap());
    let header = std::str::from_utf8(from.split_off(..length as usize).unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<usize> {
        let key = format!("\"{key}\":");
        let values = header.split(&key).skip(1);
        values.filter_map(|rest| rest.split([',', '}']).next()?.parse().ok()).collect()
    };
    // The sections come last.
    let sizes = numbers("size");
    let [ops, table, record] = std::array::from_fn(|at| sizes[sizes.len() - 4 + at]);
    let [ops, table, record] = [ops, table, record].map(|size| from.split_off(..size).unwrap());
    let record = unpack_record(&Record::from_bytes(record.to_vec()).unwrap(), None);
    let own = [inflate(ops), inflate(table), record];
    let mut unpacked = u32::try_from(numbers("tarSize")[0]).unwrap().to_le_bytes().to_vec();
    for section in &own {
        unpacked.extend(u16::try_from(section.len()).unwrap().to_le_bytes());
    }
    [unpacked, own.concat(), from.to_vec()].concat()
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    from.split_off(..N)?.first_chunk().copied()
}

/// A stream of a record, in one frame.
fn frames(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if raw.is_empty() {
        return bytes;
    }
    let packed = stored(raw);
    put(&mut bytes, raw.len() as u64);
    put(&mut bytes, packed.len() as u64);
    bytes.extend(packed);
    bytes
}

fn unframed(mut frames: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    while !frames.is_empty() {
        number(&mut frames);
        let size = number(&mut frames) as usize;
        raw.extend(inflate(frames.split_off(..size).unwrap()));
    }
    raw
}

fn inflate(zstd: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let guard = BombGuard::default();
    let mut reader = decompress_with_guard(&guard, Compression::Zstd, zstd).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A zstd frame that stores the bytes. RFC 8878, 3.1.1.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut frame = [&0xfd2f_b528_u32.to_le_bytes()[..], &[0xa0], &size].concat();
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK));
        let head = (block.len() as u32) << 3 | u32::from(after.is_empty());
        frame.extend(&head.to_le_bytes()[..3]);
        frame.extend(block);
        rest = after;
        if rest.is_empty() {
            return frame;
        }
    }
}

fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// A number that rpull wrote.
fn number(from: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let [byte] = take(from).unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}
