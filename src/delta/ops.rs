//! The operations that make the new tar: copies of old bytes, zeros, literals, and differences from old bytes.

use std::collections::HashMap;
use std::io::Read;

use super::fault::invalid_delta;
use super::limits;
use super::numbers::{put, put_signed, take, take_signed, take_unless_end};
use crate::error::Result;

/// Gives the next bytes of the new tar. No length is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// As many bytes of the stream of literals.
    Literal(u64),
    /// A range of an old tar.
    Copy(Part),
    Zero(u64),
    /// As many bytes of the stream of literals as the range of an old tar has, each added to the old one, modulo 256.
    Add(Part),
}

impl Op {
    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Literal(length) | Self::Zero(length) => length == 0,
            Self::Copy(part) | Self::Add(part) => part.length == 0,
        }
    }
}

/// A range of an old tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Position of the layer in the header of the delta.
    pub(super) layer: usize,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Part {
    /// The rest after the first `count` bytes, which are at most its length.
    pub(super) fn after(self, count: usize) -> Self {
        let count = count as u64;
        Self { offset: self.offset + count, length: self.length - count, ..self }
    }

    /// The end; `None` if it is outside of the layer.
    fn checked_end(&self, sizes: &[u64]) -> Option<u64> {
        let end = self.offset.checked_add(self.length)?;
        (end <= *sizes.get(self.layer)?).then_some(end)
    }
}

/// Writes parts as their distance from the end of the one before in the same layer.
#[derive(Debug, Default)]
pub(super) struct PartCoder {
    /// Per layer the end of its last part.
    ends: HashMap<usize, u64>,
}

impl PartCoder {
    /// Appends the layer and the offset; the length is written elsewhere.
    pub(super) fn put(&mut self, into: &mut Vec<u8>, part: Part) {
        let end = self.ends.entry(part.layer).or_default();
        put(into, part.layer as u64);
        put_signed(into, part.offset.wrapping_sub(*end).cast_signed());
        *end = part.offset + part.length;
    }

    /// Reads a part of this length, inside its layer.
    pub(super) fn take(
        &mut self,
        from: &mut impl Read,
        length: u64,
        sizes: &[u64],
    ) -> Result<Part> {
        let layer = usize::try_from(take(from)?).unwrap_or(usize::MAX);
        let distance = take_signed(from)?;
        let outside = || invalid_delta("refers to bytes outside of an old layer");
        if layer >= sizes.len() {
            return Err(outside());
        }
        let end = self.ends.entry(layer).or_default();
        let offset = end.checked_add_signed(distance).ok_or_else(outside)?;
        let part = Part { layer, offset, length };
        *end = part.checked_end(sizes).ok_or_else(outside)?;
        Ok(part)
    }
}

/// Collects operations; those that touch are joined.
#[derive(Default)]
pub(super) struct OpsWriter {
    bytes: Vec<u8>,
    coder: PartCoder,
    last: Option<Op>,
    count: u64,
}

impl OpsWriter {
    pub(super) fn push(&mut self, op: Op) {
        match (&mut self.last, op) {
            (_, op) if op.is_empty() => {}
            (Some(Op::Literal(length)), Op::Literal(more))
            | (Some(Op::Zero(length)), Op::Zero(more)) => *length += more,
            (Some(Op::Copy(part)), Op::Copy(next)) | (Some(Op::Add(part)), Op::Add(next))
                if part.layer == next.layer && part.offset + part.length == next.offset =>
            {
                part.length += next.length;
            }
            _ => {
                self.write_last();
                self.last = Some(op);
            }
        }
    }

    /// Whether so many additions, each after literals, leave most of the table to operations that are needed.
    pub(super) fn has_room(&self, additions: usize) -> bool {
        // Lengths below 2^24 and near places take at most nine bytes.
        self.count + 2 * additions as u64 <= limits::MAX_OPS / 2
            && (self.bytes.len() + 16 * additions) as u64 <= limits::MAX_TABLE_BYTES / 4
    }

