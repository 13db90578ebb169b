//! Inflates gzip and zstd files and throws away what comes out: what unpacking costs at least, with the engines that
//! rpull links.
//!
//! Usage: `inflate FILE...`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

fn main() -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    for path in std::env::args().skip(1) {
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
        let is_zstd = file.fill_buf()?.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let mut inside: Box<dyn Read> = if is_zstd {
            Box::new(zstd::Decoder::with_buffer(file)?)
        } else {
            Box::new(MultiGzDecoder::new(file))
        };
        while inside.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
