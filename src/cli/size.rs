//! Formats sizes, percentages and counts, in decimal units.

pub(super) use crate::size::size;

/// Returns a size that may be unknown.
pub(super) fn size_if_known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), size)
}

/// Returns for example `95 %`, and `<1 %` for less than half of one. Only all is 100 %, only nothing is 0 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == whole {
        return "100 %".to_owned();
    }
    let (share, all) = (u128::from(part), u128::from(whole));
    match (share * 200 + all) / (all * 2) {
        0 if part > 0 => "<1 %".to_owned(),
        rounded => format!("{} %", rounded.min(99)),
    }
}

/// Returns the efficiency of an image in percent, rounded down: only a perfect image has 100 %.
pub(super) fn efficiency(score: f64) -> String {
    format!("{:.2} %", (score * 10_000.0).floor() / 100.0)
}

/// Parses a rate in bytes per second: `500k`, `2M`, `1.5MB/s`, `800000`.
pub(super) fn parse_rate(text: &str) -> Option<u64> {
    parse_size(text.trim().trim_end_matches("/s")).filter(|rate| *rate > 0)
}

/// Parses a size in decimal units: `500k`, `20MB`, `1.5 GB`, `800000`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let (number, factor) = match text.chars().last()? {
        'k' | 'K' => (text.get(..text.len() - 1)?, 1000),
        'm' | 'M' => (text.get(..text.len() - 1)?, 1_000_000),
        'g' | 'G' => (text.get(..text.len() - 1)?, 1_000_000_000),
        't' | 'T' => (text.get(..text.len() - 1)?, 1_000_000_000_000),
        _ => (text, 1),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>());
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let thousandths = digits(&format!("{:0<3}", fraction.get(..3).unwrap_or(fraction)))?.ok()?;
    digits(whole)?.ok()?.checked_mul(factor)?.checked_add(thousandths * factor / 1000)
}

/// Returns for example `1 layer`, `2 layers`.
pub(super) fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_rounds_to_0_or_100() {
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(999_999, 1_000_000), "99 %");
        assert_eq!(percent(1, 1_000_000), "<1 %");
        assert_eq!(percent(6, 1000), "1 %");
        assert_eq!(percent(0, 1000), "0 %");
        assert_eq!(percent(58_300, 61_500), "95 %");
    }

    #[test]
    fn efficiency_is_100_percent_for_perfect_image_only() {
        assert_eq!((efficiency(1.0), efficiency(0.999_999)), ("100.00 %".into(), "99.99 %".into()));
    }

    #[test]
    fn sizes_and_rates_have_units_and_nothing_else() {
        assert_eq!(parse_rate("500k"), Some(500_000));
        assert_eq!(parse_rate("1.5MB/s"), Some(1_500_000));
        assert_eq!(parse_rate("7"), Some(7));
        assert_eq!(parse_size("1TB"), Some(1_000_000_000_000));
        for bad in ["", "0", "fast", "-1M", "nan", "infM"] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }
}
