//! `Warning: 299 - "text"` headers: shown once per text, never acted upon. Spec: distribution-spec "Warnings".

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{HeaderMap, WARNING};

use crate::registry::redactor::{Redactor, TextKind};

/// Maximum bytes read of all warning headers of one response.
const MAX_HEADER_BYTES: usize = 4096;

/// Texts that were shown.
#[derive(Debug, Default)]
pub(in crate::registry) struct SeenWarnings(Mutex<HashSet<String>>);

impl SeenWarnings {
    /// Logs the warnings of this response that are new.
    pub(in crate::registry) fn note(
        &self,
        registry: &str,
        headers: &HeaderMap,
        redactor: &Redactor,
    ) {
        let mut total = 0;
        for value in headers.get_all(WARNING) {
            total += value.len();
            if total > MAX_HEADER_BYTES {
                return;
            }
            let Some(text) = parse(value.as_bytes()) else { continue };
            let text = redactor.redact(&text, TextKind::Foreign).into_owned();
            let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone());
            if new {
                tracing::warn!("{registry}: {}", crate::escape(&text));
            }
        }
    }
}

/// The text of a value of exactly the form `299 - "text"`, with backslash escapes resolved.
fn parse(value: &[u8]) -> Option<String> {
    let quoted = value.strip_prefix(b"299 - \"")?;
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter();
    loop {
        match rest.next()? {
            b'"' => break,
            b'\\' => text.push(*rest.next()?),
            byte => text.push(*byte),
        }
    }
    if rest.next().is_some() {
        return None;
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn warning_header_of_other_form_is_ignored() {
        assert_eq!(parse(br#"299 - "trivial""#).as_deref(), Some("trivial"));
        assert_eq!(parse(br#"299 - "e\scaped""#).as_deref(), Some("escaped"));
        assert_eq!(parse("299 - \"žluť\"".as_bytes()).as_deref(), Some("žluť"));
        for other in [
            r#"100 - "x""#,
            r#"299 - "open"#,
            r#"299  -  "x""#,
            r#" 299 - "x""#,
            "299 - x",
            "",
            r#"299 - "x" y"#,
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn warning_arbitrary_bytes_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let value = [b"299 - \"".as_slice(), &value].concat();
            prop_assert!(parse(&value).is_none_or(|text| text.len() <= 3 * value.len()));
        }
    }
}
