//! Formats tables: columns aligned, control characters escaped.

/// Formats rows under a heading. The last column is not padded.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let escaped: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| crate::escape(cell).into_owned()))
        .collect();
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in &escaped {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&heading, &widths);
    for row in &escaped {
        text.push_str(&line(&row.each_ref().map(String::as_str), &widths));
    }
    text
}

fn line(cells: &[&str], widths: &[usize]) -> String {
    let padded =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
    let joined = padded.collect::<Vec<_>>().join("   ");
    format!("{}\n", joined.trim_end())
}

/// Cuts text to `width` characters, with an ellipsis.
pub(super) fn truncate(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Cuts a name to `width` characters, with an ellipsis before its end, which tells more than its beginning.
pub(super) fn truncate_start(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept: String = name.chars().skip(length - width.saturating_sub(1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_columns_and_escapes_cells() {
        let text = table(
            ["A", "B"],
            &[["long cell".into(), "x\n\u{1b}[31m".into()], ["s".into(), "y".into()]],
        );
        assert_eq!(text, "A           B\nlong cell   x\\n\\u{1b}[31m\ns           y\n");
        assert_eq!(truncate("abcdef", 4), "abc…");
        assert_eq!(
            (truncate_start("abcdef", 4), truncate_start("abc", 3)),
            ("…def".into(), "abc".into())
        );
        assert_eq!(truncate_start("/usr/share/doc", 8), "…are/doc");
        assert_eq!(truncate_start("/a", 8), "/a");
    }
}
