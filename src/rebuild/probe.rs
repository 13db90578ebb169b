//! Finds the model of a blob's encoder by its first part.

use std::collections::VecDeque;

use super::encoder::{Encoder, Family};
use super::make::Maker;
use super::model::MIN_PIECE;
use super::parse::{BlockKind, Event, Parser};
use super::plain::{Plain, READ_AHEAD};

/// How many predictions each candidate makes. The right one is wrong at most a few times, others hundreds of times.
const PREDICTIONS: u64 = 40_000;
/// With at most one wrong prediction in so many, no other candidate is tried.
const RARE: u64 = 10_000;
/// Modification time of gzip headers that Go programs write without one, before 1970.
const GO_TIME: [u8; 4] = [0x00, 0x09, 0x6e, 0x88];
/// Pieces of pgzip as most programs use it, and as umoci does.
const PGZIP_PIECES: [u64; 2] = [1 << 20, 256 << 10];
/// Pieces of pigz, which may end without the empty block of a flush.
const PIGZ_PIECE: u64 = 128 << 10;

/// Names the encoder of a gzip blob that begins with these bytes; one without a model if none fits better.
///
/// 256 KiB are enough for most blobs; [`record`](super::record()) looks at more than 1 MiB. Takes 10 ms if the first guess is
/// right, and a second if none is.
pub fn identify(start: &[u8]) -> Encoder {
    let mut best = (u64::MAX, Encoder::UNKNOWN);
    for encoder in candidates(start) {
        let Ok(maker) = Maker::new(start, encoder) else { continue };
        let (predictions, wrong) = maker.try_predictions(PREDICTIONS);
        if wrong < best.0 {
            best = (wrong, encoder);
        }
        if wrong <= predictions / RARE {
            break;
        }
    }
    best.1
}

/// All encoders that there is a model of, the likely ones first.
fn candidates(start: &[u8]) -> Vec<Encoder> {
    let (a, b, g, z) = (
        Encoder::new(Family::A, 1),
        |level| Encoder::new(Family::B, level),
        |level| Encoder::new(Family::G, level),
        |level| Encoder::new(Family::Z, level),
    );
    let mut found = Vec::new();
    if let Some(piece) = first_flush(start) {
        if piece.is_multiple_of(PIGZ_PIECE) {
            found.extend([z(6), z(9)].map(|encoder| encoder.in_pieces(PIGZ_PIECE)));
        }
        found.extend([b(5), z(6), b(6), b(1), z(9), z(1)].map(|encoder| encoder.in_pieces(piece)));
    }
    if start.get(4..8) == Some(&GO_TIME) {
        found.extend(PGZIP_PIECES.map(|piece| b(5).in_pieces(piece)));
    }
    found.extend(match start.get(8) {
        Some(4) => [b(1), a, z(1)],
        Some(2) => [z(9), g(9), z(8)],
        _ => [b(6), g(6), z(6)],
    });
    let all = [b(5), b(6), b(1), a].into_iter().chain((1..=9).map(z)).chain((4..=9).map(g));
    for encoder in all {
        if !found.contains(&encoder) {
            found.push(encoder);
        }
    }
    found
}

/// Where the encoder flushed first, which a parallel encoder does at the end of each piece.
fn first_flush(start: &[u8]) -> Option<u64> {
    let mut parser = Parser::new(start).ok()?;
    let (mut plain, mut marks) = (Plain::new(), VecDeque::new());
    loop {
        plain.drop_before(plain.len());
        let until = plain.len() + READ_AHEAD;
        let event = parser.step(&mut plain, until, &mut marks).ok()?;
        marks.clear();
        match event {
            Event::Block(block) if block.kind == BlockKind::Stored && block.count == 0 => {
                let position = plain.position(plain.len());
                return (!block.is_last && position >= MIN_PIECE).then_some(position);
            }
            Event::Block(_) | Event::Member(_) | Event::Filled => {}
            Event::MemberEnd(_) | Event::End(_) => return None,
        }
    }
}
