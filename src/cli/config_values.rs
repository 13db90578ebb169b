//! The values of the configuration file, whose errors say what is expected in the words of the file.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

use crate::duration::parse_duration;

/// Deserializes a number of connections.
pub(super) fn connections<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let range = 1..=u64::from(u16::MAX);
    let number =
        from.deserialize_any(Whole { range, expected: "a whole number from 1 to 65535" })?;
    Ok(usize::try_from(number).ok())
}

/// Deserializes a number of pulls.
pub(super) fn pulls<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_any(Whole { range: 0..=u64::MAX, expected: "a whole number" }).map(Some)
}

/// Deserializes requests per second.
pub(super) fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    from.deserialize_any(Rate).map(Some)
}

/// Deserializes a duration.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    from.deserialize_any(DurationText).map(Some)
}

struct Whole {
    range: RangeInclusive<u64>,
    expected: &'static str,
}

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let in_range = u64::try_from(number).ok().filter(|number| self.range.contains(number));
        in_range.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        let in_range = Some(number).filter(|number| self.range.contains(number));
        in_range.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<u64, E> {
        Err(E::invalid_value(Unexpected::Other("larger number"), &self))
    }
}

struct Rate;

impl Visitor<'_> for Rate {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0.00001 to 1000000")
    }

    fn visit_f64<E: Error>(self, rate: f64) -> Result<f64, E> {
        // A day between two requests is as good as none.
        let in_range = Some(rate).filter(|rate| (1e-5..=1e6).contains(rate));
        in_range.ok_or_else(|| E::invalid_value(Unexpected::Float(rate), &self))
    }

    fn visit_i64<E: Error>(self, rate: i64) -> Result<f64, E> {
        match i32::try_from(rate) {
            Ok(rate) => self.visit_f64(rate.into()),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(rate), &self)),
        }
    }

    fn visit_u64<E: Error>(self, rate: u64) -> Result<f64, E> {
        Err(E::invalid_value(Unexpected::Unsigned(rate), &self))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<f64, E> {
        Err(E::invalid_value(Unexpected::Other("larger number"), &self))
    }
}

struct DurationText;

impl Visitor<'_> for DurationText {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, such as \"10m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(E::custom)
    }
}
