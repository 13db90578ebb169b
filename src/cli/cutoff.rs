//! Parses points in time: how long ago, a date, or a time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::error::{Error, ErrorKind, Result};
use crate::layer;
use crate::layout::ledger::UtcTime;

/// Returns the current second.
pub(super) fn utc_now() -> UtcTime {
    utc_second(Timestamp::now())
}

/// Returns the second of a time; the epoch for years that have no four digits.
pub(super) fn utc_second(time: Timestamp) -> UtcTime {
    let text = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    text.parse().unwrap_or_else(|_| UtcTime::epoch())
}

/// Parses the value of an option: a duration before now (`7d`, `12h`, `2 weeks`, `1mo`), a date in UTC (`2026-11-01`), or
/// a time (`2026-11-01T12:00:00Z`).
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for any other text.
pub(super) fn parse_cutoff(option: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    let before = |span: Span| {
        let now = now.to_zoned(TimeZone::UTC);
        now.checked_sub(span.abs()).ok().map(|time| time.timestamp())
    };
    let time = date_or_time(text).or_else(|| text.parse::<Span>().ok().and_then(before));
    time.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("{option} `{text}`"))
            .with_reason("expected a duration such as 7d or 12h, or a date such as 2026-11-01")
    })
}

/// Parses a date, or a time, which is UTC unless it says otherwise.
fn date_or_time(text: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = text.parse::<Timestamp>().ok();
    time.or_else(|| text.parse::<DateTime>().ok().and_then(utc))
}

/// Returns `SOURCE_DATE_EPOCH`, which makes results reproducible: seconds since 1970.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for anything else.
pub(super) fn source_date_epoch() -> Result<Option<u64>> {
    let Some(text) = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Error::new(ErrorKind::InvalidInput, format!("SOURCE_DATE_EPOCH `{text}`"))
            .with_reason("expected seconds since the Unix epoch")
    })
}

/// Returns `SOURCE_DATE_EPOCH` as the latest time of an entry of a layer.
///
/// # Errors
/// As [`source_date_epoch`].
pub(super) fn epoch_timestamp() -> Result<Option<layer::Timestamp>> {
    let seconds = source_date_epoch()?;
    Ok(seconds.map(|seconds| layer::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanoseconds: 0,
    }))
}

/// Returns this second in RFC 3339.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for one after the year 9999.
pub(super) fn rfc3339(seconds: u64) -> Result<String> {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("time `{seconds}`"))
            .with_reason("is after the year 9999")
    })?;
    Ok(utc_second(time).as_str().to_owned())
}

/// Parses a time that an image is given: seconds since 1970, a date, or a time. None depends on the clock, so that the same
/// command gives the same image.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for any other text.
pub(super) fn parse_time(option: &str, text: &str) -> Result<String> {
    if let Ok(seconds) = text.parse() {
        return rfc3339(seconds);
    }
    let time = date_or_time(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("{option} `{text}`")).with_reason(
            "expected a date such as 2026-11-01, a time such as 2026-11-01T12:00:00Z, or seconds since 1970",
        )
    })?;
    Ok(utc_second(time).as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_image_is_date_time_or_seconds() {
        for (text, expected) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("1000000000", "2001-09-09T01:46:40Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:30:00+02:00", "2026-11-01T10:30:00Z"),
        ] {
            assert_eq!(parse_time("--time", text).unwrap(), expected, "{text}");
        }
        for bad in ["", "7d", "12h", "-1", "yesterday", "99999999999999"] {
            let error = parse_time("--time", bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn cutoff_is_duration_date_or_time() {
        let now: Timestamp = "2026-11-28T02:12:20.5Z".parse().unwrap();
        for (text, expected) in [
            ("7d", "2026-11-21T02:12:20Z"),
            ("12h", "2026-11-27T14:12:20Z"),
            ("90m", "2026-11-28T00:42:20Z"),
            ("2 weeks", "2026-11-14T02:12:20Z"),
            ("1mo", "2026-10-28T02:12:20Z"),
            ("1y", "2025-11-28T02:12:20Z"),
            ("1d 12h", "2026-11-26T14:12:20Z"),
            ("7 days ago", "2026-11-21T02:12:20Z"),
            ("0s", "2026-11-28T02:12:20Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:30", "2026-11-01T12:30:00Z"),
            ("2026-11-01T12:30:00+02:00", "2026-11-01T10:30:00Z"),
        ] {
            let time = parse_cutoff("--since", text, now).unwrap();
            assert_eq!(utc_second(time).as_str(), expected, "{text}");
        }
        for bad in ["", "7", "d", "yesterday", "2026-13-01", "99999y", "-"] {
            let error = parse_cutoff("--since", bad, now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }
}
