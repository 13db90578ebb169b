//! Records of gzip blobs from anywhere, and their replay.

use std::io::Read as _;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::read::GzEncoder;
use rpull::rebuild::{Encoder, Family, Record, identify, record_with, replay};

/// Most uncompressed bytes that are looked at.
const MOST: u64 = 1 << 20;

/// A model for the first byte of an input.
fn model(byte: u8) -> Encoder {
    let families = [Family::A, Family::B, Family::G, Family::Z, Family::Unknown];
    let encoder = Encoder::new(families[usize::from(byte >> 4) % families.len()], byte & 15);
    if byte & 0x80 == 0 { encoder } else { encoder.in_pieces(64 << 10) }
}

/// Makes a record of bytes that are taken for gzip. If there is one, the blob is rebuilt.
pub fn rebuild_parse(bytes: &[u8]) {
    let Some((first, blob)) = bytes.split_first() else { return };
    let mut plain = Vec::new();
    let inflated = MultiGzDecoder::new(blob).take(MOST).read_to_end(&mut plain);
    if plain.len() as u64 == MOST {
        return;
    }
    identify(blob);
    let Ok(record) = record_with(blob, model(*first)) else { return };
    assert_eq!(Record::from_bytes(record.as_bytes().to_vec()).unwrap(), record);
    // The CRC may be wrong, and an inflater may refuse codes that are not complete.
    if inflated.is_ok() {
        assert!(replay(&plain[..], &record, Vec::new()).unwrap() == blob);
    }
}

/// Replays bytes that are taken for a record, after the size of the uncompressed bytes in two bytes, and these bytes.
pub fn rebuild_replay(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk() else { return };
    let Some((plain, record)) = rest.split_at_checked(u16::from_le_bytes(*size).into()) else { return };
    let Ok(record) = Record::from_bytes(record.to_vec()) else { return };
    if let Ok(blob) = replay(plain, &record, Vec::new()) {
        assert_eq!(blob.len() as u64, record.blob_size());
        assert_eq!(plain.len() as u64, record.tar_size());
    }
}

/// The first inputs of `rebuild_parse`, or of `rebuild_replay`.
pub fn rebuild_seeds(is_replay: bool) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let text = "a model predicts the next match from the matches before ".repeat(30);
    for (level, byte) in [(0, 0x46), (1, 0x41), (6, 0x26), (9, 0x39), (6, 0x11), (6, 0x15), (6, 0x01)] {
        let mut blob = Vec::new();
        GzEncoder::new(text.as_bytes(), Compression::new(level)).read_to_end(&mut blob).unwrap();
        let Ok(record) = record_with(&blob[..], model(byte)) else { continue };
        let size = u16::try_from(text.len()).unwrap().to_le_bytes();
        let seed = if is_replay {
            [&size, text.as_bytes(), record.as_bytes()].concat()
        } else {
            [&[byte], &blob[..]].concat()
        };
        seeds.push((format!("{level}-{byte:02x}"), seed));
    }
    seeds
}
