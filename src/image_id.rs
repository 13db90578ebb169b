//! Image ids: a digest or its beginning, as in tables and in docker's commands.

use std::fmt;

use crate::digest::{Digest, registered_algorithm};

/// Minimum hex digits without an algorithm. Fewer may be a name such as `cafe`. Tables show this many.
const MIN_DIGITS: usize = 12;

/// Maximum hex digits: those of a SHA-512 digest.
const MAX_HEX: usize = 128;

/// The beginning of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageId {
    /// Empty if it was omitted.
    algorithm: &'static str,
    start: String,
}

impl ImageId {
    /// Parses `f35d4b550b50`, more digits, or `sha256:` with any number of digits; `None` for other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, start) = match text.split_once(':') {
            Some((algorithm, start)) => (registered_algorithm(algorithm)?, start),
            None => ("", text),
        };
        let least = if algorithm.is_empty() { MIN_DIGITS } else { 1 };
        let is_hex = start.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && (least..=MAX_HEX).contains(&start.len()))
            .then(|| Self { algorithm, start: start.to_owned() })
    }

    /// Whether the digest begins with this id.
    pub fn matches(&self, digest: &Digest) -> bool {
        (self.algorithm.is_empty() || self.algorithm == digest.algorithm_name())
            && digest.encoded().starts_with(&self.start)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.algorithm.is_empty() {
            write!(f, "{}:", self.algorithm)?;
        }
        f.write_str(&self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_id_accepts_printed_lengths_only() {
        let digest = Digest::sha256(b"");
        assert!(digest.as_str().starts_with("sha256:e3b0c44298fc1c14"));
        for text in
            ["e3b0c44298fc", digest.encoded(), digest.as_str(), "sha256:e", "sha256:e3b0c44"]
        {
            let id = ImageId::parse(text).unwrap();
            assert!(id.matches(&digest), "{text}");
            assert_eq!(id.to_string(), text);
        }
        for text in ["e3b0c44298fd", "sha512:e3b0", "e3b0c44298fc1c15", &"0".repeat(128)] {
            assert!(!ImageId::parse(text).unwrap().matches(&digest), "{text}");
        }
        for text in [
            "",
            "cafe",
            "deadbeef",
            "e3b0c44298f",
            "E3B0C44298FC",
            "e3b0c44298fg",
            "sha256:",
            "md5:e3b0",
        ] {
            assert_eq!(ImageId::parse(text), None, "{text}");
        }
        assert_eq!(ImageId::parse(&"0".repeat(129)), None);
    }
}
