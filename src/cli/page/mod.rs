//! One self-contained HTML page: its frame, and the parts that pages are made of.
//!
//! Whatever the page shows is foreign. maud escapes HTML, [`shown`] what could reorder or hide text, and [`Page::document`] the
//! data for the script. The policy of the page allows nothing but its own style and script, by their digests.

pub(super) mod bars;
pub(super) mod output;
pub(super) mod size_tree;
pub(super) mod table;
pub(super) mod treemap;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

const STYLE: &str = include_str!("page.css");

const SCRIPT: &str = include_str!("page.js");

/// What a page is made of.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) body: Markup,
    /// What the script draws.
    pub(super) data: Value,
}

impl Page {
    /// Returns the whole document.
    pub(super) fn document(&self) -> Result<String> {
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
            integrity(STYLE),
            integrity(SCRIPT)
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "rpull " (env!("CARGO_PKG_VERSION")) };
                    title { (shown(&self.title)) }
                    // Without it a browser asks a server for one.
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.body)
                    script #data type="application/json" { (data(&self.data)?) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        Ok(page.into_string())
    }
}

fn integrity(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// JSON in a form that can end neither its element nor a comment.
fn data(value: &Value) -> Result<Markup> {
    let json = serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Unsupported, "page").with_source(error))?;
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            c => safe.push(c),
        }
    }
    Ok(PreEscaped(crate::escape::escape_json(&safe).into_owned()))
}

/// Foreign text with control and bidirectional characters as escapes.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    crate::escape(text)
}

/// The headline numbers: what it is, the number, and a remark.
pub(super) fn numbers(numbers: &[(&str, String, String)]) -> Markup {
    html! {
        dl.numbers {
            @for (name, number, remark) in numbers {
                div {
                    dt { (name) }
                    dd { strong { (number) } @if !remark.is_empty() { span { (unbroken(remark)) } } }
                }
            }
        }
    }
}

/// Keeps numbers and their percent signs on one line.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// Begins a page: what it is about, in one line more, and the headline numbers.
pub(super) fn heading(title: &str, lines: &[String], figures: &Markup) -> Markup {
    html! {
        header {
            p.tool { "rpull report" }
            h1 { (shown(title)) }
            @for line in lines { p.about { (shown(line)) } }
            (figures)
        }
    }
}

#[cfg(test)]
mod contrast_tests;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_cannot_end_its_element() {
        let value = json!({"</script><!--": "&\u{2028}\u{202e}\u{9b}"});
        let text = data(&value).unwrap().into_string();
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{202e}', '\u{9b}']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn page_escapes_title_and_allows_only_own_script() {
        let title = "</title><script>\u{202e}".to_owned();
        let page = Page { title, body: html! {}, data: Value::Null }.document().unwrap();
        assert!(page.contains("&lt;/title&gt;&lt;script&gt;\\u{202e}"));
        let policy = "default-src 'none'; style-src 'sha256-";
        assert!(page.contains(policy) && !page.contains("unsafe-inline"), "{page}");
    }

    #[test]
    fn script_and_style_load_nothing() {
        for text in [STYLE, SCRIPT] {
            for forbidden in ["innerHTML", "fetch(", "import", "http:", "https:", "url(", "eval("] {
                assert!(!text.contains(forbidden), "{forbidden}");
            }
            assert!(!text.contains("</"), "nothing ends the element early");
        }
    }
}
