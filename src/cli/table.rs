//! Formats tables: columns aligned, control characters escaped.

use super::text_width::width;

/// Columns between the longest name and its value.
const FIELD_GAP: usize = 2;

/// Columns of names, unless one is longer.
const MIN_NAME_COLUMNS: usize = 10;

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

/// Formats names with their values, which start in the same column.
pub(super) fn fields(rows: &[[String; 2]]) -> String {
    let escaped = rows.iter().map(|row| row.each_ref().map(|cell| crate::escape(cell)));
    let escaped: Vec<_> = escaped.collect();
    let longest =
        escaped.iter().map(|[name, _]| width(name)).max().unwrap_or_default().max(MIN_NAME_COLUMNS);
    let lines = escaped.iter().map(|[name, value]| {
        let space = " ".repeat((longest - width(name)) + FIELD_GAP);
        format!("{name}{space}{value}\n")
    });
    lines.collect()
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
    }

    #[test]
    fn values_of_fields_start_in_same_column() {
        let rows = [("size", "1"), ("exposedports", "{}"), ("層", "\u{1b}")];
        let rows = rows.map(|(name, value)| [name.to_owned(), value.to_owned()]);
        let text = fields(&rows);
        assert_eq!(text, "size          1\nexposedports  {}\n層            \\u{1b}\n");
    }
}
