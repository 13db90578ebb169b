//! Formats when something happened: how long ago, in docker's words, or the day.

use jiff::Timestamp;

/// Returns for example `3 weeks ago`; the date itself if it precedes 1970, and the text unchanged if it is not a date.
pub(super) fn age(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(then) if then < Timestamp::UNIX_EPOCH => then.strftime("%Y-%m-%d").to_string(),
        Ok(then) => ago(Timestamp::now().as_second() - then.as_second()),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Returns the day of a time: the first ten characters, `2026-11-29`.
pub(super) fn day(rfc3339: &str) -> Option<&str> {
    rfc3339.get(..10)
}

fn ago(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let (count, unit) = match seconds {
        ..0 => return "in the future".to_owned(),
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..DAY => (seconds / 3600, "hour"),
        DAY..1_209_600 => (seconds / DAY, "day"),
        1_209_600..5_184_000 => (seconds / (7 * DAY), "week"),
        5_184_000..63_072_000 => (seconds / (30 * DAY), "month"),
        _ => (seconds / (365 * DAY), "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_uses_largest_unit() {
        for (seconds, text) in [
            (1, "1 second ago"),
            (119, "1 minute ago"),
            (7200, "2 hours ago"),
            (13 * 86_400, "13 days ago"),
            (21 * 86_400, "3 weeks ago"),
            (200 * 86_400, "6 months ago"),
            (56 * 365 * 86_400, "56 years ago"),
            (-5, "in the future"),
        ] {
            assert_eq!(ago(seconds), text);
        }
        assert_eq!(age("not a date"), "not a date");
        assert_eq!(age("1601-01-01T00:00:00Z"), "1601-01-01");
        assert!(age("1970-01-01T00:00:00Z").ends_with("years ago"));
        assert_eq!(age("9999-01-01T00:00:00Z"), "in the future");
    }
}
