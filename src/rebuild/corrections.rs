//! Where the encoder chose another match than the model predicts.

use super::codes::{MAX_DISTANCE, MAX_LENGTH, MIN_LENGTH};
use super::fault::invalid_record;
use super::model::Match;
use super::record::Streams;
use super::streams::{StreamReader, StreamWriter};
use crate::error::Result;

/// Writes corrections; each is for one prediction.
#[derive(Default)]
pub(super) struct CorrectionWriter {
    /// Predictions since the last correction.
    gap: u64,
    pub(super) count: u64,
    pub(super) predictions: u64,
}

impl CorrectionWriter {
    /// Compares a prediction for a span that ends at `limit` with what the encoder wrote.
    pub(super) fn compare(
        &mut self,
        predicted: Option<Match>,
        actual: Option<Match>,
        limit: usize,
        streams: &mut Streams<StreamWriter>,
    ) -> Result<()> {
        self.predictions += 1;
        if predicted == actual {
            self.gap += 1;
            return Ok(());
        }
        streams.gaps.unsigned(std::mem::take(&mut self.gap))?;
        self.count += 1;
        let length = |found: Option<Match>| found.map_or(0, |found| i64::from(found.length));
        streams.lengths.signed(length(actual) - length(predicted))?;
        let Some(actual) = actual else { return Ok(()) };
        let start = predicted.map_or(limit, |predicted| predicted.start);
        streams.literals.signed(signed(actual.start) - signed(start))?;
        let is_same = predicted.is_some_and(|predicted| predicted.distance == actual.distance);
        streams.distances.unsigned(if is_same { 0 } else { actual.distance.into() })
    }
}

/// Applies corrections to predictions.
#[derive(Default)]
pub(super) struct CorrectionReader {
    /// Predictions before the next correction, if that is read.
    gap: Option<u64>,
}

impl CorrectionReader {
    /// Returns what the encoder wrote, given the prediction for a span.
    pub(super) fn correct(
        &mut self,
        predicted: Option<Match>,
        (from, limit): (usize, usize),
        streams: &mut Streams<StreamReader<'_>>,
    ) -> Result<Option<Match>> {
        let gap = match self.gap {
            Some(gap) => gap,
            None if streams.gaps.is_at_end() => return Ok(predicted),
            None => streams.gaps.unsigned()?,
        };
        self.gap = gap.checked_sub(1);
        if gap > 0 {
            return Ok(predicted);
        }
        let length = predicted.map_or(0, |found| i64::from(found.length));
        let length = length.saturating_add(streams.lengths.signed()?);
        if length == 0 {
            return Ok(None);
        }
        let start = predicted.map_or(limit, |predicted| predicted.start);
        let start = usize::try_from(streams.literals.signed()?.saturating_add(signed(start)));
        let start = start.ok().filter(|start| (from..limit).contains(start));
        let distance = match (streams.distances.unsigned()?, predicted) {
            (0, Some(predicted)) => Some(predicted.distance),
            (distance, _) => u32::try_from(distance).ok(),
        };
        let distance = distance.filter(|distance| (1..=MAX_DISTANCE).contains(distance));
        let length = u32::try_from(length).ok();
        let length = length.filter(|length| (MIN_LENGTH..=MAX_LENGTH).contains(length));
        match (start, length, distance) {
            (Some(start), Some(length), Some(distance)) => {
                Ok(Some(Match { start, length, distance }))
            }
            _ => Err(invalid_record("a correction is out of range")),
        }
    }
}

/// Reads which chunks have no match though the model predicts some.
#[derive(Default)]
pub(super) struct BareReader {
    /// Chunks before the next bare one, if that is read.
    left: Option<u64>,
}

impl BareReader {
    /// Whether the chunk that begins is bare.
    pub(super) fn is_next(&mut self, stream: &mut StreamReader<'_>) -> Result<bool> {
        let left = match self.left {
            Some(left) => left,
            None if stream.is_at_end() => return Ok(false),
            None => stream.unsigned()?,
        };
        self.left = left.checked_sub(1);
        Ok(left == 0)
    }
}

/// An index in a buffer, to be added to and subtracted from.
fn signed(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
