//! Streams of numbers and bytes, compressed in frames of limited size, so that neither side holds a whole stream.

use super::fault::{invalid_record, write_error};
use crate::error::Result;
use crate::leb128;

/// Raw bytes after which a frame is closed. Larger ones make records less than 1 % smaller, and take zstd megabytes.
const FRAME_BYTES: usize = 32 << 10;
/// Maximum raw bytes of a frame: a gzip header of 64 KiB may be added to one that is almost full.
const MAX_FRAME_BYTES: usize = 256 << 10;
const LEVEL: i32 = 19;

/// Writes one stream. Items never lie in two frames.
#[derive(Default)]
pub(super) struct StreamWriter {
    raw: Vec<u8>,
    frames: Vec<u8>,
}

impl StreamWriter {
    pub(super) fn unsigned(&mut self, value: u64) -> Result<()> {
        self.close_full_frame()?;
        leb128::put(&mut self.raw, value);
        Ok(())
    }

    /// Adds a number of which small amounts are frequent, with either sign.
    pub(super) fn signed(&mut self, value: i64) -> Result<()> {
        self.unsigned(leb128::zigzag(value))
    }

    /// Adds at most 128 KiB.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.close_full_frame()?;
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    fn close_full_frame(&mut self) -> Result<()> {
        if self.raw.len() < FRAME_BYTES { Ok(()) } else { self.close_frame() }
    }

    fn close_frame(&mut self) -> Result<()> {
        let packed = zstd::bulk::compress(&self.raw, LEVEL).map_err(write_error)?;
        leb128::put(&mut self.frames, self.raw.len() as u64);
        leb128::put(&mut self.frames, packed.len() as u64);
        self.frames.extend_from_slice(&packed);
        self.raw.clear();
        Ok(())
    }

    /// Bytes of the frames that are closed.
    pub(super) fn packed_bytes(&self) -> u64 {
        self.frames.len() as u64
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        if !self.raw.is_empty() {
            self.close_frame()?;
        }
        Ok(self.frames)
    }
}

/// Reads the frames of a [`StreamWriter`]. They are not trusted.
#[derive(Default)]
pub(super) struct StreamReader<'a> {
    frames: &'a [u8],
    raw: Vec<u8>,
    start: usize,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(frames: &'a [u8]) -> Self {
        Self { frames, raw: Vec::new(), start: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.frames.is_empty() && self.start == self.raw.len()
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        let mut rest = self.rest()?;
        let value = take_unsigned(&mut rest)?;
        let left = rest.len();
        self.start = self.raw.len() - left;
        Ok(value)
    }

    pub(super) fn signed(&mut self) -> Result<i64> {
        self.unsigned().map(leb128::unzigzag)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        if count == 0 {
            return Ok(&[]);
        }
        self.rest()?;
        let start = self.start;
        let bytes = self.raw.get(start..).and_then(|rest| rest.get(..count));
        self.start += count;
        bytes.ok_or_else(|| invalid_record("a stream ends early"))
    }

    /// The rest of the frame; never empty.
    pub(super) fn rest(&mut self) -> Result<&[u8]> {
        if self.start == self.raw.len() {
            let size = usize::try_from(take_unsigned(&mut self.frames)?).unwrap_or(usize::MAX);
            let packed_size =
                usize::try_from(take_unsigned(&mut self.frames)?).unwrap_or(usize::MAX);
            let packed = self.frames.split_off(..packed_size);
            let packed = packed.ok_or_else(|| invalid_record("a stream ends early"))?;
            if size == 0 || size > MAX_FRAME_BYTES {
                return Err(invalid_record("invalid size of a frame"));
            }
            let raw = zstd::bulk::decompress(packed, size);
            self.raw = raw.map_err(|_| invalid_record("invalid zstd frame"))?;
            self.start = 0;
            if self.raw.len() != size {
                return Err(invalid_record("a frame has another size than stated"));
            }
        }
        Ok(self.raw.get(self.start..).unwrap_or_default())
    }
}

/// Takes a number in LEB128 from the front.
pub(super) fn take_unsigned(from: &mut &[u8]) -> Result<u64> {
    let number = leb128::take(from).map_err(|_| invalid_record("invalid number"))?;
    number.ok_or_else(|| invalid_record("a stream ends early"))
}
