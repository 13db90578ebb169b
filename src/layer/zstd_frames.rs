//! Decompresses Zstandard data of several frames, with a limit on each window: a window occupies memory while its frame
//! is read. Format: RFC 8878, section 3.1.1.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// The largest window that the decoder supports.
pub const MAX_WINDOW_BYTES: u64 = 2 << 30;

/// The default limit: `zstd --long=29`.
pub const DEFAULT_WINDOW_BYTES: u64 = 512 << 20;

/// Maximum bytes of the header of a frame.
const MAX_HEADER_BYTES: usize = 18;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Windows use the memory of the process, so the limit applies to the whole process.
static WINDOW_LIMIT_BYTES: AtomicU64 = AtomicU64::new(DEFAULT_WINDOW_BYTES);

/// Sets the limit for zstd windows in bytes, at most [`MAX_WINDOW_BYTES`], for everything that this process reads from
/// now on. Each layer that is read concurrently has its own window.
pub fn limit_zstd_window(bytes: u64) {
    WINDOW_LIMIT_BYTES.store(bytes.min(MAX_WINDOW_BYTES), Ordering::Relaxed);
}

/// A frame needs a larger window than the limit allows.
#[derive(Debug)]
struct WindowLimitError {
    window: u64,
    limit: u64,
}

impl fmt::Display for WindowLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (window, limit) = (size_text(self.window), size_text(self.limit));
        write!(f, "asks for a zstd window of {window}, and {limit} is the limit")
    }
}

impl std::error::Error for WindowLimitError {}

/// Whether reading failed because of the limit for zstd windows, and a higher one would be possible.
pub(crate) fn needs_higher_window_limit(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<WindowLimitError>());
    inner.is_some_and(|error| error.window <= MAX_WINDOW_BYTES)
}

/// The decompressed bytes of all frames.
pub(super) struct ZstdReader<R> {
    bytes: R,
    decoder: Decoder<'static>,
    /// The bytes read to parse a frame's header.
    start: Vec<u8>,
    at: usize,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(bytes: R) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        // `begin` checks the limit, so that the error can name it.
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_BYTES.ilog2()))?;
        Ok(Self { bytes, decoder, start: Vec::new(), at: 0, is_in_frame: false })
    }

    /// Reads the next frame header and checks its window. Returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        self.start.drain(..self.at);
        self.at = 0;
        let missing = MAX_HEADER_BYTES.saturating_sub(self.start.len()) as u64;
        Read::by_ref(&mut self.bytes).take(missing).read_to_end(&mut self.start)?;
        self.is_in_frame = !self.start.is_empty();
        let limit = WINDOW_LIMIT_BYTES.load(Ordering::Relaxed);
        match window(&self.start) {
            Some(window) if window > limit => {
                let error = WindowLimitError { window, limit };
                Err(io::Error::new(io::ErrorKind::Unsupported, error))
            }
            _ => Ok(self.is_in_frame),
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.begin()? {
                return Ok(0);
            }
            let from_start = self.at < self.start.len();
            let input = if from_start {
                self.start.get(self.at..).unwrap_or_default()
            } else {
                self.bytes.fill_buf()?
            };
            let ended = input.is_empty();
            let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(&mut *into));
            let left = self.decoder.run(&mut input, &mut output)?;
            let (taken, given) = (input.pos(), output.pos());
            if from_start {
                self.at += taken;
            } else {
                self.bytes.consume(taken);
            }
            self.is_in_frame = left > 0;
            if given > 0 {
                return Ok(given);
            }
            if ended && self.is_in_frame {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
            }
        }
    }
}

/// Returns the memory needed to read a frame with this start: its window, or its content if that is smaller.
fn window(start: &[u8]) -> Option<u64> {
    let (descriptor, rest) = start.strip_prefix(&MAGIC)?.split_first()?;
    let single = descriptor & 0x20 != 0;
    // The value 3 stands for 4 bytes.
    let dictionary = usize::from(descriptor & 3);
    let dictionary = dictionary + usize::from(dictionary == 3);
    let (window, rest) = if single {
        (None, rest)
    } else {
        let (byte, rest) = rest.split_first()?;
        let base = 1_u64 << (10 + (byte >> 3));
        (Some(base + base / 8 * u64::from(byte & 7)), rest)
    };
    let field = rest.get(dictionary..)?;
    let number = |length: usize| {
        let bytes = field.get(..length)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    let size = match descriptor >> 6 {
        0 if single => number(1),
        0 => None,
        1 => number(2).map(|size| size + 256),
        2 => number(4),
        _ => number(8),
    };
    match (window, size) {
        (Some(window), Some(size)) => Some(window.min(size)),
        (window, size) => window.or(size),
    }
}

fn size_text(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// A frame that needs a window, with one block of a repeated byte.
    fn frame(window_log: u8) -> Vec<u8> {
        [&MAGIC[..], &[0, (window_log - 10) << 3, 0x43, 0, 0, b'x']].concat()
    }

    fn read(blob: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
        let mut decompressed = Vec::new();
        let bytes = BufReader::with_capacity(capacity, blob);
        ZstdReader::new(bytes)?.read_to_end(&mut decompressed).map(|_| decompressed)
    }

    #[test]
    fn zstd_window_over_limit_is_unsupported() {
        for capacity in [1, 5, 1 << 16] {
            assert_eq!(read(&frame(29), capacity).unwrap(), b"xxxxxxxx");
            for (window_log, named) in [(30, "1 GiB"), (31, "2 GiB"), (41, "2048 GiB")] {
                for front in [&b""[..], &frame(20)] {
                    let error = read(&[front, &frame(window_log)].concat(), capacity).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                    assert_eq!(needs_higher_window_limit(&error), window_log <= 31);
                    let message = error.to_string();
                    assert!(
                        message.contains(named) && message.contains("512 MiB is the limit"),
                        "{message}"
                    );
                }
            }
        }
    }

    #[test]
    fn zstd_window_is_capped_at_content_size() {
        let sized = |size: [u8; 8]| {
            [&MAGIC[..], &[0xc0, (31 - 10) << 3], &size, &[0x43, 0, 0, b'x']].concat()
        };
        assert_eq!(read(&sized([8, 0, 0, 0, 0, 0, 0, 0]), 4096).unwrap(), b"xxxxxxxx");
        assert!(read(&sized([0, 0, 0, 0x40, 0, 0, 0, 0]), 4096).is_err(), "1 GiB of content");
        assert!(read(&sized([7, 0, 0, 0, 0, 0, 0, 0]), 4096).is_err(), "more than it says");
    }

    #[test]
    fn zstd_frames_are_independent_of_buffer_size() {
        let content: Vec<u8> = (0..75_000_u32).flat_map(u32::to_le_bytes).collect();
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"no"].concat();
        let whole = zstd::encode_all(&content[..], 3).unwrap();
        let bulk = zstd::bulk::compress(&content, 1).unwrap();
        let blob = [&skipped[..], &whole, &bulk, &frame(27), &skipped].concat();
        let wanted = [&content[..], &content, b"xxxxxxxx"].concat();
        for capacity in [1, 17, 4096, 1 << 20] {
            assert!(read(&blob, capacity).unwrap() == wanted, "{capacity}");
            assert!(read(&blob[..blob.len() - 1], capacity).is_err());
            assert!(read(&[&whole[..], b"\0\0\0\0"].concat(), capacity).is_err());
        }
    }
}
