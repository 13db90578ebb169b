//! Tables of a page, which can be scrolled sideways, and the ones behind pictures.

use maud::{Markup, html};

use super::shown;

/// A column's heading, and whether it has numbers.
#[derive(Clone, Copy)]
pub(in crate::cli) enum PageColumn {
    Text(&'static str),
    Number(&'static str),
}

impl PageColumn {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn class(self) -> Option<&'static str> {
        matches!(self, Self::Number(_)).then_some("number")
    }
}

/// A table of foreign texts. The first column names the row.
pub(in crate::cli) fn table<const N: usize>(
    caption: &str,
    columns: [PageColumn; N],
    rows: &[[String; N]],
) -> Markup {
    let content = html! {
        caption { (caption) }
        thead {
            tr {
                @for column in columns {
                    th scope="col" class=[column.class()] { (column.name()) }
                }
            }
        }
        tbody {
            @for row in rows {
                tr {
                    @for (at, (cell, column)) in row.iter().zip(columns).enumerate() {
                        @if at == 0 {
                            th scope="row" class=[column.class()] { (shown(cell)) }
                        } @else {
                            td class=[column.class()] { (shown(cell)) }
                        }
                    }
                }
            }
        }
    };
    scrolled(caption, &content)
}

/// A table with this content, which the keyboard can scroll too.
pub(super) fn scrolled(label: &str, content: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" { table { (content) } }
    }
}

/// What a picture shows, for those who want the numbers or do not see it.
pub(in crate::cli) fn behind(summary: &str, table: &Markup) -> Markup {
    html! { details.behind { summary { (summary) } (table) } }
}
