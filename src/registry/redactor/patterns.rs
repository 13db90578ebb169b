//! Finds unknown secrets by their context: in URLs, and after the name of an authentication scheme.

use std::ops::Range;

/// Shortest text after `Basic` or `Bearer` that cannot be a word.
const MIN_TOKEN: usize = 8;

/// Names whose values are secret.
const SECRET_NAMES: [&str; 9] = [
    "access_token",
    "identitytoken",
    "passwd",
    "password",
    "refresh_token",
    "registrytoken",
    "secret",
    "token",
    "_state",
];

/// Shortest query value that can be a secret: signatures and session keys are longer.
const MIN_QUERY_VALUE: usize = 8;

/// Query parameters whose values are public and occur elsewhere in messages.
const PUBLIC_PARAMETERS: [&str; 13] = [
    "account",
    "artifacttype",
    "client_id",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "ns",
    "scope",
    "service",
    "tag",
];

/// The ranges of such secrets, in any order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut previous = "";
    let mut has_colon = false;
    let mut at = 0;
    for word in text.split_inclusive(is_between) {
        let start = at;
        at += word.len();
        let word = word.trim_end_matches(is_between);
        let is_scheme = ["basic", "bearer"].iter().any(|name| previous.eq_ignore_ascii_case(name));
        let is_value = has_colon && !word.is_empty() && word != ":" && is_secret_name(previous);
        if is_value || (is_scheme && is_token(word)) {
            found.push(start..start + word.len());
        }
        if let Some((name, value)) = word.split_once('=')
            && is_secret_name(name)
        {
            found.push(start + word.len() - value.len()..start + word.len());
        }
        // In JSON the name, the colon and the value are three words.
        has_colon = word == ":" || (has_colon && word.is_empty());
        if !word.is_empty() && word != ":" {
            previous = word.rsplit(['=', ':']).next().unwrap_or(word);
        }
        found.extend(
            user_info(word)
                .into_iter()
                .chain(query_values(word))
                .map(|range| start + range.start..start + range.end),
        );
    }
    found
}

/// Characters that separate words and do not occur in URLs.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '{' | '}' | '|' | '\\')
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    SECRET_NAMES.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn is_token(word: &str) -> bool {
    let word = word.trim_end_matches([',', ';', '.', ':']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=-_.~".contains(c);
    word.len() >= MIN_TOKEN
        && word.chars().all(is_part)
        && word.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase() || c == '=')
}

/// The user info of a URL, before its `@`.
fn user_info(word: &str) -> Option<Range<usize>> {
    let start = word.find("://")? + 3;
    let authority = word.get(start..)?.split(['/', '?', '#']).next()?;
    let length = authority.rfind('@')?;
    (length > 0).then(|| start..start + length)
}

fn query_values(word: &str) -> Vec<Range<usize>> {
    let Some(question) = word.find('?') else { return Vec::new() };
    let mut found = Vec::new();
    let mut at = question + 1;
    for pair in word.get(at..).unwrap_or_default().split_inclusive('&') {
        let start = at;
        at += pair.len();
        let pair = pair.trim_end_matches('&');
        // Punctuation of the sentence around the URL.
        let pair = pair.trim_end_matches([',', ';', '.', ':']);
        if let Some((key, value)) = pair.split_once('=')
            && is_secret_parameter(key, value)
        {
            found.push(start + key.len() + 1..start + pair.len());
        }
    }
    found
}

/// Whether a query parameter of a URL may be a signature or a key.
pub(super) fn is_secret_parameter(key: &str, value: &str) -> bool {
    value.len() >= MIN_QUERY_VALUE
        && !PUBLIC_PARAMETERS.contains(&key.to_ascii_lowercase().as_str())
}
