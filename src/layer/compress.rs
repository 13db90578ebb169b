//! Compresses a layer. The same bytes always give the same blob.

use std::fmt;
use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::decompress::Compression;

/// Compresses what is written to it.
pub struct Compressor<W: Write>(Encoder<W>);

enum Encoder<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Compressor<W> {
    /// Compresses into `output` with the usual level: 6 for gzip, 3 for zstd.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(compression: Compression, output: W) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::Plain => Encoder::Plain(output),
            Compression::Gzip => {
                Encoder::Gzip(Box::new(GzEncoder::new(output, flate2::Compression::default())))
            }
            Compression::Zstd => {
                Encoder::Zstd(Box::new(zstd::stream::write::Encoder::new(output, 0)?))
            }
        }))
    }

    /// Writes the end, and returns what was written to.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Encoder::Plain(output) => Ok(output),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Encoder::Plain(output) => output.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Encoder::Plain(output) => output.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::layer::decompress;

    #[test]
    fn compressed_bytes_are_detected_and_read_back() {
        let text = b"some bytes ".repeat(10_000);
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let compress = || {
                let mut writer = Compressor::new(compression, Vec::new()).unwrap();
                writer.write_all(&text).unwrap();
                writer.finish().unwrap()
            };
            let blob = compress();
            assert_eq!(blob, compress());
            assert_eq!(Compression::detect(&blob).unwrap(), compression);
            let mut read = Vec::new();
            decompress(compression, &blob[..]).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == text, "{compression:?}");
        }
    }
}
