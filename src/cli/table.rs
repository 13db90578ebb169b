//! Formats tables: columns aligned, control characters escaped, fitted to the width of the terminal.

use std::array;
use std::borrow::Cow;

use super::text_width::{padded, truncate, truncate_start, width};
use super::wrap::wrap;

/// Columns between the longest name and its value.
const FIELD_GAP: usize = 2;

/// Columns of names, unless one is longer.
const MIN_NAME_COLUMNS: usize = 10;

/// Columns between two cells.
const GAP: usize = 3;

/// Columns between two cells of a table that is fitted to the terminal.
const NARROW_GAP: usize = 2;

/// A column of a table, and what it gives up where the table is wider than the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    heading: &'a str,
    cut: Cut,
    /// Cells are cut to this width before a column is left out.
    min: usize,
    /// The column with the highest rank is left out first; that with 0 never.
    rank: u8,
}

/// Where cells are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nowhere, unless nothing else helps.
    Never,
    End,
    Start,
}

impl<'a> Column<'a> {
    /// A column whose cells stay whole.
    pub(super) fn whole(heading: &'a str) -> Self {
        Self { heading, cut: Cut::Never, min: 0, rank: 0 }
    }

    /// A column whose cells may lose their end, down to `min` columns.
    pub(super) fn cut(heading: &'a str, min: usize) -> Self {
        Self { heading, cut: Cut::End, min, rank: 0 }
    }

    /// A column whose cells may lose their beginning, down to `min` columns: names, whose end tells more.
    pub(super) fn cut_start(heading: &'a str, min: usize) -> Self {
        Self { heading, cut: Cut::Start, min, rank: 0 }
    }

    /// Lets the column be left out, before those of lower rank.
    pub(super) fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// The least width of a column whose widest cell has this one.
    fn least(&self, natural: usize) -> usize {
        match self.cut {
            Cut::Never => natural,
            _ => natural.min(self.min.max(width(self.heading))),
        }
    }

    fn fit(&self, cell: &str, columns: usize) -> String {
        match self.cut {
            Cut::Start => truncate_start(cell, columns),
            _ => truncate(cell, columns),
        }
    }
}

/// Formats rows under a heading. Cells are given raw, and escaped here. The last column is not padded. `None` as the width of the terminal leaves everything whole.
pub(super) fn table<const N: usize>(
    columns: [Column<'_>; N],
    rows: &[[String; N]],
    terminal: Option<usize>,
) -> String {
    let escaped: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| crate::escape(cell).into_owned()))
        .collect();
    let mut natural = columns.map(|column| width(column.heading));
    for row in &escaped {
        for (columns, cell) in natural.iter_mut().zip(row) {
            *columns = (*columns).max(width(cell));
        }
    }
    let is_whole = terminal.is_none_or(|terminal| total(&natural.map(Some), GAP) <= terminal);
    let (widths, gap) = match terminal.filter(|_| !is_whole) {
        Some(terminal) => (fitted(&columns, natural, terminal), NARROW_GAP),
        None => (natural.map(Some), GAP),
    };
    let line = |cells: [&str; N]| {
        let shown = columns.iter().zip(cells).zip(widths);
        let shown: Vec<String> = shown
            .filter_map(|((column, cell), columns)| {
                columns.map(|columns| padded(&column.fit(cell, columns), columns))
            })
            .collect();
        let text = shown.join(&" ".repeat(gap));
        let text = text.trim_end();
        format!("{}\n", terminal.map_or_else(|| text.to_owned(), |room| truncate(text, room)))
    };
    let mut text = line(columns.map(|column| column.heading));
    for row in &escaped {
        text.push_str(&line(row.each_ref().map(String::as_str)));
    }
    text
}

/// The width of a line; `None` for a column that is left out.
fn total(widths: &[Option<usize>], gap: usize) -> usize {
    let shown = widths.iter().flatten();
    let gaps = shown.clone().count().saturating_sub(1) * gap;
    shown.fold(gaps, |sum, columns| sum.saturating_add(*columns))
}

