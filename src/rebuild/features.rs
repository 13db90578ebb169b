//! Traits of an encoder that show in the first part of a blob, without a model.

use std::collections::VecDeque;

use serde::Serialize;

use super::model::MIN_PIECE;
use super::parse::{Block, BlockKind, Event, Mark, Parser};
use super::plain::{Plain, READ_AHEAD};

/// What the first part of a gzip blob shows of its encoder.
///
/// None of it is proof: headers can be copied, and encoders of different origin share limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Features {
    /// Modification time in the first header, in seconds since 1970. Go's `time.Time{}` becomes `0x886e_0900`.
    pub time: u32,
    /// XFL of the first header: 2 for the best compression, 4 for the fastest, else 0. Go and zlib set it.
    pub extra_flags: u8,
    /// OS of the first header: 255 for Go and Python, 3 for programs on Unix that use zlib's default.
    pub os: u8,
    /// Members that begin in this part. eStargz has one for each chunk of a file.
    pub members: u64,
    /// Uncompressed position of the first flush at or after 64 KiB: parallel encoders flush after each piece.
    pub first_flush: Option<u64>,
    /// Tokens (literals and matches) of a block, if several blocks have the same before a flush or an end.
    pub block_tokens: Option<u64>,
    /// Uncompressed bytes of a block, if several blocks have the same before a flush or an end.
    pub block_bytes: Option<u64>,
    /// Shortest match; Go writes none of 3 bytes.
    pub shortest_match: Option<u32>,
    /// Longest distance; zlib stays at or below 32,506.
    pub longest_distance: Option<u32>,
}

impl Features {
    /// Reads the first part of a blob as far as it is complete; `None` if it does not begin with a gzip header.
    pub fn from_start(start: &[u8]) -> Option<Self> {
        let mut scan = Scan::default();
        scan.run(start);
        (scan.features.members > 0).then_some(scan.features)
    }
}

/// A value that all blocks have in common, if there are several.
#[derive(Default)]
struct Common {
    value: u64,
    count: u64,
    differs: bool,
}

impl Common {
    fn add(&mut self, value: u64) {
        self.differs |= self.count > 0 && self.value != value;
        (self.value, self.count) = (value, self.count + 1);
    }

    fn get(&self) -> Option<u64> {
        (self.count > 1 && !self.differs).then_some(self.value)
    }
}

#[derive(Default)]
struct Scan {
    features: Features,
    tokens: Common,
    bytes: Common,
    /// Tokens and bytes of the last block, which counts once another block with tokens follows.
    previous: Option<(u64, u64)>,
    block_start: u64,
}

impl Scan {
    fn run(&mut self, start: &[u8]) {
        let Ok(mut parser) = Parser::new(start, 0) else { return };
        let (mut plain, mut marks) = (Plain::new(), VecDeque::new());
        loop {
            plain.drop_before(plain.len());
            let until = plain.len() + READ_AHEAD;
            // The part may end anywhere.
            let Ok(event) = parser.step(&mut plain, until, &mut marks) else { break };
            self.add_matches(&mut marks);
            match event {
                Event::Member(header) => {
                    plain.restart();
                    self.begin_member(&header);
                }
                Event::Block(block) => self.end_block(&block, plain.position(plain.len())),
                Event::Filled | Event::MemberEnd(_) => {}
                Event::End(_) => break,
            }
        }
        self.add_matches(&mut marks);
        self.features.block_tokens = self.tokens.get();
        self.features.block_bytes = self.bytes.get();
    }

    fn begin_member(&mut self, header: &[u8]) {
        let features = &mut self.features;
        if let (0, Some([_, _, _, _, a, b, c, d, extra_flags, os])) =
            (features.members, header.first_chunk::<10>())
        {
            features.time = u32::from_le_bytes([*a, *b, *c, *d]);
            (features.extra_flags, features.os) = (*extra_flags, *os);
        }
        features.members += 1;
        (self.previous, self.block_start) = (None, 0);
    }

    fn add_matches(&mut self, marks: &mut VecDeque<Mark>) {
        for found in marks.drain(..).filter(|mark| mark.distance > 0) {
            let (length, distance) = (u32::from(found.length), u32::from(found.distance));
            let (shortest, longest) =
                (&mut self.features.shortest_match, &mut self.features.longest_distance);
            *shortest = Some(shortest.map_or(length, |before| before.min(length)));
            *longest = (*longest).max(Some(distance));
        }
    }

    /// Takes a block that ends at a position of the member.
    fn end_block(&mut self, block: &Block, end: u64) {
        let bytes = end - self.block_start;
        self.block_start = end;
        let previous = self.previous.take();
        if block.kind == BlockKind::Stored {
            let is_flush = block.count == 0 && !block.is_last;
            if is_flush && self.features.members == 1 && end >= MIN_PIECE {
                self.features.first_flush.get_or_insert(end);
            }
            return;
        }
        if let Some((tokens, bytes)) = previous {
            self.tokens.add(tokens);
            self.bytes.add(bytes);
        }
        self.previous = (!block.is_last).then_some((block.count, bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};

    use super::*;

    #[test]
    fn features_of_zlib_are_those_of_its_header_and_blocks() {
        let plain: Vec<u8> =
            (0..400_000_u32).flat_map(|at| (at.wrapping_mul(at) / 7).to_le_bytes()).collect();
        let mut encoder =
            GzBuilder::new().mtime(7).operating_system(3).write(Vec::new(), Compression::new(9));
        encoder.write_all(&plain[..100_000]).unwrap();
        encoder.flush().unwrap();
        encoder.write_all(&plain[100_000..]).unwrap();
        let blob = encoder.finish().unwrap();
        let features = Features::from_start(&blob[..blob.len() / 2]).unwrap();
        assert_eq!((features.time, features.extra_flags, features.os), (7, 2, 3));
        assert_eq!((features.members, features.first_flush), (1, Some(100_000)));
        assert!(features.longest_distance.unwrap() <= 32_768);
        let twice = [&blob[..], &blob].concat();
        assert_eq!(Features::from_start(&twice).unwrap().members, 2);
        assert_eq!(Features::from_start(&plain), None);
    }
}
