//! Draws bars of characters.

/// Returns a bar whose parts have these amounts, each in its character. An amount of `whole` is `width` characters
/// long; every amount but 0 has at least one character, as long as they fit.
pub(super) fn bar(parts: &[(u64, char)], whole: u64, width: usize) -> String {
    let cells = |amount: u64| {
        let (amount, whole) = (u128::from(amount), u128::from(whole.max(1)));
        let cells = (amount * width as u128 * 2 + whole) / (whole * 2);
        usize::try_from(cells).unwrap_or(width).max(usize::from(amount > 0))
    };
    let mut left = width;
    let mut text = String::new();
    for &(amount, character) in parts {
        let drawn = cells(amount).min(left);
        left -= drawn;
        text.extend(std::iter::repeat_n(character, drawn));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_proportional_and_never_too_long() {
        assert_eq!(bar(&[(50, '#'), (25, '-')], 100, 8), "####--");
        assert_eq!(bar(&[(1, '#'), (999, '-')], 1000, 4), "#---");
        assert_eq!(bar(&[(0, '#'), (1000, '-')], 1000, 4), "----");
        assert_eq!(bar(&[(u64::MAX, '#')], u64::MAX, 4), "####");
        assert_eq!(bar(&[(7, '#')], 0, 4), "####");
        assert_eq!(bar(&[(0, '#')], 0, 4), "");
        assert_eq!(bar(&[(5, '#')], 10, 0), "");
    }
}
