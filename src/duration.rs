//! Durations as users write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Parses `30s`, `10m`, `12h`, `7d`.
///
/// # Errors
/// What is expected.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    duration
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "expected a duration such as 30s, 10m, 12h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_units_and_is_not_negative() {
        for (text, seconds) in [
            ("30s", 30),
            ("10m", 600),
            ("12h", 43_200),
            ("7d", 604_800),
            ("0s", 0),
            ("1h 5m", 3900),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "-1m", "1mo", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
