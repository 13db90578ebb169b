//! Literals in zstd frames, each compressed with old bytes as its prefix.

use std::io::Read;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, compress_bound};

use super::fault::{file_error, invalid_delta};
use super::limits;
use super::numbers::{put, take, take_unless_end};
use super::ops::{Part, PartCoder};
use super::tar_file::TarFile;
use crate::error::{Error, ErrorKind, Result};

/// Literals after which a frame is closed.
const CLOSE_AT: usize = 4 << 20;
/// Prefixes from which on zstd's table for long distances is used: at level 9 the other one has 2^22 entries, and what it
/// forgets is not found again (8 MB of text after itself but for 10 bytes: 3.6 MB without, 805 bytes with it; zstd 1.5.7).
const LONG_DISTANCE_FROM: usize = 1 << 20;

/// One frame: its sizes, and the old bytes before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) raw: usize,
    pub(super) packed: usize,
    pub(super) prefix: Vec<Part>,
}

/// Collects literals, and compresses them frame by frame.
pub(super) struct FrameWriter {
    level: i32,
    tar_size: u64,
    raw: Vec<u8>,
    prefix: Vec<Part>,
    prefix_bytes: u64,
    /// Those of the frames before too.
    all_prefix_bytes: u64,
    coder: PartCoder,
    table: Vec<u8>,
}

impl FrameWriter {
    pub(super) fn new(level: i32, tar_size: u64) -> Self {
        Self {
            level,
            tar_size,
            raw: Vec::new(),
            prefix: Vec::new(),
            prefix_bytes: 0,
            all_prefix_bytes: 0,
            coder: PartCoder::default(),
            table: Vec::new(),
        }
    }

    /// Adds literals, and the old bytes that they resemble. Returns a compressed frame when one is complete.
    ///
    /// At most 16 MiB are added, with at most 24 MiB of old bytes.
    pub(super) fn add(
        &mut self,
        literals: &[u8],
        like: Option<Part>,
        old: &[TarFile],
    ) -> Result<Option<Vec<u8>>> {
        let old_sizes = old.iter().map(TarFile::size);
        let left = limits::max_prefix_bytes(self.tar_size, old_sizes) - self.all_prefix_bytes;
        let like = like.filter(|part| part.length <= left);
        let like_bytes = like.map_or(0, |part| part.length);
        let is_full = self.raw.len() + literals.len() > limits::MAX_FRAME_BYTES
            || self.prefix_bytes + like_bytes > limits::MAX_PREFIX_BYTES as u64
            || self.prefix.len() as u64 >= limits::MAX_PREFIX_PARTS;
        let mut frame = if is_full { self.close(old)? } else { None };
        if let Some(part) = like {
            self.prefix_bytes += part.length;
            self.all_prefix_bytes += part.length;
            match self.prefix.last_mut() {
                Some(last)
                    if last.layer == part.layer && last.offset + last.length == part.offset =>
                {
                    last.length += part.length;
                }
                _ => self.prefix.push(part),
            }
        }
        self.raw.extend_from_slice(literals);
        // Frames that were closed above and here would have to be returned both.
        if frame.is_none() && self.raw.len() >= CLOSE_AT {
            frame = self.close(old)?;
        }
        Ok(frame)
    }

    /// Compresses what was added since the last frame.
    pub(super) fn close(&mut self, old: &[TarFile]) -> Result<Option<Vec<u8>>> {
        if self.raw.is_empty() {
            return Ok(None);
        }
        let mut prefix = Vec::with_capacity(usize::try_from(self.prefix_bytes).unwrap_or_default());
        read_prefix(old, &self.prefix, &mut prefix)?;
        let packed = compress(&self.raw, &prefix, self.level)?;
        put(&mut self.table, self.raw.len() as u64);
        put(&mut self.table, packed.len() as u64);
        put(&mut self.table, self.prefix.len() as u64);
        for part in self.prefix.drain(..) {
            put(&mut self.table, part.length);
            self.coder.put(&mut self.table, part);
        }
        self.raw.clear();
        self.prefix_bytes = 0;
        Ok(Some(packed))
    }

    /// The table of the frames as bytes; `None` if it exceeds the limits.
    pub(super) fn into_table(self) -> Option<Vec<u8>> {
        (self.table.len() as u64 <= limits::MAX_TABLE_BYTES).then_some(self.table)
    }
}

/// Reads a table of frames from an untrusted source.
pub(super) struct FrameReader<R> {
    table: R,
    sizes: Vec<u64>,
    coder: PartCoder,
}

impl<R: Read> FrameReader<R> {
    /// `sizes` are those of the old tars.
    pub(super) fn new(table: R, sizes: Vec<u64>) -> Self {
        Self { table, sizes, coder: PartCoder::default() }
    }

