//! Finds digests in documents of unknown types.

use std::borrow::Cow;

use crate::digest::Digest;

/// Finds every digest in the text: in fields, keys and inside strings.
///
/// Searches the text instead of parsed JSON, so that neither repeated keys nor deep nesting can hide a digest.
pub(super) fn find_digests(bytes: &[u8]) -> Vec<Digest> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = in_text(&text);
    if let Cow::Owned(plain) = without_escapes(&text) {
        found.extend(in_text(&plain));
    }
    found
}

fn in_text(text: &str) -> Vec<Digest> {
    let mut found = Vec::new();
    for (algorithm, digits) in [("sha256:", 64), ("sha512:", 128)] {
        for (at, _) in text.match_indices(algorithm) {
            let digest = text.get(at..at + algorithm.len() + digits);
            found.extend(digest.and_then(|digest| digest.parse().ok()));
        }
    }
    found
}

/// JSON can write any character as `\u` and four hex digits.
fn without_escapes(text: &str) -> Cow<'_, str> {
    let mut parts = text.split("\\u");
    let Some(first) = parts.next().filter(|first| first.len() < text.len()) else {
        return text.into();
    };
    let mut plain = first.to_owned();
    for part in parts {
        let letter = part.get(..4).and_then(|code| u32::from_str_radix(code, 16).ok());
        match letter.and_then(char::from_u32) {
            Some(letter) => {
                plain.push(letter);
                plain.push_str(part.get(4..).unwrap_or_default());
            }
            None => plain.push_str(part),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_finds_digests_anywhere_in_document() {
        let digest = Digest::sha256(b"x");
        let hex = digest.encoded();
        for text in [
            format!(r#"{{"blobs":[{{"digest":"{digest}"}}]}}"#),
            format!(r#"{{"a":"{digest}","a":1}}"#),
            format!(r#"{{"{digest}":null}}"#),
            format!(r#"{{"from":"ghcr.io/org/app@{digest}"}}"#),
            format!(r#"{{"a":"\u0073ha256\u003A{hex}"}}"#),
            format!("{}\"{digest}\"", "[".repeat(1000)),
            format!("sha256:sha256:{hex}"),
        ] {
            assert_eq!(find_digests(text.as_bytes()), std::slice::from_ref(&digest), "{text}");
        }
    }

    #[test]
    fn mentions_ignores_other_text() {
        for text in
            ["", "sha256:", "sha256:\u{e9}", "\\u", "\\u00", "\\ud800", "{\"a\":\"sha256:0\"}"]
        {
            assert!(find_digests(text.as_bytes()).is_empty(), "{text}");
        }
        assert!(find_digests(&[0xff; 100]).is_empty());
    }
}
