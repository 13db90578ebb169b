#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|tar: &[u8]| rpull_fuzz::archive(tar));

fuzz_mutator!(|tar: &mut [u8], size: usize, most: usize, seed: u32| {
    rpull_fuzz::mutate(tar, size, most, seed)
});
