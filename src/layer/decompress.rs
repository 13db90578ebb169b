//! Detects the compression of a layer or an archive, and decompresses it with a limit on the ratio.

use std::fmt;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gzip::GzipReader;
use super::header::{Header, HeaderBlock};
use super::unsupported_format::{self, UnsupportedFormat};
use super::zstd_frames::ZstdReader;
use crate::tar_block::BLOCK_BYTES;

/// Bytes read from the compressed side at a time.
const BUFFER_SIZE: usize = 64 << 10;

/// Output bytes that are always allowed, for one blob or for all blobs that share a guard.
const FREE_ALLOWANCE: u64 = 1 << 30;

/// The highest ratio of output to input beyond [`FREE_ALLOWANCE`]. Tars of programs compress by 2 to 10.
const MAX_RATIO: u64 = 200;

/// A compression that rpull reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// None: a tar, or anything else.
    Plain,
    /// Gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

impl Compression {
    /// Bytes from the start that [`Compression::detect`] needs.
    pub const DETECT_LEN: usize = unsupported_format::DETECT_BYTES;

    /// Detects the compression by the first bytes: names and media types are often wrong.
    ///
    /// # Errors
    /// A known format that is not supported.
    pub fn detect(start: &[u8]) -> Result<Self, UnsupportedFormat> {
        match start {
            [0x1f, 0x8b, ..] => return Ok(Self::Gzip),
            // A frame, or a skippable one (zstd:chunked can begin with one).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                return Ok(Self::Zstd);
            }
            _ => {}
        }
        match UnsupportedFormat::from_start(start) {
            Some(unsupported) if !is_tar(start) => Err(unsupported),
            _ => Ok(Self::Plain),
        }
    }

    /// Detects a compression inside of another by the first decompressed bytes.
    pub(crate) fn detect_inner(start: &[u8]) -> Option<Self> {
        let found = Self::detect(start).ok().filter(|found| *found != Self::Plain);
        found.filter(|_| !is_tar(start))
    }

    /// `gzip`, `zstd` or `none`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A tar begins with a file name, which may look like any magic bytes.
fn is_tar(start: &[u8]) -> bool {
    let block = start.get(..BLOCK_BYTES);
    block.is_some_and(|block| matches!(Header::parse(block), HeaderBlock::Header(_)))
}

/// A layer whose decompressed bytes are compressed data. skopeo makes such layers of those that begin with a skippable zstd
/// frame, which it takes for a tar.
#[derive(Debug)]
pub(super) struct CompressedTwice(Compression);

impl CompressedTwice {
    /// The error for the first bytes of what should be a tar, if they are compressed.
    pub(super) fn error(start: &[u8]) -> Option<io::Error> {
        let inner = Compression::detect_inner(start)?;
        Some(io::Error::new(io::ErrorKind::InvalidData, Self(inner)))
    }
}

impl fmt::Display for CompressedTwice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.name();
        write!(
            f,
            "is compressed twice: a tool has compressed {inner} data again, as if it were a tar"
        )
    }
}

impl std::error::Error for CompressedTwice {}

/// Whether reading failed because the layer is compressed twice.
pub(crate) fn is_compressed_twice(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<CompressedTwice>()).is_some()
}

/// Whether reading failed because of something valid but not supported, such as a zstd window over the limit.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported && error.get_ref().is_some()
}

/// Limits the decompression ratio of one blob, or of all blobs that share the guard.
#[derive(Clone, Debug)]
pub struct BombGuard(Arc<GuardCounters>);

#[derive(Debug)]
struct GuardCounters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    free_allowance: u64,
}

impl Default for BombGuard {
    fn default() -> Self {
        Self::with_allowance(FREE_ALLOWANCE)
    }
}

impl BombGuard {
    /// Creates a guard that always allows this many output bytes. Beyond them, output may exceed input `MAX_RATIO`
    /// times.
    pub fn with_allowance(free_allowance: u64) -> Self {
        let counts = GuardCounters {
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            free_allowance,
        };
        Self(Arc::new(counts))
    }

    fn charge(&self, bytes: u64) -> io::Result<()> {
        let bytes_out = self.0.bytes_out.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let bytes_in = self.0.bytes_in.load(Ordering::Relaxed);
        if bytes_out <= bytes_in.saturating_mul(MAX_RATIO).max(self.0.free_allowance) {
            return Ok(());
        }
        let reason = format!("expands more than {MAX_RATIO} times, likely a decompression bomb");
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    }
}

/// The decompressed bytes of all members and frames.
///
/// Reading fails at a decompression bomb.
pub fn decompress<'a>(
    compression: Compression,
    bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    decompress_with_guard(&BombGuard::default(), compression, bytes)
}

/// As [`decompress_with_guard`], by the first bytes instead of a compression that is known.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for a known format that is not read.
pub fn decompress_detected<'a>(
    guard: &BombGuard,
    mut bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::new();
    bytes.by_ref().take(Compression::DETECT_LEN as u64).read_to_end(&mut start)?;
    let compression = Compression::detect(&start).map_err(|unsupported| {
        let reason = format!("{unsupported}, which rpull does not read");
        io::Error::new(io::ErrorKind::Unsupported, reason)
    })?;
    decompress_with_guard(guard, compression, Cursor::new(start).chain(bytes))
}

/// Like [`decompress`], for one of several blobs: a bomb may be split over them.
pub fn decompress_with_guard<'a>(
    guard: &BombGuard,
    compression: Compression,
    bytes: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    if compression == Compression::Plain {
        return Ok(Box::new(bytes));
    }
    Ok(Box::new(GuardedReader::new(guard.clone(), compression, bytes)?))
}

