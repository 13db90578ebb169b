//! Which images are young enough.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Creation times before the year 2000 say nothing: builds that are to be reproducible write 0 or a little more.
const FIRST_YEAR: i16 = 2000;

/// Images that were created within a time before now.
#[derive(Clone, Debug)]
pub(crate) struct CreatedWithin(Span);

impl CreatedWithin {
    /// Parses `30d`, `2 weeks` or `within 30 days`.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let span = text.trim().strip_prefix("within ").unwrap_or(text).trim().parse::<Span>().ok();
        let span =
            span.map(Span::abs).filter(|span| before(Timestamp::UNIX_EPOCH, *span).is_some());
        let span = span.filter(|span| !span.is_zero());
        span.map(Self).ok_or_else(|| "expected a duration such as 30d or 12h".to_owned())
    }

    /// Whether an image of this creation time in RFC 3339 is selected. One of unknown age is.
    pub(crate) fn accepts(&self, created: Option<&str>, now: Timestamp) -> bool {
        let (Some(created), Some(limit)) = (known_time(created), before(now, self.0)) else {
            return true;
        };
        created >= limit
    }
}

/// A creation time in RFC 3339; `None` if it says nothing.
pub(crate) fn known_time(created: Option<&str>) -> Option<Timestamp> {
    let time = created?.parse::<Timestamp>().ok()?;
    (time.to_zoned(TimeZone::UTC).year() >= FIRST_YEAR).then_some(time)
}

fn before(now: Timestamp, span: Span) -> Option<Timestamp> {
    now.to_zoned(TimeZone::UTC).checked_sub(span).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_of_unknown_age_is_selected() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (within, created, expected) in [
            ("30d", Some("2026-11-01T00:00:00Z"), true),
            ("30d", Some("2026-10-01T00:00:00Z"), false),
            ("within 30 days", Some("2026-10-01T00:00:00.123456789+02:00"), false),
            ("within 2 weeks", Some("2026-11-20T00:00:00Z"), true),
            ("1y", Some("2000-01-01T00:00:00Z"), false),
            ("1y", Some("1999-12-31T23:59:59Z"), true),
            ("12h", Some("1970-01-01T00:00:00Z"), true),
            ("12h", Some("0001-01-01T00:00:00Z"), true),
            ("12h", Some("2027-01-01T00:00:00Z"), true),
            ("12h", Some("yesterday"), true),
            ("12h", Some(""), true),
            ("12h", None, true),
        ] {
            let rule = CreatedWithin::parse(within).unwrap();
            assert_eq!(rule.accepts(created, now), expected, "{within} {created:?}");
        }
    }

    #[test]
    fn malformed_age_is_rejected() {
        for text in ["", "within", "30", "within 30", "0d", "soon", "99999y"] {
            assert!(CreatedWithin::parse(text).is_err(), "{text}");
        }
    }
}
