//! What a layer or an archive is compressed with, and the bytes inside.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

/// What is read from the compressed side at once, in bytes.
const PIECE: usize = 64 << 10;

/// The largest window that a zstd frame may ask for, as a power of two: what `zstd` itself takes without `--long`.
const WINDOW_LOG: u32 = 27;

/// A compression that rpull reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None: a tar, or anything else.
    Plain,
    /// Gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

impl Compression {
    /// Bytes from the start that [`Compression::of`] wants to see.
    pub const LOOK_AT: usize = 6;

    /// Recognises it by the first bytes: what a name or media type says is often wrong.
    ///
    /// # Errors
    /// The name of a compression that is known but not read.
    pub fn of(start: &[u8]) -> Result<Self, &'static str> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or one that is to be skipped (zstd:chunked begins so at times).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Err("xz"),
            [b'B', b'Z', b'h', ..] => Err("bzip2"),
            _ => Ok(Self::Plain),
        }
    }
}

/// The bytes inside, all members and frames of them.
pub fn decompress<'a>(
    compression: Compression,
    bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::Plain => Box::new(bytes),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(PIECE, bytes))),
        Compression::Zstd => {
            let buffered = BufReader::with_capacity(PIECE, bytes);
            let mut decoder = zstd::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(blob: &[u8]) -> io::Result<Vec<u8>> {
        let compression = Compression::of(&blob[..Compression::LOOK_AT.min(blob.len())]).unwrap();
        let mut inside = Vec::new();
        decompress(compression, blob)?.read_to_end(&mut inside)?;
        Ok(inside)
    }

    #[test]
    fn every_member_and_frame_counts() {
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(&[gzip(b"one"), gzip(b"two")].concat()).unwrap(), b"onetwo");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"no"].concat();
        let frames = [skipped.clone(), frame(b"one"), frame(b"two"), skipped].concat();
        assert_eq!(read(&frames).unwrap(), b"onetwo");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for blob in [gzip(b"some bytes"), zstd::encode_all(&b"some bytes"[..], 1).unwrap()] {
            for length in Compression::LOOK_AT..blob.len() {
                assert!(read(&blob[..length]).is_err(), "{length} of {}", blob.len());
            }
        }
    }

    #[test]
    fn what_is_known_and_not_read_has_a_name() {
        assert_eq!(Compression::of(b"\xfd7zXZ\0"), Err("xz"));
        assert_eq!(Compression::of(b"BZh91A"), Err("bzip2"));
    }
}