    /// Reads the whole table; returns how many bytes of memory the largest frame takes.
    pub(super) fn check(mut self, max_prefix_bytes: u64) -> Result<u64> {
        let (mut largest, mut all_prefix_bytes) = (0, 0_u64);
        while let Some(Frame { raw, packed, prefix }) = self.next_frame()? {
            let prefix_bytes = prefix.iter().map(|part| part.length).sum::<u64>();
            all_prefix_bytes = all_prefix_bytes.saturating_add(prefix_bytes);
            largest = largest.max(prefix_bytes + (raw + packed) as u64);
        }
        if all_prefix_bytes > max_prefix_bytes {
            return Err(invalid_delta("has frames that refer to too much of old layers"));
        }
        Ok(largest)
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some(raw) = take_unless_end(&mut self.table)? else { return Ok(None) };
        let size = |number: u64, most: usize| {
            let number = usize::try_from(number).ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| invalid_delta("has a frame that is empty or too large"))
        };
        let raw = size(raw, limits::MAX_FRAME_BYTES)?;
        let packed = size(take(&mut self.table)?, compress_bound(limits::MAX_FRAME_BYTES))?;
        let parts = take(&mut self.table)?;
        if parts > limits::MAX_PREFIX_PARTS {
            return Err(invalid_delta("has a frame with too many parts"));
        }
        let (mut prefix, mut sum) = (Vec::new(), 0_u64);
        for _ in 0..parts {
            let length = take(&mut self.table)?;
            let part = self.coder.take(&mut self.table, length, &self.sizes)?;
            // Each part lies inside its layer, so that the sum cannot overflow before this.
            sum = sum.saturating_add(part.length);
            if sum > limits::MAX_PREFIX_BYTES as u64 {
                return Err(invalid_delta("has a frame with a prefix that is too large"));
            }
            prefix.push(part);
        }
        Ok(Some(Frame { raw, packed, prefix }))
    }
}

/// Reads parts of old tars, one after the other.
pub(super) fn read_prefix(old: &[TarFile], parts: &[Part], into: &mut Vec<u8>) -> Result<()> {
    for part in parts {
        let start = into.len();
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        into.resize(start.saturating_add(length), 0);
        let tar = old.get(part.layer).ok_or_else(|| invalid_delta("has an unknown layer"))?;
        tar.read_exact_at(into.get_mut(start..).unwrap_or_default(), part.offset)?;
    }
    Ok(())
}

fn compress(raw: &[u8], prefix: &[u8], level: i32) -> Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(compress_bound(raw.len()));
    let window = window_log(raw.len() + prefix.len());
    let compressed = (|| {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(level))?;
        context.set_parameter(CParameter::WindowLog(window))?;
        let is_long = prefix.len() > LONG_DISTANCE_FROM;
        context.set_parameter(CParameter::EnableLongDistanceMatching(is_long))?;
        context.ref_prefix(prefix)?;
        context.compress2(&mut packed, raw)
    })();
    compressed.map_err(|code| {
        let reason = zstd::zstd_safe::get_error_name(code);
        Error::new(ErrorKind::Store, "compress delta").with_reason(reason)
    })?;
    Ok(packed)
}

/// Decompresses a frame to exactly `size` bytes.
pub(super) fn decompress(
    packed: &[u8],
    prefix: &[u8],
    raw: &mut Vec<u8>,
    size: usize,
) -> Result<()> {
    raw.clear();
    raw.reserve_exact(size);
    let decompressed = (|| {
        let mut context = DCtx::create();
        context.set_parameter(DParameter::WindowLogMax(limits::WINDOW_LOG))?;
        context.ref_prefix(prefix)?;
        context.decompress(raw, packed)
    })();
    match decompressed {
        Ok(written) if written == size && raw.len() == size => Ok(()),
        Ok(_) => Err(invalid_delta("a frame has another size")),
        Err(_) => Err(invalid_delta("has a damaged frame")),
    }
}

/// Base-2 logarithm of a window over so many bytes.
fn window_log(bytes: usize) -> u32 {
    bytes.next_power_of_two().ilog2().clamp(10, limits::WINDOW_LOG)
}

/// Compresses a table.
pub(super) fn compress_table(table: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(table, 19).map_err(file_error)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::control::Control;
    use crate::digest::Digest;

    fn old_layer(size: u64) -> TarFile {
        let bytes = vec![7; usize::try_from(size).unwrap()];
        let (diff_id, dir) = (Digest::sha256(&bytes), std::env::temp_dir());
        let control = Control::default();
        TarFile::decompress(Cursor::new(bytes), &diff_id, size, &dir, &control).unwrap()
    }

    // Each frame may refer to all of an old layer, so that a small delta could have terabytes of it read.
    #[test]
    fn frames_refer_to_old_bytes_at_most_a_few_times() {
        let (old, size) = ([old_layer(1000)], 1000);
        let mut writer = FrameWriter::new(1, 24);
        for _ in 0..9 {
            let whole = Part { layer: 0, offset: 0, length: size };
            assert!(writer.add(b"new", Some(whole), &old).unwrap().is_none());
            assert!(writer.close(&old).unwrap().is_some());
        }
        let table = writer.into_table().unwrap();
        let reader = || FrameReader::new(&table[..], vec![size]);
        let mut frames = reader();
        let frames = std::iter::from_fn(|| frames.next_frame().unwrap());
        assert_eq!(frames.filter(|frame| !frame.prefix.is_empty()).count(), 4);
        let most = limits::max_prefix_bytes(24, [size].into_iter());
        assert!((size..size + 100).contains(&reader().check(most).unwrap()));
        assert!(reader().check(4 * size - 1).is_err());
    }
}
