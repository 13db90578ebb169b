//! Parses `WWW-Authenticate` as servers write it. Spec: RFC 7235 section 2.1, read leniently.
//!
//! An own parser, because what registries and their proxies send breaks strict ones: `Negotiate abc==, Bearer …`, open
//! quotes, missing commas. Nothing here decides what a challenge may ask for.

use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};

/// Maximum bytes read of all challenge headers of one response. A line that would exceed it is skipped whole.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Maximum challenges per response, and parameters per challenge.
const MAX_ITEMS: usize = 32;

/// Longest scheme, in bytes: schemes are shown in errors.
const MAX_SCHEME_BYTES: usize = 32;

/// One authentication method that a server offers.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) struct Challenge {
    /// In lower case.
    pub(in crate::registry) scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; `name` is in lower case.
    pub(in crate::registry) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Adds a parameter. The first of several with the same name wins.
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let name = lower(name);
        if !name.is_empty() && self.params.len() < MAX_ITEMS && self.param(&name).is_none() {
            self.params.push((name, String::from_utf8_lossy(value).into_owned()));
        }
    }
}

/// Whether the registry asks for another credential. RFC 6750 uses 403 for a token with too few scopes.
pub(in crate::registry) fn is_challenge(response: &Response) -> bool {
    let asks_for_scope = || {
        let challenges = challenges_of(response);
        challenges.iter().any(|one| one.param("error") == Some("insufficient_scope"))
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => asks_for_scope(),
        _ => false,
    }
}

/// The challenges of this response.
pub(in crate::registry) fn challenges_of(response: &Response) -> Vec<Challenge> {
    parse(response.headers().get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes))
}

