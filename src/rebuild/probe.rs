//! Finds the model of a blob's encoder by its first part.

use super::encoder::{Encoder, Family};
use super::features::Features;
use super::make::Maker;

/// Predictions of each candidate. The right one is wrong at most a few times, others hundreds of times.
const PREDICTIONS: u64 = 40_000;
/// With at most one wrong prediction in so many, no other candidate is tried.
const RARE: u64 = 10_000;
/// With more than one wrong prediction in so many, the model is that of another encoder.
const FITTING: u64 = 100;
/// With fewer predictions, models of other families may predict the same.
const FEW: u64 = 1000;
/// Modification time of gzip headers that Go programs write without one, before 1970.
const GO_TIME: u32 = 0x886e_0900;
/// Pieces of pgzip as most programs use it, and as umoci does.
const PGZIP_PIECES: [u64; 2] = [1 << 20, 256 << 10];
/// Pieces of pigz, which may end without the empty block of a flush.
const PIGZ_PIECE: u64 = 128 << 10;

/// How well the closest model predicts the first part of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fit {
    /// The encoder whose model is wrong least often, even if that is often.
    pub closest: Encoder,
    /// Predictions that were compared, at most 40,000.
    pub predictions: u64,
    /// How many of them were wrong.
    pub wrong: u64,
    /// Whether models of several families predict this part equally well, because it is short.
    pub is_ambiguous: bool,
}

impl Fit {
    /// Returns the encoder, [`Family::Unknown`] if none of the models fits.
    pub fn encoder(&self) -> Encoder {
        let fits = self.predictions > 0 && self.wrong <= self.predictions / FITTING;
        if fits { self.closest } else { Encoder::UNKNOWN }
    }
}

/// Finds the model that is closest to the encoder of a gzip blob that begins with these bytes.
///
/// 256 KiB suffice for the family; shorter starts do if they are the whole blob. Takes 10 ms if the first guess is right,
/// and half a second if no model fits.
pub fn fit(start: &[u8]) -> Fit {
    let mut best =
        Fit { closest: Encoder::UNKNOWN, predictions: 0, wrong: u64::MAX, is_ambiguous: false };
    for closest in candidates(start) {
        let Ok(maker) = Maker::new(start, closest) else { continue };
        let (predictions, wrong) = maker.try_predictions(PREDICTIONS);
        if wrong < best.wrong {
            best = Fit { closest, predictions, wrong, is_ambiguous: false };
        } else if wrong == best.wrong {
            best.is_ambiguous |= closest.family != best.closest.family;
        }
        if predictions >= FEW && wrong <= predictions / RARE {
            break;
        }
    }
    best
}

/// Returns the encoder whose model is closest to that of a gzip blob that begins with these bytes; see [`fit()`].
pub fn identify(start: &[u8]) -> Encoder {
    fit(start).closest
}

/// All encoders with a model, the likely ones first.
fn candidates(start: &[u8]) -> Vec<Encoder> {
    let features = Features::from_start(start).unwrap_or_default();
    let (a, b, g, z) = (
        Encoder::new(Family::A, 1),
        |level| Encoder::new(Family::B, level),
        |level| Encoder::new(Family::G, level),
        |level| Encoder::new(Family::Z, level),
    );
    let mut likely = Vec::new();
    if features.time == GO_TIME {
        let pieces = features.first_flush.into_iter().chain(PGZIP_PIECES);
        likely.extend(pieces.map(|piece| b(5).in_pieces(piece)));
    }
    if let Some(piece) = features.first_flush {
        if piece.is_multiple_of(PIGZ_PIECE) {
            likely.extend([z(6), z(9), z(1)].map(|encoder| encoder.in_pieces(PIGZ_PIECE)));
        }
        likely.extend([b(5), z(6), b(6), b(1), z(9), z(1)].map(|encoder| encoder.in_pieces(piece)));
    }
    likely.extend(match features.extra_flags {
        4 => [b(1), a, z(1)],
        2 => [z(9), g(9), z(8)],
        _ => [b(6), g(6), z(6)],
    });
    let all = [b(5), b(6), b(1), a].into_iter().chain((1..=9).map(z)).chain((4..=9).map(g));
    let mut found = Vec::new();
    for encoder in likely.into_iter().chain(all) {
        if !found.contains(&encoder) {
            found.push(encoder);
        }
    }
    found
}
