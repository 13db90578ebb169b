//! Finds what a layer has in common with old layers, and writes the rest as a delta.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::apply::apply;
use super::fault::{WHAT, does_not_fit, file_error, invalid_delta};
use super::format::{Delta, EncoderHint, Header, OldLayer, Sections, TargetBlob};
use super::frames::{FrameWriter, compress_table, read_prefix};
use super::index::{Found, OldEntries, Segment, drop_little_used};
use super::limits;
use super::ops::{Op, OpsWriter, Part};
use super::runs::{SimilarRun, similar_runs};
use super::tar_file::TarFile;
use crate::blob_file::BlobFileWriter;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::rebuild::{Record, record};
use crate::setters::setters;
use crate::verifier::Verifier;

/// A piece of literals, which one frame has room for.
const MAX_PIECE_BYTES: u64 = limits::MAX_FRAME_BYTES as u64;
/// How many old bytes around the position of a piece are in its prefix, on either side.
const AROUND: u64 = 4 << 20;
/// What programs and libraries of Linux begin with.
const ELF: &[u8] = b"\x7fELF";

/// The layer to make a delta of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NewLayer<'a> {
    /// Its gzip blob.
    pub descriptor: &'a Descriptor,
    /// Its uncompressed bytes.
    pub tar: &'a TarFile,
}

impl<'a> NewLayer<'a> {
    /// A layer, and its uncompressed bytes.
    pub fn new(descriptor: &'a Descriptor, tar: &'a TarFile) -> Self {
        Self { descriptor, tar }
    }
}

/// How to make a delta.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MakeOptions {
    /// The level of zstd, 1 to 22. Level 19 makes deltas 5 to 10 % smaller than level 9, in 15 times as long.
    pub level: i32,
    /// The directory of the temporary files.
    pub dir: PathBuf,
    /// Cancels the work.
    pub control: Control,
}

impl Default for MakeOptions {
    fn default() -> Self {
        Self { level: 9, dir: std::env::temp_dir(), control: Control::default() }
    }
}

impl MakeOptions {
    setters! {
        value level: i32;
        value into dir: PathBuf;
        value control: Control;
    }
}

/// Makes the delta of a gzip layer whose blob `open_blob` opens. Blocks.
///
/// The delta is applied once to check it, which takes most of the time.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the layer cannot be rebuilt from its tar,
/// [`ErrorKind::Store`](crate::ErrorKind::Store) if reading or writing fails.
pub fn make<R: Read>(
    old: &[TarFile],
    new: NewLayer<'_>,
    open_blob: impl FnOnce() -> Result<R>,
    options: &MakeOptions,
) -> Result<Delta> {
    let record = record(open_blob()?)?;
    let mut maker = Maker::new(old, new.tar, options)?;
    maker.run()?;
    let delta = maker.finish(new, &record)?;
    options.control.check(WHAT)?;
    let find = |layer: &OldLayer| old.iter().find(|tar| *tar.diff_id() == layer.diff_id);
    let needed: Vec<TarFile> = delta.header().old_layers.iter().filter_map(find).cloned().collect();
    let sink = VerifyingSink(Verifier::new(new.descriptor)?);
    let rebuilt = apply(&delta, &needed, sink, &options.control)?;
    rebuilt.0.finish().map_err(|_| does_not_fit("the layer was not rebuilt"))?;
    Ok(delta)
}

struct Maker<'a> {
    old: &'a [TarFile],
    new: &'a TarFile,
    options: &'a MakeOptions,
    /// The old layers that are used, in the order of the header.
    used_layers: Vec<TarFile>,
    /// The position of an old layer, and its number among those that are used.
    layer_numbers: HashMap<usize, usize>,
    ops: OpsWriter,
    frames: FrameWriter,
    literals: BufWriter<File>,
    literal_bytes: (u64, u64),
    buffer: Vec<u8>,
}

