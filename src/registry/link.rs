//! The `Link` header of paged lists (RFC 8288): which URL to ask next.

use url::Url;

use super::origin::{Origin, redact};
use crate::error::{Error, ErrorKind, Result};

/// The URL of the link with `rel="next"`, resolved against the URL that was asked; `None` ends the list.
///
/// # Errors
/// [`ErrorKind::Transport`] where it leads to another origin: credentials would go there (oras-go GHSA-h7vf-4x9w-h99v).
pub(super) fn next<'a>(headers: impl Iterator<Item = &'a str>, asked: &Url) -> Result<Option<Url>> {
    let Some(target) =
        headers.flat_map(links).find_map(|(target, is_next)| is_next.then_some(target))
    else {
        return Ok(None);
    };
    let refuse = |why: String| Error::new(ErrorKind::Transport, "next page").because(why);
    let url =
        asked.join(target).map_err(|error| refuse("its link is no URL".into()).caused_by(error))?;
    if Origin::of(&url)? != Origin::of(asked)? {
        return Err(refuse(format!("its link leads to another host, {}", redact(&url))));
    }
    Ok(Some(url))
}

/// Every `<target>; params` of one header line, and whether its relation is `next`.
fn links(header: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, params)) = after.split_once('>') else { break };
        let end = end_of_params(params);
        let (own, following) = params.split_at_checked(end).unwrap_or((params, ""));
        let is_next = own.split(';').any(|param| {
            let Some((key, value)) = param.split_once('=') else { return false };
            key.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches(['"', '\''])
                    .split_ascii_whitespace()
                    .any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        found.push((target.trim(), is_next));
        rest = following;
    }
    found
}

/// Where the comma outside quotes stands that ends these parameters.
fn end_of_params(params: &str) -> usize {
    let mut quoted = false;
    for (at, c) in params.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    params.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn follow(header: &str) -> Result<Option<String>> {
        let asked = Url::parse("https://localhost:5000/v2/a/tags/list?n=1").unwrap();
        next(std::iter::once(header), &asked).map(|url| url.map(String::from))
    }

    #[test]
    fn relative_absolute_unquoted_and_among_others() {
        let expected = Some("https://localhost:5000/v2/a/tags/list?last=x&n=1".to_owned());
        for header in [
            r#"</v2/a/tags/list?last=x&n=1>; rel="next""#,
            "<https://localhost:5000/v2/a/tags/list?last=x&n=1>;rel=next",
            r#"<?first>; rel="prev", <list?last=x&n=1>; title="a, b"; Rel="last next""#,
        ] {
            assert_eq!(follow(header).unwrap(), expected, "{header}");
        }
        for none in ["", "garbage", "</x", r#"</x>; rel="prev""#, "</x>"] {
            assert_eq!(follow(none).unwrap(), None, "{none}");
        }
    }

    #[test]
    fn another_origin_is_refused() {
        for target in [
            "https://evil.example/v2/a",
            "http://localhost:5000/v2/a",
            "//localhost:5001/v2",
            "https://localhost/v2",
        ] {
            assert!(follow(&format!(r#"<{target}>; rel="next""#)).is_err(), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_or_leads_away(header in "[<>;,=\"/a-z:.? -]{0,60}") {
            if let Ok(Some(url)) = follow(&header) {
                prop_assert!(url.starts_with("https://localhost:5000/"));
            }
        }
    }
}
