//! Any tokens, whatever encoder may have chosen them, come back.

use proptest::prelude::*;
use rpull::rebuild::{Encoder, Family, record_with, replay_with};

use super::{assert_rebuilds, inflate, mixed, models};

/// Compresses with this many bytes per write, level and flushes.
fn flushed(plain: &[u8], level: u32, sizes: &[usize]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    let mut rest = plain;
    for &size in sizes.iter().cycle() {
        let (write, after) = rest.split_at(size.min(rest.len()));
        encoder.write_all(write).unwrap();
        encoder.flush().unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn rebuild_with_any_model_is_exact(
        seed in 0_u64..1000,
        size in 0_usize..70_000,
        level in 0_u32..10,
        writes in prop::collection::vec(1_usize..80_000, 1..5),
        model in 0_usize..64,
    ) {
        let blob = flushed(&mixed(seed, size), level, &writes);
        let model = models()[model % models().len()];
        let record = record_with(&blob[..], model).unwrap();
        assert_rebuilds(&blob, &inflate(&blob), &record);
    }
    #[test]
    fn replay_on_any_number_of_threads_is_exact(
        seed in 0_u64..1000,
        size in 0_usize..400_000,
        // Level 0 stores: then the table models need no correction, and threads predict.
        level in prop_oneof![Just(0_u32), 1_u32..10],
        writes in prop::collection::vec(1_usize..80_000, 1..5),
        piece in (64_u64 << 10)..150_000,
        family in prop_oneof![
            Just((Family::A, 1)), Just((Family::B, 1)), Just((Family::B, 5)), Just((Family::B, 6)), Just((Family::Z, 6)),
        ],
    ) {
        let mut blob = flushed(&mixed(seed, size), level, &writes);
        blob.extend(flushed(&mixed(seed + 1, size / 3), level, &writes));
        let model = Encoder::new(family.0, family.1).in_pieces(piece);
        let record = record_with(&blob[..], model).unwrap();
        let plain = inflate(&blob);
        for threads in [1, 2, 4] {
            let rebuilt = replay_with(&plain[..], &record, Vec::new(), threads).unwrap();
            prop_assert!(rebuilt == blob, "{} threads", threads);
        }
        if !plain.is_empty() {
            let shorter = &plain[1..];
            prop_assert!(replay_with(shorter, &record, Vec::new(), 2).is_err());
        }
    }
}
