//! Records of gzip blobs from anywhere, and their replay.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::read::GzEncoder;
use rpull::layer::{Compression as LayerCompression, Compressor};
use rpull::rebuild::{Encoder, Family, Record, identify, record_with, replay, replay_with};

use crate::packed;

/// Maximum uncompressed bytes that are looked at.
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

/// Replays bytes that are taken for a record or its unpacked form, after a byte that says how often the uncompressed bytes are
/// repeated, their size in two bytes, and these bytes. Several threads make the same blob.
pub fn rebuild_replay(bytes: &[u8]) {
    let Some(([times, size @ ..], rest)) = bytes.split_first_chunk::<3>() else { return };
    let size = usize::from(u16::from_le_bytes(*size));
    let Some((plain, record)) = rest.split_at_checked(size) else { return };
    let plain = plain.repeat(usize::from(*times & 3) + 1);
    let packed = match record.first() {
        Some(b'R') => record.to_vec(),
        _ => match packed::record(record, plain.len() as u64) {
            Some((record, _)) => record,
            None => return,
        },
    };
    let Ok(record) = Record::from_bytes(packed) else { return };
    let replayed = replay(&plain[..], &record, Vec::new());
    if plain.len() > 64 << 10 && record.encoder().piece.is_some() {
        let shared = replay_with(&plain[..], &record, Vec::new(), 2);
        assert_eq!(shared.as_ref().ok(), replayed.as_ref().ok());
    }
    if let Ok(blob) = replayed {
        assert_eq!(blob.len() as u64, record.blob_size());
        assert_eq!(plain.len() as u64, record.tar_size());
    }
}

/// The first inputs of `rebuild_parse`, or of `rebuild_replay`.
pub fn rebuild_seeds(is_replay: bool) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let text = "a model predicts the next match from the matches before ".repeat(30);
    let mut random = fastrand::Rng::with_seed(1);
    // With enough different symbols for dynamic blocks.
    let mixed: Vec<u8> = (0..3000).map(|_| b'a' + random.u8(..16) * random.u8(..2)).collect();
    let noise: Vec<u8> = (0..40_000).map(|_| random.u8(..)).collect();
    let zlib = [(0, 0x46), (1, 0x41), (6, 0x26), (9, 0x39), (6, 0x11), (6, 0x15), (6, 0x01)];
    for (level, byte) in zlib {
        let mut blob = Vec::new();
        GzEncoder::new(text.as_bytes(), Compression::new(level)).read_to_end(&mut blob).unwrap();
        seeds.push((format!("{level}-{byte:02x}"), byte, 1, text.as_bytes(), blob));
    }
    // The headers of these blocks are not in the record.
    let computed = [(1, 0x11), (5, 0x15), (6, 0x16), (6, 0x26), (6, 0x01), (6, 0x96)];
    for (plain, times) in [(&mixed, 1), (&mixed, 4), (&noise, 1), (&noise, 2)] {
        for (level, byte) in computed {
            let blob = own_gzip(&plain.repeat(times), level);
            let name = format!("own{}x{times}-{level}-{byte:02x}", plain.len());
            seeds.push((name, byte, times, plain, blob));
        }
    }
    let mut named = Vec::new();
    for (name, byte, times, plain, blob) in seeds {
        let Ok(record) = record_with(&blob[..], model(byte)) else { continue };
        let size = u16::try_from(plain.len()).unwrap().to_le_bytes();
        let start = [&[(times - 1) as u8][..], &size, plain].concat();
        if is_replay {
            let unpacked = packed::unpack_record(&record, None);
            named.push((format!("{name}-unpacked"), [&start, &unpacked[..]].concat()));
            named.push((name, [&start, record.as_bytes()].concat()));
        } else {
            named.push((name, [&[byte], &blob[..]].concat()));
        }
    }
    named
}

/// A blob that rpull compresses.
pub(crate) fn own_gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let (kind, blob) = (LayerCompression::Gzip, Vec::new());
    let mut compressor = Compressor::with_level(kind, Some(level), blob).unwrap();
    compressor.write_all(plain).unwrap();
    compressor.finish().unwrap()
}