    fn write_last(&mut self) {
        let Some(last) = self.last.take() else { return };
        self.count += 1;
        let (length, kind) = match last {
            Op::Literal(length) => (length, 0),
            Op::Copy(part) => (part.length, 1),
            Op::Zero(length) => (length, 2),
            Op::Add(part) => (part.length, 3),
        };
        put(&mut self.bytes, length << 2 | kind);
        if let Op::Copy(part) | Op::Add(part) = last {
            self.coder.put(&mut self.bytes, part);
        }
    }

    /// The operations as bytes; `None` if they exceed the limits.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        self.write_last();
        (self.count <= limits::MAX_OPS && self.bytes.len() as u64 <= limits::MAX_TABLE_BYTES)
            .then_some(self.bytes)
    }
}

/// Reads operations from an untrusted source.
pub(super) struct OpsReader<R> {
    bytes: R,
    sizes: Vec<u64>,
    coder: PartCoder,
    count: u64,
}

impl<R: Read> OpsReader<R> {
    /// `sizes` are those of the old tars.
    pub(super) fn new(bytes: R, sizes: Vec<u64>) -> Self {
        Self { bytes, sizes, coder: PartCoder::default(), count: 0 }
    }

    pub(super) fn next_op(&mut self) -> Result<Option<Op>> {
        let Some(number) = take_unless_end(&mut self.bytes)? else { return Ok(None) };
        self.count += 1;
        if self.count > limits::MAX_OPS {
            return Err(invalid_delta("has too many operations"));
        }
        let length = number >> 2;
        if length == 0 {
            return Err(invalid_delta("has an empty operation"));
        }
        Ok(Some(match number & 3 {
            0 => Op::Literal(length),
            1 => Op::Copy(self.coder.take(&mut self.bytes, length, &self.sizes)?),
            2 => Op::Zero(length),
            _ => Op::Add(self.coder.take(&mut self.bytes, length, &self.sizes)?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(layer: usize, offset: u64, length: u64) -> Op {
        Op::Copy(Part { layer, offset, length })
    }

    fn add(layer: usize, offset: u64, length: u64) -> Op {
        Op::Add(Part { layer, offset, length })
    }

    fn read(bytes: &[u8], sizes: &[u64]) -> Result<Vec<Op>> {
        let mut reader = OpsReader::new(bytes, sizes.to_vec());
        std::iter::from_fn(|| reader.next_op().transpose()).collect()
    }

    #[test]
    fn adjacent_ops_are_joined() {
        let mut writer = OpsWriter::default();
        let ops = [
            Op::Literal(5),
            Op::Literal(3),
            copy(1, 10, 90),
            copy(1, 100, 20),
            copy(0, 0, 7),
            copy(0, 6, 2),
            Op::Zero(512),
            Op::Zero(0),
            Op::Zero(512),
            add(1, 0, 5),
            add(1, 5, 6),
            copy(1, 11, 3),
        ];
        for op in ops {
            writer.push(op);
        }
        let bytes = writer.finish().unwrap();
        let expected = [
            Op::Literal(8),
            copy(1, 10, 110),
            copy(0, 0, 7),
            copy(0, 6, 2),
            Op::Zero(1024),
            add(1, 0, 11),
            copy(1, 11, 3),
        ];
        assert_eq!(read(&bytes, &[8, 120]).unwrap(), expected);
    }

    #[test]
    fn ops_outside_of_their_layer_are_refused() {
        let cases = [(copy(0, 5, 4), &[8][..]), (copy(1, 0, 1), &[8]), (copy(0, 9, 1), &[8])];
        for (op, sizes) in cases.into_iter().chain([(add(0, 5, 4), &[8][..])]) {
            let mut writer = OpsWriter::default();
            writer.push(op);
            let error = read(&writer.finish().unwrap(), sizes).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::InvalidDocument);
        }
        assert!(read(&[3], &[]).is_err() && read(&[7], &[]).is_err() && read(&[0], &[]).is_err());
    }
}