/// Leaves columns out until the others fit if they are cut, and cuts them.
fn fitted<const N: usize>(
    columns: &[Column<'_>; N],
    natural: [usize; N],
    terminal: usize,
) -> [Option<usize>; N] {
    let mut least: [usize; N] = array::from_fn(|_| 0);
    for ((least, column), natural) in least.iter_mut().zip(columns).zip(natural) {
        *least = column.least(natural);
    }
    let mut shown = least.map(Some);
    while total(&shown, NARROW_GAP) > terminal {
        let ranks = columns.iter().zip(&mut shown).filter(|(_, shown)| shown.is_some());
        let Some((_, shown)) =
            ranks.filter(|(column, _)| column.rank > 0).max_by_key(|(column, _)| column.rank)
        else {
            break;
        };
        *shown = None;
    }
    let mut widths = natural.map(|natural| Some(natural.min(terminal)));
    for (columns, shown) in widths.iter_mut().zip(shown) {
        *columns = columns.filter(|_| shown.is_some());
    }
    cut(&mut widths, terminal, |at| least.get(at).copied());
    let may_cut = |at: usize| columns.get(at).is_some_and(|column| column.cut != Cut::Never);
    cut(&mut widths, terminal, |at| may_cut(at).then_some(1));
    cut(&mut widths, terminal, |_| Some(1));
    widths
}

/// Cuts the widest columns until the line fits, none below what `least` says; columns for which it says nothing stay.
fn cut(widths: &mut [Option<usize>], terminal: usize, least: impl Fn(usize) -> Option<usize>) {
    while total(widths, NARROW_GAP) > terminal {
        let above = widths.iter_mut().enumerate().filter_map(|(at, columns)| {
            let columns = columns.as_mut()?;
            (*columns > least(at)?).then_some(columns)
        });
        let Some(widest) = above.max() else { return };
        *widest -= 1;
    }
}

/// Formats names with their values, both given raw, which start in the same column, also where a narrow terminal breaks them.
pub(super) fn fields(rows: &[[String; 2]], terminal: Option<usize>) -> String {
    let escaped = rows.iter().map(|row| row.each_ref().map(|cell| crate::escape(cell)));
    let escaped: Vec<_> = escaped.collect();
    let longest =
        escaped.iter().map(|[name, _]| width(name)).max().unwrap_or_default().max(MIN_NAME_COLUMNS);
    let line = |[name, value]: &[Cow<'_, str>; 2]| {
        let column = padded(name, longest + FIELD_GAP);
        match terminal {
            Some(columns) if width(&column) + width(value) > columns => {
                // A digest is selected as one word.
                let fits = width(name) + 1 + width(value) <= columns && !value.contains(' ');
                if fits { format!("{name} {value}\n") } else { wrap(&column, value, columns) }
            }
            _ => format!("{column}{value}\n"),
        }
    };
    escaped.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_columns_and_escapes_cells() {
        let text = table(
            ["A", "B"].map(Column::whole),
            &[["long cell".into(), "x\n\u{1b}[31m".into()], ["層".into(), "y".into()]],
            None,
        );
        assert_eq!(text, "A           B\nlong cell   x\\n\\u{1b}[31m\n層          y\n");
    }

    fn history(terminal: usize) -> String {
        let columns = [
            Column::whole("IMAGE").optional(1),
            Column::cut("CREATED BY", 12),
            Column::whole("SIZE"),
            Column::cut("COMMENT", 8).optional(2),
        ];
        let row = ["0123456789ab", "RUN apt-get update && make", "12.3 MB", "buildkit.dockerfile"];
        table(columns, &[row.map(str::to_owned)], Some(terminal))
    }

    #[test]
    fn table_is_cut_and_loses_columns_until_it_fits() {
        let rows = [
            (73, "0123456789ab   RUN apt-get update && make   12.3 MB   buildkit.dockerfile"),
            (60, "0123456789ab  RUN apt-get updat…  12.3 MB  buildkit.dockerf…"),
            (45, "0123456789ab  RUN apt-get…  12.3 MB  buildki…"),
            (38, "0123456789ab  RUN apt-get up…  12.3 MB"),
            (24, "RUN apt-get up…  12.3 MB"),
            (12, "RU…  12.3 MB"),
            (5, "…  1…"),
            (1, "…"),
            (0, ""),
        ];
        for (terminal, expected) in rows {
            let text = history(terminal);
            assert!(text.lines().all(|line| width(line) <= terminal), "{terminal}: {text}");
            assert_eq!(text.lines().last(), Some(expected), "{terminal}");
        }
    }

    #[test]
    fn name_in_table_keeps_its_end() {
        let columns = [Column::cut_start("IMAGE", 8), Column::whole("SIZE")];
        let text = table(columns, &[["registry.test/app:1".into(), "1 B".into()]], Some(16));
        assert_eq!(text, "IMAGE       SIZE\n…est/app:1  1 B\n");
    }

    #[test]
    fn values_of_fields_start_in_same_column() {
        let rows = [("size", "1"), ("exposedports", "{}"), ("層", "\u{1b}")];
        let rows = rows.map(|(name, value)| [name.to_owned(), value.to_owned()]);
        let text = fields(&rows, None);
        assert_eq!(text, "size          1\nexposedports  {}\n層            \\u{1b}\n");
        let long = [["digest".to_owned(), "sha256:0123456789".to_owned()]];
        assert_eq!(fields(&long, Some(23)), "digest      sha256:0123\n            456789\n");
        assert_eq!(fields(&long, Some(24)), "digest sha256:0123456789\n", "one word stays whole");
        assert_eq!(fields(&long, Some(29)), "digest      sha256:0123456789\n");
    }
}
