//! Sizes in texts for people.

/// Returns for example `12.3 MB`; below 1 kB the exact number of bytes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut divisor: u64 = 1;
    let mut shown = (bytes, "B");
    for unit in UNITS {
        divisor = divisor.saturating_mul(1000);
        // Tenths of the unit, rounded.
        let tenths = bytes / (divisor / 10) + u64::from(bytes % (divisor / 10) >= divisor / 20);
        shown = (tenths, unit);
        if tenths < 10_000 {
            break;
        }
    }
    let (tenths, unit) = shown;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_uses_decimal_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (999_960, "1.0 MB"),
            (687_000_000, "687.0 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "18446.7 PB");
    }
}
