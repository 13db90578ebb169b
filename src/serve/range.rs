//! Parses the requested range of a blob. Spec: RFC 9110, "Range"; distribution-spec "Pulling blobs".

use std::ops::Range;

/// The bytes to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ByteRange {
    Whole,
    Part(Range<u64>),
    /// The range begins after the end of the blob.
    Unsatisfiable,
}

/// Parses a `Range` header. As the RFC allows, invalid ranges, other units and multiple ranges are ignored.
pub(super) fn parse_range(header: Option<&str>, size: u64) -> ByteRange {
    let Some((first, last)) = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|text| text.split_once('-'))
    else {
        return ByteRange::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) => first..size.min(last.saturating_add(1)),
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return ByteRange::Whole,
    };
    // The RFC also allows to ignore a range that ends before it begins; the conformance suite of the specification
    // expects an error.
    if range.is_empty() { ByteRange::Unsatisfiable } else { ByteRange::Part(range) }
}

/// Parses the position of a chunk from `Content-Range: FIRST-LAST`.
pub(super) fn parse_content_range(header: &str) -> Option<Range<u64>> {
    let (first, last) = header.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < u64::MAX).then(|| first..last + 1)
}

/// Parses digits only, without sign or space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_header_is_parsed_or_ignored() {
        for (header, expected) in [
            ("bytes=0-", ByteRange::Part(0..10)),
            ("bytes=3-5", ByteRange::Part(3..6)),
            ("bytes=3-99", ByteRange::Part(3..10)),
            ("bytes=-4", ByteRange::Part(6..10)),
            ("bytes=-99", ByteRange::Part(0..10)),
            ("bytes=9-18446744073709551615", ByteRange::Part(9..10)),
            ("bytes=10-", ByteRange::Unsatisfiable),
            ("bytes=10-12", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=5-3", ByteRange::Unsatisfiable),
            ("bytes=0-1,3-4", ByteRange::Whole),
            ("bytes=-", ByteRange::Whole),
            ("bytes=+1-2", ByteRange::Whole),
            ("bytes=99999999999999999999-", ByteRange::Whole),
            ("lines=0-1", ByteRange::Whole),
            ("", ByteRange::Whole),
        ] {
            assert_eq!(parse_range(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse_range(None, 10), ByteRange::Whole);
        assert_eq!(parse_range(Some("bytes=0-"), 0), ByteRange::Unsatisfiable);
    }

    #[test]
    fn content_range_of_chunk_is_parsed() {
        assert_eq!(parse_content_range("0-9"), Some(0..10));
        for bad in ["", "-", "0-", "9-3", "bytes 0-9/10", "0-18446744073709551615", "-1-2"] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
