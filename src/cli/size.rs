//! Sizes, rates and times for people; decimal units.

/// `12.3 MB`; bytes below 1 kB are exact.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `95 %`; never 100 where something is missing, never 0 where something is there.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "100 %".to_owned(),
        (part, whole) if part == whole => "100 %".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, whole) => format!("{} %", ((part as f64 / whole as f64 * 100.0).round() as u64).clamp(1, 99)),
    }
}

/// Parses a rate: `500k`, `2M`, `1.5MB`, `800000`.
pub(super) fn parse_rate(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches("/s").trim_end_matches(['B', 'b']);
    let (number, factor) = match text.chars().last()? {
        'k' | 'K' => (text.get(..text.len() - 1)?, 1e3),
        'm' | 'M' => (text.get(..text.len() - 1)?, 1e6),
        'g' | 'G' => (text.get(..text.len() - 1)?, 1e9),
        _ => (text, 1.0),
    };
    let value = number.trim().parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 1.0).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (999_960, "1.0 MB"), (687_000_000, "687.0 MB")] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "18446.7 PB");
    }

    #[test]
    fn percentages_do_not_lie_at_the_ends() {
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(999_999, 1_000_000), "99 %");
        assert_eq!(percent(1, 1_000_000), "1 %");
        assert_eq!(percent(58_300, 61_500), "95 %");
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("500k"), Some(500_000));
        assert_eq!(parse_rate("1.5MB/s"), Some(1_500_000));
        assert_eq!(parse_rate("7"), Some(7));
        for bad in ["", "0", "fast", "-1M", "nan", "infM"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
