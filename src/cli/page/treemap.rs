//! The picture of files by size that the page's script draws, with its legend, its table and what screen readers say.

use maud::{Markup, html};

use super::bars::legend;
use super::table::scrolled;

/// What the bytes of a file can be: the key of the script, which is also a class of the style, and what it means here.
pub(in crate::cli) type Kind = (&'static str, &'static str);

/// A place for the picture of the data's image with number `at`, which begins with this layer.
pub(in crate::cli) fn treemap(at: usize, layer: usize, kinds: &[Kind]) -> Markup {
    let keys: Vec<&str> = kinds.iter().map(|(key, _)| *key).collect();
    html! {
        div data-image=(at) data-layer=(layer) data-kinds=(keys.join(" ")) hidden {
            div.where {
                button.up type="button" { "Up" }
                nav aria-label="Directory" {}
            }
            div.map role="group" {}
            p.status role="status" aria-live="polite" {}
            (legend(kinds))
            p.hint {
                "Area is uncompressed bytes. Click opens a directory; arrow keys move, Enter opens, Escape goes up."
            }
            details.behind {
                summary { "Files as a table" }
                (scrolled("Files as a table", &html! {
                    caption {}
                    thead {
                        tr {
                            th scope="col" { "Name" }
                            @for key in &keys { th.number.kind scope="col" { (key) } }
                            th.number scope="col" { "Files" }
                        }
                    }
                    tbody {}
                }))
            }
        }
        noscript { p { "The picture of the files needs the script of this page." } }
    }
}
