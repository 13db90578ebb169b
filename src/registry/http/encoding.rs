//! `Content-Encoding` of responses. Requests ask for none, but some servers and proxies still apply or declare one.
//!
//! `identity` means not encoded (RFC 9110 section 8.4.1). Gzip is decoded where the result can be checked against a
//! digest or a limit.

use std::io::{self, Read as _};

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::layer::{Compression, decompress};
use crate::size::size;

/// Longest encoding name that is shown, in characters.
const MAX_NAME_CHARS: usize = 40;

/// Values that are no content coding: S3's marker for signed uploads, which stays with the object, character sets, and
/// words for "none". The digest decides whether the bytes are right.
const NO_CODINGS: [&str; 6] = ["identity", "aws-chunked", "utf-8", "none", "binary", "8bit"];

/// How a body is encoded.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) enum Encoding {
    Identity,
    Gzip,
    /// An encoding that is not supported, as the server spells it.
    Other(String),
}

impl Encoding {
    /// Combines all `Content-Encoding` headers.
    pub(in crate::registry) fn from_headers(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let texts: Vec<String> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let applied: Vec<&str> = texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .filter(|name| !NO_CODINGS.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .collect();
        match applied.as_slice() {
            [] => Self::Identity,
            [one] if one.eq_ignore_ascii_case("gzip") || one.eq_ignore_ascii_case("x-gzip") => {
                Self::Gzip
            }
            all => Self::Other(all.join(", ").chars().take(MAX_NAME_CHARS).collect()),
        }
    }
}

/// Decodes a body that a server declares as gzip. Returns it unchanged if it is not gzip.
///
/// # Errors
/// If it is corrupt or holds more than `limit` bytes.
pub(in crate::registry) fn gunzip(body: Bytes, limit: u64) -> io::Result<Bytes> {
    if !matches!(Compression::detect(&body), Ok(Compression::Gzip)) {
        return Ok(body);
    }
    let mut decoded = Vec::new();
    let bytes = decompress(Compression::Gzip, body.as_ref())?;
    bytes.take(limit.saturating_add(1)).read_to_end(&mut decoded)?;
    if decoded.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than the limit of {}", size(limit))));
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_encoding_identity_variants_are_none() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            Encoding::from_headers(&headers)
        };
        for values in [
            &[][..],
            &["identity"],
            &[" Identity , IDENTITY"],
            &[""],
            &["identity", "aws-chunked"],
            &["UTF-8"],
        ] {
            assert_eq!(of(values), Encoding::Identity, "{values:?}");
        }
        for values in [&["gzip"][..], &["identity, GZip"], &["x-gzip", "identity"]] {
            assert_eq!(of(values), Encoding::Gzip, "{values:?}");
        }
        assert_eq!(of(&["gzip, br"]), Encoding::Other("gzip, br".to_owned()));
        assert_eq!(of(&["gzip", "gzip"]), Encoding::Other("gzip, gzip".to_owned()));
    }
}