/// The challenges of these header lines, in order. Never fails: what cannot be parsed is skipped.
pub(in crate::registry) fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut left = MAX_HEADER_BYTES;
    for line in lines {
        let Some(rest) = left.checked_sub(line.len()) else { break };
        left = rest;
        // To the RFC, lines form one list, so parameters may continue on the next; a quoted string ends with its line.
        Scanner { rest: line }.line(&mut found);
    }
    found
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn line(mut self, found: &mut Vec<Challenge>) {
        let mut after_scheme = false;
        loop {
            after_scheme &= !self.skip_separators();
            if self.rest.is_empty() {
                return;
            }
            let word = self.word();
            self.skip_spaces();
            if after_scheme && self.ends_token68() {
                self.skip_token68();
            } else if self.take(b'=') {
                self.skip_spaces();
                if let (Some(value), Some(challenge)) = (self.value(), found.last_mut()) {
                    challenge.add(&word, &value);
                }
                after_scheme = false;
            } else if !word.is_empty() {
                if found.len() == MAX_ITEMS {
                    return;
                }
                let shown = word.get(..MAX_SCHEME_BYTES).unwrap_or(&word);
                found.push(Challenge { scheme: lower(shown), params: Vec::new() });
                after_scheme = true;
            }
        }
    }

    /// Skips white space and commas. Returns whether there was a comma.
    fn skip_separators(&mut self) -> bool {
        let skipped = self.take_while(|byte| is_space(byte) || byte == b',');
        skipped.contains(&b',')
    }

    fn skip_spaces(&mut self) {
        self.take_while(is_space);
    }

    /// Whether only padding is left of this list element: `Negotiate abc==, …`.
    fn ends_token68(&self) -> bool {
        let padding = self.rest.iter().take_while(|byte| **byte == b'=').count();
        let behind = self.rest.get(padding..).unwrap_or_default();
        matches!(behind.iter().find(|byte| !is_space(**byte)), None | Some(b','))
    }

    fn skip_token68(&mut self) {
        self.take_while(|byte| byte == b'=');
    }

    /// The name of a scheme or parameter; some servers quote even these.
    fn word(&mut self) -> Vec<u8> {
        match self.rest.first() {
            Some(b'"') => self.quoted(),
            _ => self
                .take_while(|byte| !is_space(byte) && !matches!(byte, b',' | b'=' | b'"'))
                .to_vec(),
        }
    }

    /// A value. Without quotes it extends to the next comma or space, because URLs are sent that way too.
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.rest.first()? == &b'"' {
            return Some(self.quoted());
        }
        let bare = self.take_while(|byte| !is_space(byte) && byte != b',');
        (!bare.is_empty()).then(|| bare.to_vec())
    }

    /// The content of a quoted string; an unterminated one ends with the line.
    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut bytes = self.rest.get(1..).unwrap_or_default().iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => text.extend(bytes.next()),
                byte => text.push(*byte),
            }
        }
        self.rest = bytes.as_slice();
        text
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| wanted(**byte)).count();
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `scheme{name=value;…}` per challenge.
    fn read(lines: &[&str]) -> Vec<String> {
        let parsed = parse(lines.iter().map(|line| line.as_bytes()));
        let one = |challenge: &Challenge| {
            let params: Vec<String> =
                challenge.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}{{{}}}", challenge.scheme, params.join(";"))
        };
        parsed.iter().map(one).collect()
    }

    #[test]
    fn challenge_of_rfc_and_registries_is_parsed() {
        let cases: &[(&str, &[&str])] = &[
            (
                r#"Bearer realm="https://a.example/token?a=b,c",service="s",scope="repository:a/b:pull,push repository:c:pull""#,
                &[
                    "bearer{realm=https://a.example/token?a=b,c;service=s;scope=repository:a/b:pull,push repository:c:pull}",
                ],
            ),
            (
                r#"Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple""#,
                &[r#"newauth{realm=apps;type=1;title=Login to "apps"}"#, "basic{realm=simple}"],
            ),
            (
                r#"Bearer realm="x",service="y, Basic realm=\"evil\"""#,
                &[r#"bearer{realm=x;service=y, Basic realm="evil"}"#],
            ),
            (r#", ,BaSiC ReAlM="a",,Bearer realm = b	, "#, &["basic{realm=a}", "bearer{realm=b}"]),
            (
                r#"Negotiate abc==, NTLM TlRM , Bearer realm="x""#,
                &["negotiate{}", "ntlm{}", "bearer{realm=x}"],
            ),
            ("Negotiate, Digest", &["negotiate{}", "digest{}"]),
            ("foo bar", &["foo{}"]),
            ("", &[]),
            (",", &[]),
            (r#"Bearer realm=x,service="""#, &["bearer{realm=x;service=}"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(&[line]), *expected, "{line}");
        }
    }

    #[test]
    fn challenge_malformed_part_is_skipped() {
        let cases: &[(&str, &[&str])] = &[
            (r#"Bearer realm="open, service=x"#, &["bearer{realm=open, service=x}"]),
            (
                r#"Bearer realm="a" service="b" Basic realm="c""#,
                &["bearer{realm=a;service=b}", "basic{realm=c}"],
            ),
            (
                "Bearer realm=https://h/t?a=b,service=c",
                &["bearer{realm=https://h/t?a=b;service=c}"],
            ),
            (r#""Basic" "realm"=/"#, &["basic{realm=/}"]),
            ("Bearer realm=a,service=", &["bearer{realm=a}"]),
            ("Bearer realm=a,service= ", &["bearer{realm=a}"]),
            // A name without a value cannot be told from a scheme without parameters.
            ("Bearer realm=a,service", &["bearer{realm=a}", "service{}"]),
            ("Negotiate Bearer realm=a", &["negotiate{}", "bearer{realm=a}"]),
            ("Bearer realm=first, realm=second, REALM=third", &["bearer{realm=first}"]),
            (r#"realm="nobody's", Basic realm="a\"#, &["basic{realm=a}"]),
            (r#"=x, ="y", Basic"#, &["basic{}"]),
        ];
        for (line, expected) in cases {
            assert_eq!(read(&[line]), *expected, "{line}");
        }
    }

    #[test]
    fn challenge_header_lines_form_one_list() {
        assert_eq!(read(&["Negotiate", "Basic realm=a"]), ["negotiate{}", "basic{realm=a}"]);
        assert_eq!(read(&[r#"Bearer realm="a"#, "service=b"]), ["bearer{realm=a;service=b}"]);
    }

    #[test]
    fn challenge_non_ascii_and_oversized_is_limited() {
        let odd = [b"Basic realm=\"caf\xe9\", B\xff".as_slice()];
        assert_eq!(parse(odd.into_iter())[0].param("realm"), Some("caf\u{fffd}"));
        let many = "Basic realm=x, ".repeat(3000);
        assert_eq!(parse(std::iter::once(many.as_bytes())).len(), MAX_ITEMS);
        let params: Vec<String> = (0..5000).map(|n| format!("p{n}=x")).collect();
        let params = format!("Basic {}", params.join(","));
        assert_eq!(parse(std::iter::once(params.as_bytes()))[0].params.len(), MAX_ITEMS);
        // A truncated realm is worse than none.
        let huge = format!("Bearer realm=\"https://h/{}\"", "x".repeat(MAX_HEADER_BYTES));
        assert_eq!(read(&["Basic realm=a", &huge, "Digest realm=b"]), ["basic{realm=a}"]);
    }

    proptest! {
        #[test]
        fn challenge_arbitrary_bytes_are_limited(lines in prop::collection::vec(prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\",= \\Br=x".to_vec())], 0..200), 0..4)) {
            let found = parse(lines.iter().map(Vec::as_slice));
            prop_assert!(found.len() <= MAX_ITEMS);
            prop_assert!(found.iter().all(|challenge| challenge.params.len() <= MAX_ITEMS));
        }
    }
}
