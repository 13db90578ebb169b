//! Records of gzip blobs, and the blobs that come out of them.

mod encoders;
mod go;
mod hostile;
mod property;
mod streams;

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use rpull::rebuild::{Encoder, Family, Record, record, record_with, replay};

/// Every model, with and without pieces.
fn models() -> Vec<Encoder> {
    let tables = [(Family::A, 1), (Family::B, 1), (Family::B, 5), (Family::B, 6)];
    let chains = [(Family::G, 4), (Family::G, 6), (Family::G, 9)];
    let zlib = (1..=9).map(|level| (Family::Z, level));
    let all = tables.into_iter().chain(chains).chain(zlib).chain([(Family::Unknown, 0)]);
    let mut models: Vec<_> = all.map(|(family, level)| Encoder::new(family, level)).collect();
    models.push(Encoder::new(Family::B, 5).in_pieces(64 << 10));
    models.push(Encoder::new(Family::Z, 6).in_pieces(128 << 10));
    models
}

fn inflate(blob: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(blob).read_to_end(&mut plain).unwrap();
    plain
}

fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Sends the record as bytes and rebuilds the blob.
fn assert_rebuilds(blob: &[u8], plain: &[u8], record: &Record) {
    let received = Record::from_bytes(record.as_bytes().to_vec()).unwrap();
    assert_eq!(received, *record);
    let sizes = (plain.len() as u64, blob.len() as u64);
    assert_eq!((received.tar_size(), received.blob_size()), sizes);
    let rebuilt = replay(plain, &received, Vec::new()).unwrap();
    assert!(rebuilt == blob, "{} rebuilds another blob", record.encoder());
}

/// Rebuilds the blob with the model that is chosen for it.
fn rebuilt(blob: &[u8]) -> Record {
    let record = record(blob).unwrap();
    assert_rebuilds(blob, &inflate(blob), &record);
    record
}

/// Rebuilds the blob with every model.
fn rebuild_with_all(blob: &[u8], plain: &[u8]) {
    for model in models() {
        let record = record_with(blob, model).unwrap();
        assert_rebuilds(blob, plain, &record);
    }
}

/// Text that repeats itself as programs and their documents do, with parts that are random, zero or binary.
fn mixed(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<String> =
        (0..600).map(|_| (0..random.usize(2..9)).map(|_| random.lowercase()).collect()).collect();
    let mut bytes = Vec::with_capacity(size + 4096);
    while bytes.len() < size {
        match random.u8(..24) {
            0 => bytes.extend((0..random.usize(..40_000)).map(|_| random.u8(..))),
            1 => bytes.extend(std::iter::repeat_n(0, random.usize(..60_000))),
            2..5 => {
                let unit: Vec<u8> = (0..24).map(|_| random.u8(..)).collect();
                for index in 0..random.u16(..500) {
                    bytes.extend_from_slice(&unit[..random.usize(4..24)]);
                    bytes.extend_from_slice(&index.to_le_bytes());
                }
            }
            5..9 if !bytes.is_empty() => {
                let start = random.usize(..bytes.len());
                let end = bytes.len().min(start + random.usize(..30_000));
                bytes.extend_from_within(start..end);
            }
            _ => {
                for _ in 0..random.usize(..3000) {
                    // Few words are frequent.
                    let most = random.usize(1..600);
                    let word = random.usize(..most);
                    bytes.extend_from_slice(words[word].as_bytes());
                    bytes.push(if random.u8(..12) == 0 { b'\n' } else { b' ' });
                }
            }
        }
    }
    bytes.truncate(size);
    bytes
}
