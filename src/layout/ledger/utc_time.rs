//! Points in time as the ledger has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A second in UTC, as `2026-11-28T02:12:20Z`: RFC 3339 in one fixed form, which sorts as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UtcTime(String);

/// The text is not a second in UTC of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidUtcTime;

impl fmt::Display for InvalidUtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a time such as 2026-11-28T02:12:20Z")
    }
}

impl std::error::Error for InvalidUtcTime {}

impl UtcTime {
    /// `1970-01-01T00:00:00Z`, before every record.
    pub fn epoch() -> Self {
        Self("1970-01-01T00:00:00Z".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The date in UTC: `2026-11-28`.
    pub fn day(&self) -> &str {
        self.0.get(..10).unwrap_or_default()
    }
}

impl TryFrom<String> for UtcTime {
    type Error = InvalidUtcTime;

    fn try_from(text: String) -> Result<Self, InvalidUtcTime> {
        if is_valid(&text) { Ok(Self(text)) } else { Err(InvalidUtcTime) }
    }
}

impl FromStr for UtcTime {
    type Err = InvalidUtcTime;

    fn from_str(text: &str) -> Result<Self, InvalidUtcTime> {
        text.to_owned().try_into()
    }
}

impl From<UtcTime> for String {
    fn from(time: UtcTime) -> Self {
        time.0
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_valid(text: &str) -> bool {
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        fixed => byte == *fixed,
    };
    if text.len() != shape.len() || !text.bytes().zip(shape).all(fits) {
        return false;
    }
    let number = |at: usize| text.get(at..at + 2).and_then(|digits| digits.parse::<u8>().ok());
    let limits = [(5, 1..=12), (8, 1..=31), (11, 0..=23), (14, 0..=59), (17, 0..=60)];
    limits.iter().all(|(at, range)| number(*at).is_some_and(|number| range.contains(&number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_time_accepts_only_one_form() {
        let time: UtcTime = "2026-11-28T02:12:20Z".parse().unwrap();
        assert_eq!((time.day(), time.as_str()), ("2026-11-28", "2026-11-28T02:12:20Z"));
        assert!(time < "2026-11-28T02:12:21Z".parse().unwrap());
        assert_eq!(UtcTime::epoch().as_str().parse(), Ok(UtcTime::epoch()));
        for bad in [
            "",
            "2026-11-28",
            "2026-11-28T02:12:20+00:00",
            "2026-11-28t02:12:20z",
            "2026-13-28T02:12:20Z",
            "2026-11-32T02:12:20Z",
            "2026-11-28T24:12:20Z",
            "2026-11-28T02:1é:20Z",
            "+026-11-28T02:12:20Z",
        ] {
            assert_eq!(bad.parse::<UtcTime>(), Err(InvalidUtcTime), "{bad}");
        }
    }
}
