//! Escapes untrusted text for terminals and logs.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control characters (C0, C1, DEL) and bidirectional overrides as `\u{..}`, newlines and tabs as `\n`, `\t`.
///
/// Text from a registry must not control the terminal (kubectl CVE-2021-25743).
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_dangerous(c) => {
                // Writing to a `String` cannot fail.
                _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Escapes characters that JSON allows but terminals interpret, as `\u009b`. The JSON value stays the same.
#[cfg(feature = "cli")]
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    // JSON output has already escaped the lower control characters; the remaining ones are its own line breaks.
    let steers = |c: char| c >= '\u{7f}' && is_dangerous(c);
    if !json.chars().any(steers) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if steers(c) {
            // Writing to a `String` cannot fail.
            _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(escape("grüße 日本"), Cow::Borrowed(_)));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn escaped_json_parses_to_same_value() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}\u{7f}\u{feff}", "grüße\n"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = escape_json(&text);
        assert!(safe.contains(r"a\u009b") && safe.contains(r"\u202e\u007f\ufeff"), "{safe}");
        assert!(safe.contains("grüße") && safe.contains('\n'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        assert!(matches!(escape_json("{\n  \"a\": 1\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn escape_covers_control_and_bidi_characters() {
        assert_eq!(
            escape("a\u{1b}[2J\n\t\u{9b}\u{202e}\0\u{7f}"),
            "a\\u{1b}[2J\\n\\t\\u{9b}\\u{202e}\\u{0}\\u{7f}"
        );
    }
}
