//! Compresses a layer. The same bytes always give the same blob.

use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use flate2::write::GzEncoder;

use super::decompress::Compression;
use crate::rebuild::GzipWriter;

impl Compression {
    /// The levels that it has, the fastest first.
    pub fn levels(self) -> RangeInclusive<u32> {
        match self {
            Self::Plain => 0..=0,
            Self::Gzip => 1..=9,
            Self::Zstd => 1..=22,
        }
    }
}

/// Compresses what is written to it.
pub struct Compressor<W: Write>(Encoder<W>);

enum Encoder<W: Write> {
    Plain(W),
    Gzip(Box<GzipWriter<W>>),
    /// Levels 7 to 9, by zlib-rs.
    ZlibGzip(Box<BlockWriter<GzEncoder<W>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

/// The usual level.
const GZIP_LEVEL: u32 = 6;

/// Bytes that zlib-rs gets at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// Passes bytes on in blocks of one size: what zlib-rs makes of bytes depends on how they arrive.
struct BlockWriter<W: Write> {
    output: W,
    block: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK_BYTES {
            self.output.write_all(&self.block)?;
            self.block.clear();
        }
        let (taken, _) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
        self.block.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&self.block)?;
        Ok(self.output)
    }
}

impl<W: Write> Compressor<W> {
    /// Compresses into `output` with the usual level: 6 for gzip, 3 for zstd.
    ///
    /// Gzip up to level 6 is compressed on several threads, in pieces of 1 MiB, and has small records for
    /// [`rebuild`](mod@crate::rebuild).
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(compression: Compression, output: W) -> io::Result<Self> {
        Self::with_level(compression, None, output)
    }

    /// Compresses into `output` with one of the [levels](Compression::levels), or the usual one.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for another level, and if there is not enough memory.
    pub fn with_level(compression: Compression, level: Option<u32>, output: W) -> io::Result<Self> {
        if level.is_some_and(|level| !compression.levels().contains(&level)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such compression level"));
        }
        Ok(Self(match compression {
            Compression::Plain => Encoder::Plain(output),
            Compression::Gzip => {
                let level = level.unwrap_or(GZIP_LEVEL);
                if GzipWriter::<W>::LEVELS.contains(&level) {
                    Encoder::Gzip(Box::new(GzipWriter::new(level, output)?))
                } else {
                    let output = GzEncoder::new(output, flate2::Compression::new(level));
                    Encoder::ZlibGzip(Box::new(BlockWriter { output, block: Vec::new() }))
                }
            }
            Compression::Zstd => {
                // 0 stands for the usual level.
                let level = level.and_then(|level| i32::try_from(level).ok()).unwrap_or(0);
                Encoder::Zstd(Box::new(zstd::stream::write::Encoder::new(output, level)?))
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
            Encoder::Gzip(writer) => writer.finish(),
            Encoder::ZlibGzip(blocks) => blocks.finish()?.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Encoder::Plain(output) => output.write(bytes),
            Encoder::Gzip(writer) => writer.write(bytes),
            Encoder::ZlibGzip(blocks) => blocks.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// Does nothing: what is compressed would depend on it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    fn compressed_bytes_do_not_depend_on_their_arrival() {
        let text: Vec<u8> = (0..400_000u32)
            .flat_map(|n| {
                if n % 7 == 0 { n.wrapping_mul(2_654_435_761).to_le_bytes() } else { *b"abcd" }
            })
            .collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let compress = |size: usize| {
                let mut writer = Compressor::new(compression, Vec::new()).unwrap();
                for part in text.chunks(size) {
                    writer.write_all(part).unwrap();
                    writer.flush().unwrap();
                }
                writer.finish().unwrap()
            };
            let whole = compress(text.len());
            for size in [511, 5000, 7777, BLOCK_BYTES, BLOCK_BYTES + 1] {
                assert!(compress(size) == whole, "{compression:?} of parts of {size} bytes");
            }
        }
    }

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

    #[test]
    fn compression_level_changes_size_and_is_checked() {
        let mut random = fastrand::Rng::with_seed(1);
        let words: Vec<String> = (0..2_000)
            .map(|_| (0..random.usize(3..12)).map(|_| random.lowercase()).collect())
            .collect();
        let text: Vec<u8> = (0..60_000)
            .flat_map(|_| format!("{} ", words[random.usize(..words.len())]).into_bytes())
            .collect();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let size = |level| {
                let mut writer = Compressor::with_level(compression, level, Vec::new()).unwrap();
                writer.write_all(&text).unwrap();
                writer.finish().unwrap().len()
            };
            let levels = compression.levels();
            assert!(size(Some(*levels.end())) < size(Some(*levels.start())), "{compression:?}");
            for wrong in [0, levels.end() + 1] {
                let refused = Compressor::with_level(compression, Some(wrong), Vec::new());
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
        }
    }
}
