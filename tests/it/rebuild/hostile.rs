//! Damaged blobs and records: an error or bytes, never a panic, and never more bytes than announced.

use rpull::ErrorKind;
use rpull::rebuild::{Record, identify, record, record_with, replay};

use super::{assert_rebuilds, gzip, inflate, mixed, models};

/// Replays a record that may be anything. What comes out is not larger than it says.
fn replay_hostile(bytes: Vec<u8>, plain: &[u8]) {
    let replayed = Record::from_bytes(bytes)
        .and_then(|record| Ok((replay(plain, &record, Vec::new())?, record)));
    match replayed {
        Ok((blob, record)) => {
            assert_eq!(blob.len() as u64, record.blob_size());
            assert_eq!(plain.len() as u64, record.tar_size());
        }
        // Damaged code lengths were said to be unsupported.
        Err(error) => {
            let kinds = [ErrorKind::InvalidDocument, ErrorKind::Mismatch];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    }
}

#[test]
fn replay_of_damaged_record_is_an_error_or_bytes() {
    let plain = mixed(11, 6_000);
    let blob = gzip(&plain, 6);
    for model in models().into_iter().step_by(3) {
        let record = record_with(&blob[..], model).unwrap();
        let bytes = record.as_bytes();
        for place in 0..bytes.len().min(400) {
            for change in [1, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[place] ^= change;
                replay_hostile(damaged, &plain);
            }
        }
        for size in 0..bytes.len().min(300) {
            replay_hostile(bytes[..size].to_vec(), &plain);
        }
    }
}

#[test]
fn record_of_another_version_is_invalid() {
    let mut bytes = record(&gzip(b"text", 6)[..]).unwrap().as_bytes().to_vec();
    bytes[7] = 2;
    let error = Record::from_bytes(bytes).expect_err("version 2");
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
}

#[test]
fn record_of_damaged_gzip_is_exact_or_an_error() {
    let blob = gzip(&mixed(12, 20_000), 6);
    let mut random = fastrand::Rng::with_seed(12);
    let mut exact = 0;
    for _ in 0..60 {
        let mut damaged = blob.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..damaged.len());
            damaged[place] = random.u8(..);
        }
        identify(&damaged[..500]);
        let Ok(record) = record(&damaged[..]) else { continue };
        // The trailer may be wrong, which an ordinary inflater would refuse.
        let mut plain = Vec::new();
        let deflated = &damaged[10..];
        if std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(deflated), &mut plain)
            .is_ok()
        {
            assert_rebuilds(&damaged, &plain, &record);
            exact += 1;
        }
    }
    assert!(exact > 0, "some damage leaves gzip");
    assert_eq!(inflate(&blob).len(), 20_000);
}
