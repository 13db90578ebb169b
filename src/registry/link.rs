//! The `Link` header of paged lists (RFC 8288).

use reqwest::header::HeaderValue;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::registry::http::origin::{Origin, redact};

/// The URL of the next page, resolved against the requested URL; `None` ends the list.
///
/// The first link with relation `next`, otherwise the first without any relation: distribution's own client follows any
/// link. Links with other relations are ignored.
///
/// # Errors
/// [`ErrorKind::Transport`] if a header cannot be parsed, because there may be another page, or if the link points to
/// another origin: credentials would go there (oras-go GHSA-h7vf-4x9w-h99v).
pub(super) fn next<'a>(
    headers: impl Iterator<Item = &'a HeaderValue>,
    requested: &Url,
) -> Result<Option<Url>> {
    let invalid =
        |reason: String| Error::new(ErrorKind::Transport, "next page").with_reason(reason);
    let unreadable = || invalid("invalid `Link` header".into());
    let mut unnamed = None;
    let mut found = None;
    for header in headers {
        let header = std::str::from_utf8(header.as_bytes()).map_err(|_| unreadable())?;
        for (target, relation) in links(header).ok_or_else(unreadable)? {
            match relation {
                Relation::Next => found = found.or(Some(target)),
                Relation::None => unnamed = unnamed.or(Some(target)),
                Relation::Other => {}
            }
        }
    }
    let Some(target) = found.or(unnamed) else { return Ok(None) };
    let mut url = requested
        .join(target)
        .map_err(|error| invalid("`Link` is not a URL".into()).with_source(error))?;
    // Behind a proxy that terminates TLS, a registry believes that it speaks http.
    if requested.scheme() == "https" && url.scheme() == "http" && url.host() == requested.host() {
        let is_bare = url.port().is_none();
        _ = url.set_scheme("https");
        if is_bare {
            _ = url.set_port(requested.port());
        }
    }
    if Origin::from_url(&url)? != Origin::from_url(requested)? {
        return Err(invalid(format!("`Link` points to another host, {}", redact(&url))));
    }
    Ok(Some(url))
}

/// The declared relation of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Next,
    None,
    Other,
}

/// Splits a header line into `<target>; params`; `None` if it is malformed.
fn links(header: &str) -> Option<Vec<(&str, Relation)>> {
    let mut found = Vec::new();
    let mut rest = header.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (target, params) = rest.strip_prefix('<')?.split_once('>')?;
        let end = end_of_params(params);
        let (own_params, following) = params.split_at_checked(end).unwrap_or((params, ""));
        found.push((target.trim(), relation(own_params)));
        rest = following.trim_matches([' ', '\t', ',']);
    }
    Some(found)
}

fn relation(params: &str) -> Relation {
    let values = params.split(';').filter_map(|param| {
        let (key, value) = param.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']).trim();
        (key.trim().eq_ignore_ascii_case("rel") && !value.is_empty()).then_some(value)
    });
    let mut relation = Relation::None;
    for value in values {
        if value.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next")) {
            return Relation::Next;
        }
        relation = Relation::Other;
    }
    relation
}

/// The index of the comma outside quotes that ends these parameters.
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

    fn follow_all(headers: &[&[u8]]) -> Result<Option<String>> {
        let requested = Url::parse("https://localhost:5000/v2/a/tags/list?n=1").unwrap();
        let headers: Vec<HeaderValue> =
            headers.iter().map(|header| HeaderValue::from_bytes(header).unwrap()).collect();
        next(headers.iter(), &requested).map(|url| url.map(String::from))
    }

    fn follow(header: &str) -> Result<Option<String>> {
        follow_all(&[header.as_bytes()])
    }

    #[test]
    fn link_next_variants_are_followed() {
        let expected = Some("https://localhost:5000/v2/a/tags/list?last=x&n=1".to_owned());
        for header in [
            r#"</v2/a/tags/list?last=x&n=1>; rel="next""#,
            "<https://localhost:5000/v2/a/tags/list?last=x&n=1>;rel=next",
            "<http://localhost/v2/a/tags/list?last=x&n=1>;rel=next",
            r#"<?first>; rel="prev", <list?last=x&n=1>; title="a, b"; Rel="last next""#,
            "<?first>, <list?last=x&n=1> ; rel = ' NEXT '",
            "</v2/a/tags/list?last=x&n=1>;",
            "</v2/a/tags/list?last=x&n=1>",
            "</v2/a/tags/list?last=x&n=1>; rel",
            r#" , </v2/a/tags/list?last=x&n=1>; rel=""; title=x,"#,
            r#"<?first>; rel=first, <?last=x&n=1>; title="t""#,
        ] {
            assert_eq!(follow(header).unwrap(), expected, "{header}");
        }
        let lines: [&[u8]; 2] = [b"<?first>; rel=first", b"<?last=x&n=1>; rel=next"];
        assert_eq!(follow_all(&lines).unwrap(), expected);
        for none in ["", " ", r#"</x>; rel="prev""#, "</x>; rel=self, </y>; rel=last"] {
            assert_eq!(follow(none).unwrap(), None, "{none}");
        }
        let odd = follow("<?last=ž>; rel=next").unwrap().unwrap();
        assert!(odd.ends_with("?last=%C5%BE"), "{odd}");
    }

    #[test]
    fn link_malformed_is_error() {
        for bad in ["garbage", "</x", "/v2/a/tags/list?last=x; rel=next", "</x>; rel=prev, /y"] {
            assert!(follow(bad).is_err(), "{bad}");
        }
        assert!(follow_all(&[b"<?last=\xff>; rel=next"]).is_err());
        assert!(follow("<http://[>; rel=next").is_err());
    }

    #[test]
    fn link_to_other_origin_is_refused() {
        for target in ["https://evil.example/v2/a", "//localhost:5001/v2", "https://localhost/v2"] {
            assert!(follow(&format!(r#"<{target}>; rel="next""#)).is_err(), "{target}");
        }
    }

    proptest! {
        #[test]
        fn link_arbitrary_header_stays_on_origin(header in "[<>;,=\"/a-z:.? -]{0,60}") {
            if let Ok(Some(url)) = follow(&header) {
                prop_assert!(url.starts_with("https://localhost:5000/"));
            }
        }
    }
}
