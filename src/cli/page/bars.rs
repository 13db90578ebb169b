//! Bars whose segments have lengths in proportion to bytes.

use maud::{Markup, html};

use super::shown;

/// A segment of a bar.
pub(in crate::cli) struct BarSegment {
    pub(in crate::cli) bytes: u64,
    /// Its color: a class of the style.
    pub(in crate::cli) class: &'static str,
    /// What the pointer shows.
    pub(in crate::cli) title: String,
    /// What of the page it leads to. The page has another link to it for keyboards.
    pub(in crate::cli) target: Option<String>,
}

impl BarSegment {
    pub(in crate::cli) fn new(bytes: u64, class: &'static str, title: String) -> Self {
        Self { bytes, class, title, target: None }
    }
}

/// A bar; `whole` bytes are all of the width.
pub(in crate::cli) fn bar(label: &str, segments: &[BarSegment], whole: u64) -> Markup {
    let mut start = 0.0;
    let places: Vec<(f64, f64)> = segments
        .iter()
        .map(|segment| {
            let width = percentage(segment.bytes, whole);
            start += width;
            (start - width, width)
        })
        .collect();
    html! {
        svg.bar role="img" aria-label=(shown(label)) width="100%" height="28" {
            @for (segment, (x, width)) in segments.iter().zip(places) {
                @if width > 0.0 {
                    @let (x, width) = (format!("{x:.4}%"), format!("{width:.4}%"));
                    @if let Some(target) = &segment.target {
                        a href=(target) tabindex="-1" {
                            rect class=(segment.class) x=(x) y="0" width=(width) height="28" {
                                title { (shown(&segment.title)) }
                            }
                        }
                    } @else {
                        rect class=(segment.class) x=(x) y="0" width=(width) height="28" {
                            title { (shown(&segment.title)) }
                        }
                    }
                }
            }
        }
    }
}

/// Colors and what they mean.
pub(in crate::cli) fn legend(items: &[(&'static str, &str)]) -> Markup {
    html! {
        ul.legend {
            @for (class, text) in items {
                li {
                    svg width="14" height="14" aria-hidden="true" {
                        rect class=(class) width="14" height="14" {}
                    }
                    (text)
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no screen shows the difference")]
pub(in crate::cli) fn percentage(segment: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * segment as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_parts_follow_each_other() {
        let segment = |bytes| BarSegment::new(bytes, "own", format!("<{bytes}>"));
        let svg = bar("a\u{202e}", &[segment(1), segment(0), segment(3)], 8).into_string();
        assert!(svg.contains(r#"x="0.0000%" y="0" width="12.5000%""#), "{svg}");
        assert!(svg.contains(r#"x="12.5000%" y="0" width="37.5000%""#), "{svg}");
        assert!(svg.contains("&lt;3&gt;") && svg.contains(r"a\u{202e}"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(!bar("", &[segment(5)], 0).into_string().contains("rect"));
    }
}
