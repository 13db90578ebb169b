#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|tars: &[u8]| rpull_fuzz::overlay(tars));

fuzz_mutator!(|tars: &mut [u8], size: usize, most: usize, seed: u32| {
    rpull_fuzz::mutate(tars, size, most, seed)
});