/// Fails when the output exceeds the allowed ratio.
struct GuardedReader<'a> {
    decompressed: Box<dyn Read + Send + 'a>,
    guard: BombGuard,
}

impl<'a> GuardedReader<'a> {
    fn new(
        guard: BombGuard,
        compression: Compression,
        bytes: impl Read + Send + 'a,
    ) -> io::Result<Self> {
        let counted = CountingReader { bytes, guard: guard.clone() };
        let buffered = BufReader::with_capacity(BUFFER_SIZE, counted);
        let decompressed: Box<dyn Read + Send + 'a> = if compression == Compression::Zstd {
            Box::new(ZstdReader::new(buffered)?)
        } else {
            Box::new(GzipReader::new(buffered))
        };
        Ok(Self { decompressed, guard })
    }
}

impl Read for GuardedReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.decompressed.read(into)?;
        self.guard.charge(read as u64)?;
        Ok(read)
    }
}

struct CountingReader<R> {
    bytes: R,
    guard: BombGuard,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.guard.0.bytes_in.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::layer::{Device, EntryKind, LayerEntry, Timestamp};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(blob: &[u8]) -> io::Result<Vec<u8>> {
        let compression =
            Compression::detect(&blob[..Compression::DETECT_LEN.min(blob.len())]).unwrap();
        let mut decompressed = Vec::new();
        decompress(compression, blob)?.read_to_end(&mut decompressed)?;
        Ok(decompressed)
    }

    #[test]
    fn gzip_members_and_zstd_frames_are_all_read() {
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(&[gzip(b"one"), gzip(b"two")].concat()).unwrap(), b"onetwo");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"no"].concat();
        let frames = [skipped.clone(), frame(b"one"), frame(b"two"), skipped].concat();
        assert_eq!(read(&frames).unwrap(), b"onetwo");
    }

    #[test]
    fn truncated_stream_fails() {
        for blob in [gzip(b"some bytes"), zstd::encode_all(&b"some bytes"[..], 1).unwrap()] {
            for length in 6..blob.len() {
                assert!(read(&blob[..length]).is_err(), "{length} of {}", blob.len());
            }
        }
    }

    #[test]
    fn bomb_guard_stops_at_ratio() {
        let zeros = vec![0; 1 << 20];
        for (compression, bomb) in [
            (Compression::Gzip, gzip(&zeros)),
            (Compression::Zstd, zstd::encode_all(&zeros[..], 1).unwrap()),
        ] {
            let size = bomb.len() as u64;
            let mut decompressed = Vec::new();
            let mut guarded =
                GuardedReader::new(BombGuard::with_allowance(1000), compression, &bomb[..])
                    .unwrap();
            let error = guarded.read_to_end(&mut decompressed).unwrap_err();
            assert!(error.to_string().contains("likely a decompression bomb"), "{error}");
            assert!(decompressed.len() as u64 <= size * MAX_RATIO);
        }
    }

    #[test]
    fn bomb_guard_counts_all_blobs_together() {
        let part = gzip(&vec![0; 100_000]);
        let all = BombGuard::with_allowance(250_000);
        let mut gone_off = 0;
        let error = loop {
            let mut part = GuardedReader::new(all.clone(), Compression::Gzip, &part[..]).unwrap();
            match io::copy(&mut part, &mut io::sink()) {
                Ok(bytes) => gone_off += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(gone_off, 200_000);
        assert!(error.to_string().contains("likely a decompression bomb"), "{error}");
    }

    #[test]
    fn foreign_formats_are_recognized_by_magic_bytes() {
        let tar = |name: &[u8]| {
            let entry = LayerEntry {
                path: name.to_vec(),
                kind: EntryKind::Fifo,
                mode: 0,
                uid: 0,
                gid: 0,
                mtime: Timestamp::default(),
                size: 0,
                link: Vec::new(),
                device: Device::default(),
                xattrs: Vec::new(),
            };
            crate::layer::header(&entry)
        };
        let erofs = [&[0; 1024][..], b"\xe2\xe1\xf5\xe0"].concat();
        for (start, message) in [
            (&b"\xfd7zXZ\0"[..], "is compressed with xz"),
            (b"BZh91A", "is compressed with bzip2"),
            (b"\x04\x22\x4d\x18", "is compressed with lz4"),
            (b"LZIP\x01", "is compressed with lzip"),
            (b"hsqsdata", "is a squashfs file system"),
            (b"\0asm\x01\0\0\0", "is a WebAssembly module"),
            (&erofs, "is an erofs file system"),
        ] {
            assert_eq!(Compression::detect(start).unwrap_err().to_string(), message);
            if start.len() < 20 && !start.contains(&0) {
                assert_eq!(Compression::detect(&tar(start)), Ok(Compression::Plain), "{message}");
            }
        }
        assert_eq!(Compression::detect(&erofs[..1027]), Ok(Compression::Plain));
        for (start, inner) in [
            (&b"\x1f\x8bgzip"[..], Some(Compression::Gzip)),
            (b"\x50\x2a\x4d\x18", Some(Compression::Zstd)),
            (b"\xfd7zXZ\0", None),
            (b"", None),
        ] {
            assert_eq!(Compression::detect_inner(start), inner);
        }
        assert_eq!(Compression::detect_inner(&tar(b"\x1f\x8bname")), None);
    }
}
