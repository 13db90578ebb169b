//! Rebuilds a layer from old layers and a delta.

use std::io::{self, Read, Write};
use std::num::NonZero;

use super::fault::{WHAT_APPLY, does_not_fit, invalid_delta};
use super::format::Delta;
use super::frames::{FrameReader, decompress, read_prefix};
use super::ops::{Op, OpsReader, Part};
use super::tar_file::TarFile;
use crate::control::Control;
use crate::digest::Hasher;
use crate::error::{Error, Result};
use crate::rebuild;

/// Threads that help to replay pieces; each adds about 3 MiB.
const MAX_THREADS: usize = 4;

/// Writes the blob of the delta's target, given the old layers in the order of its header; returns the writer, which is
/// not flushed.
///
/// The caller verifies the digest of what was written, which has at most as many bytes as the header states. Blocks.
/// Holds up to 144 MiB, for layers of any size; mostly less than 64 MiB.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) if these are other layers,
/// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) if the delta contradicts itself,
/// [`ErrorKind::Store`](crate::ErrorKind::Store) if reading or writing fails,
/// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
pub fn apply<W: Write>(delta: &Delta, old: &[TarFile], blob: W, control: &Control) -> Result<W> {
    let header = delta.header();
    let right = header.old_layers.iter().map(|layer| (&layer.diff_id, layer.size));
    if !right.eq(old.iter().map(|tar| (tar.diff_id(), tar.size()))) {
        return Err(does_not_fit("the old layers are others"));
    }
    let record = delta.record()?;
    let mut tar = NewTar::new(delta, old, control)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    match rebuild::replay_with(&mut tar, &record, blob, cores.min(MAX_THREADS)) {
        Ok(blob) => tar.finish().map(|()| blob),
        // The reader's own error says more than that reading failed.
        Err(error) => Err(tar.failed.take().unwrap_or(error)),
    }
}

/// Reads the new tar by executing its operations.
struct NewTar<'a, O, F> {
    delta: &'a Delta,
    old: &'a [TarFile],
    control: &'a Control,
    ops: OpsReader<O>,
    frames: FrameReader<F>,
    /// The rest of the current operation.
    op: Option<Op>,
    /// Where the next frame begins.
    literals_at: u64,
    /// The literals of the current frame, and how many of them were read.
    literals: (Vec<u8>, usize),
    /// Reused between frames.
    buffers: (Vec<u8>, Vec<u8>),
    /// Reused between additions.
    addends: Vec<u8>,
    hasher: Hasher,
    position: u64,
    failed: Option<Error>,
}

impl<'a> NewTar<'a, (), ()> {
    fn new(
        delta: &'a Delta,
        old: &'a [TarFile],
        control: &'a Control,
    ) -> Result<NewTar<'a, impl Read + use<>, impl Read + use<>>> {
        Ok(NewTar {
            delta,
            old,
            control,
            ops: delta.ops()?,
            frames: delta.frames()?,
            op: None,
            literals_at: 0,
            literals: (Vec::new(), 0),
            buffers: (Vec::new(), Vec::new()),
            addends: Vec::new(),
            hasher: Hasher::new(delta.header().diff_id.algorithm()?),
            position: 0,
            failed: None,
        })
    }
}

impl<O: Read, F: Read> NewTar<'_, O, F> {
    /// Checks that the tar is complete and right.
    fn finish(mut self) -> Result<()> {
        if self.next_op()?.is_some() || self.position != self.delta.header().tar_size {
            return Err(invalid_delta("makes a tar of another size"));
        }
        if self.hasher.finish() != self.delta.header().diff_id {
            return Err(does_not_fit("the diff_id differs"));
        }
        Ok(())
    }

    /// The operation that gives the next byte.
    fn next_op(&mut self) -> Result<Option<Op>> {
        if self.op.is_none() {
            self.op = self.ops.next_op()?;
        }
        Ok(self.op)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        self.control.check(WHAT_APPLY)?;
        let left = self.delta.header().tar_size - self.position;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        if into.is_empty() {
            return Ok(0);
        }
        let Some(op) = self.next_op()? else { return Ok(0) };
        let (read, rest) = match op {
            Op::Zero(length) => {
                let count = shorter(into, length);
                into.get_mut(..count).unwrap_or_default().fill(0);
                (count, Op::Zero(length - count as u64))
            }
            Op::Copy(part) => {
                let count = shorter(into, part.length);
                read_old(self.old, part, into.get_mut(..count).unwrap_or_default())?;
                (count, Op::Copy(part.after(count)))
            }
            Op::Add(part) => {
                let count = self.read_literals(into, part.length)?;
                self.addends.resize(count, 0);
                read_old(self.old, part, &mut self.addends)?;
                add(into.get_mut(..count).unwrap_or_default(), &self.addends);
                (count, Op::Add(part.after(count)))
            }
            Op::Literal(length) => {
                let count = self.read_literals(into, length)?;
                (count, Op::Literal(length - count as u64))
            }
        };
        self.op = (!rest.is_empty()).then_some(rest);
        self.hasher.update(into.get(..read).unwrap_or_default());
        self.position += read as u64;
        Ok(read)
    }

    fn read_literals(&mut self, into: &mut [u8], length: u64) -> Result<usize> {
        if self.literals.1 == self.literals.0.len() {
            let too_few = || invalid_delta("has too few literals");
            let frame = self.frames.next_frame()?.ok_or_else(too_few)?;
            let (packed, prefix) = &mut self.buffers;
            prefix.clear();
            read_prefix(self.old, &frame.prefix, prefix)?;
            packed.resize(frame.packed, 0);
            self.literals_at = self.delta.read_literals(self.literals_at, packed)?;
            decompress(packed, prefix, &mut self.literals.0, frame.raw)?;
            self.literals.1 = 0;
        }
        let (literals, read) = &mut self.literals;
        let rest = literals.get(*read..).unwrap_or_default();
        let count = shorter(rest, length).min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..count), rest.get(..count)) {
            into.copy_from_slice(rest);
        }
        *read += count;
        Ok(count)
    }
}

impl<O: Read, F: Read> Read for NewTar<'_, O, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill(into).map_err(|error| {
            self.failed = Some(error);
            io::Error::other("the delta cannot be applied")
        })
    }
}

/// Reads the first bytes of a part.
fn read_old(old: &[TarFile], part: Part, into: &mut [u8]) -> Result<()> {
    let tar = old.get(part.layer).ok_or_else(|| invalid_delta("has an unknown layer"))?;
    tar.read_exact_at(into, part.offset)
}

fn add(to: &mut [u8], addends: &[u8]) {
    to.iter_mut().zip(addends).for_each(|(to, addend)| *to = to.wrapping_add(*addend));
}

fn shorter(bytes: &[u8], length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len())
}
