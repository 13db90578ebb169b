//! Any tokens, whatever encoder may have chosen them, come back.

use proptest::prelude::*;
use rpull::rebuild::record_with;

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
}
