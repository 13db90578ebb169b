//! Inflates gzip files and throws away what comes out: what unpacking costs at least, with the engine that rpull links.
//!
//! Usage: `inflate FILE...`.

use std::{fs::File, io::Read};

use flate2::read::MultiGzDecoder;

fn main() -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    for path in std::env::args().skip(1) {
        let mut inside = MultiGzDecoder::new(File::open(path)?);
        while inside.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