impl<'a> Maker<'a> {
    fn new(old: &'a [TarFile], new: &'a TarFile, options: &'a MakeOptions) -> Result<Self> {
        let literals = tempfile::tempfile_in(&options.dir).map_err(file_error)?;
        Ok(Self {
            old,
            new,
            options,
            used_layers: Vec::new(),
            layer_numbers: HashMap::new(),
            ops: OpsWriter::default(),
            frames: FrameWriter::new(options.level, new.size()),
            literals: BufWriter::new(literals),
            literal_bytes: (0, 0),
            buffer: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let control = &self.options.control;
        let old = OldEntries::new(self.old, limits::MAX_ENTRIES, control)?;
        let mut segments = old.find(self.new, control)?;
        drop_little_used(&mut segments, self.old);
        let end = segments.last().map_or(0, |segment| segment.range.end);
        for Segment { range, found } in segments {
            match found {
                Found::Same(part) => {
                    let part = self.numbered(part);
                    self.ops.push(Op::Copy(part));
                }
                Found::Like(part) => self.literal(&range, 0, Some(part))?,
                Found::Nothing => self.literal(&range, 0, None)?,
            }
        }
        self.tail(end..self.new.size())?;
        if let Some(packed) = self.frames.close(&self.used_layers)? {
            self.write_literals(&packed)?;
        }
        Ok(())
    }

    /// Adds what follows the last entry: zeros, or everything if the new layer is not a tar.
    fn tail(&mut self, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(1 << 20);
            self.buffer.resize(length, 0);
            self.new.read_exact_at(&mut self.buffer, at)?;
            if self.buffer.iter().any(|byte| *byte != 0) {
                let tar = self.old.first();
                let whole = tar.map(|tar| Part { layer: 0, offset: 0, length: tar.size() });
                return self.literal(&(at..range.end), at, whole);
            }
            self.ops.push(Op::Zero(length as u64));
            at += length as u64;
        }
        Ok(())
    }

    /// Adds literals in pieces. A piece is like the old bytes around its position in `like`, where the first one is at
    /// `position`.
    fn literal(&mut self, range: &Range<u64>, position: u64, like: Option<Part>) -> Result<()> {
        let (mut at, mut is_code) = (range.start, false);
        while at < range.end {
            self.options.control.check(WHAT)?;
            let end = range.end.min(at + MAX_PIECE_BYTES);
            let mut literals = vec![0; usize::try_from(end - at).unwrap_or_default()];
            self.new.read_exact_at(&mut literals, at)?;
            is_code |= at == range.start && literals.starts_with(ELF);
            let position = position + (at - range.start);
            let near = like.and_then(|part| {
                if part.length <= MAX_PIECE_BYTES + 2 * AROUND {
                    return (at == range.start).then_some(part);
                }
                let start = position.saturating_sub(AROUND);
                let end = part.length.min(position + (end - at) + AROUND);
                let length = end.checked_sub(start).filter(|length| *length > 0)?;
                Some(Part { offset: part.offset + start, length, ..part })
            });
            self.literal_bytes.1 += end - at;
            let near = near.map(|part| self.numbered(part));
            match near {
                Some(part) if is_code => self.subtract(&mut literals, part)?,
                _ => self.ops.push(Op::Literal(end - at)),
            }
            if let Some(packed) = self.frames.add(&literals, near, &self.used_layers)? {
                self.write_literals(&packed)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Replaces what resembles old bytes by the differences from them.
    fn subtract(&mut self, literals: &mut [u8], old: Part) -> Result<()> {
        let mut old_bytes = Vec::new();
        read_prefix(&self.used_layers, &[old], &mut old_bytes)?;
        let runs = similar_runs(&old_bytes, literals);
        let runs = if self.ops.has_room(runs.len()) { runs } else { Vec::new() };
        let mut at = 0;
        for SimilarRun { start, old: position, length } in runs {
            self.ops.push(Op::Literal((start - at) as u64));
            let offset = old.offset + position as u64;
            self.ops.push(Op::Add(Part { offset, length: length as u64, ..old }));
            let old_bytes = old_bytes.get(position..).unwrap_or_default();
            at = start + length;
            for (to, old) in
                literals.get_mut(start..at).unwrap_or_default().iter_mut().zip(old_bytes)
            {
                *to = to.wrapping_sub(*old);
            }
        }
        self.ops.push(Op::Literal((literals.len() - at) as u64));
        Ok(())
    }

    /// The part with the number that its layer has in the header.
    fn numbered(&mut self, part: Part) -> Part {
        let next = self.used_layers.len();
        let number = *self.layer_numbers.entry(part.layer).or_insert(next);
        if number == next {
            self.used_layers.extend(self.old.get(part.layer).cloned());
        }
        Part { layer: number, ..part }
    }

    fn write_literals(&mut self, packed: &[u8]) -> Result<()> {
        self.literal_bytes.0 += packed.len() as u64;
        self.literals.write_all(packed).map_err(file_error)
    }

    /// Writes the delta to a file.
    fn finish(self, new: NewLayer<'_>, record: &Record) -> Result<Delta> {
        let too_many = || invalid_delta("has too many operations");
        let ops = self.ops.finish().ok_or_else(too_many)?;
        let frames = self.frames.into_table().ok_or_else(too_many)?;
        let literals =
            self.literals.into_inner().map_err(|error| file_error(error.into_error()))?;
        let descriptor = new.descriptor;
        let old_layers =
            self.used_layers.iter().map(|tar| OldLayer::new(tar.diff_id().clone(), tar.size()));
        let header = Header {
            target: TargetBlob::new(
                descriptor.media_type.to_string(),
                descriptor.digest.clone(),
                descriptor.size,
            ),
            diff_id: new.tar.diff_id().clone(),
            tar_size: new.tar.size(),
            old_layers: old_layers.collect(),
            encoder: EncoderHint::new(record.encoder()),
            sections: Vec::new(),
        };
        let sections = Sections {
            ops: (compress_table(&ops)?, ops.len()),
            frames: (compress_table(&frames)?, frames.len()),
            record: record.as_bytes(),
            literals: &Arc::new(literals),
            literal_bytes: self.literal_bytes,
        };
        let mut file = BlobFileWriter::new_in(&self.options.dir).map_err(file_error)?;
        Delta::write(header, &sections, &mut file)?;
        Delta::from_blob(file.finish()?)
    }
}

/// Verifies what is written to it.
struct VerifyingSink(Verifier);

impl Write for VerifyingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
