//! What a layer or an archive is compressed with, and the bytes inside.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

/// What is read from the compressed side at once, in bytes.
const PIECE: usize = 64 << 10;

/// The largest window that a zstd frame may ask for, as a power of two: what `zstd` itself takes without `--long`.
const WINDOW_LOG: u32 = 27;

/// Bytes that may come out of any blob, or of all that belong together.
const HARMLESS: u64 = 1 << 30;

/// How many times more than that may come out than went in. Tars of programs compress by 2 to 10.
const RATIO: u64 = 200;

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

/// How much came out of blobs for how much that went in: of one, or of all that belong together.
#[derive(Clone, Debug)]
pub struct Inflation(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    came_in: AtomicU64,
    went_out: AtomicU64,
    harmless: u64,
}

impl Default for Inflation {
    fn default() -> Self {
        Self::within(HARMLESS)
    }
}

impl Inflation {
    /// So many bytes may come out however few go in.
    pub fn within(harmless: u64) -> Self {
        let counts = Counts { came_in: AtomicU64::new(0), went_out: AtomicU64::new(0), harmless };
        Self(Arc::new(counts))
    }

    fn take_out(&self, bytes: u64) -> io::Result<()> {
        let went_out = self.0.went_out.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let came_in = self.0.came_in.load(Ordering::Relaxed);
        if went_out <= came_in.saturating_mul(RATIO).max(self.0.harmless) {
            return Ok(());
        }
        let why = format!("more than {RATIO} bytes come out of each that is in it");
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// The bytes inside, all members and frames of them.
///
/// Reading fails where so many come out of so few that somebody wants to fill a disk.
pub fn decompress<'a>(
    compression: Compression,
    bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    decompress_among(&Inflation::default(), compression, bytes)
}

/// As [`decompress`], where the blob is one of several: a bomb may come in parts.
pub fn decompress_among<'a>(
    all: &Inflation,
    compression: Compression,
    bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    if compression == Compression::Plain {
        return Ok(Box::new(bytes));
    }
    Ok(Box::new(Guarded::new(all.clone(), compression, bytes)?))
}

/// What is inside, as long as there is not far more of it than outside.
struct Guarded<'a> {
    inside: Box<dyn Read + Send + 'a>,
    inflation: Inflation,
}

impl<'a> Guarded<'a> {
    fn new(
        inflation: Inflation,
        compression: Compression,
        bytes: impl Read + Send + 'a,
    ) -> io::Result<Self> {
        let counted = Counted { bytes, inflation: inflation.clone() };
        let buffered = BufReader::with_capacity(PIECE, counted);
        let inside: Box<dyn Read + Send + 'a> = if compression == Compression::Zstd {
            let mut decoder = zstd::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        } else {
            Box::new(MultiGzDecoder::new(buffered))
        };
        Ok(Self { inside, inflation })
    }
}

impl Read for Guarded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inside.read(into)?;
        self.inflation.take_out(read as u64)?;
        Ok(read)
    }
}

struct Counted<R> {
    bytes: R,
    inflation: Inflation,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.inflation.0.came_in.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
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
    fn a_window_that_takes_gigabytes_is_refused() {
        // A frame that asks for a window of this size, and one block of a repeated byte.
        let frame = |window_log: u8| {
            [&[0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 0x43, 0, 0, b'x'][..]].concat()
        };
        assert_eq!(read(&frame(27)).unwrap(), b"xxxxxxxx");
        for window_log in [28, 31, 41] {
            assert!(read(&frame(window_log)).unwrap_err().to_string().contains("memory"));
        }
    }

    #[test]
    fn a_bomb_is_stopped_before_it_has_gone_off() {
        let zeros = vec![0; 1 << 20];
        for (compression, bomb) in [
            (Compression::Gzip, gzip(&zeros)),
            (Compression::Zstd, zstd::encode_all(&zeros[..], 1).unwrap()),
        ] {
            let size = bomb.len() as u64;
            let mut inside = Vec::new();
            let mut guarded =
                Guarded::new(Inflation::within(1000), compression, &bomb[..]).unwrap();
            let error = guarded.read_to_end(&mut inside).unwrap_err();
            assert!(error.to_string().contains("come out of each"), "{error}");
            assert!(inside.len() as u64 <= size * RATIO);
        }
    }

    #[test]
    fn a_bomb_in_parts_is_one_bomb() {
        let part = gzip(&vec![0; 100_000]);
        let all = Inflation::within(250_000);
        let mut gone_off = 0;
        let error = loop {
            let mut part = Guarded::new(all.clone(), Compression::Gzip, &part[..]).unwrap();
            match io::copy(&mut part, &mut io::sink()) {
                Ok(bytes) => gone_off += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(gone_off, 200_000);
        assert!(error.to_string().contains("come out of each"), "{error}");
    }

    #[test]
    fn what_is_known_and_not_read_has_a_name() {
        assert_eq!(Compression::of(b"\xfd7zXZ\0"), Err("xz"));
        assert_eq!(Compression::of(b"BZh91A"), Err("bzip2"));
    }
}
