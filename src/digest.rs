//! Content digests: parsing and incremental computation.
//!
//! Spec: image-spec `descriptor.md`, "Digests". A valid digest of an unknown algorithm can be parsed, so that documents
//! with one can be read; its content cannot be verified.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use crate::escape::escape;

/// `algorithm:encoded`, valid by the grammar. For registered algorithms the length is checked too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// The algorithms of the image-spec with their number of hex digits. Documents may contain others.
const REGISTERED_ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// The algorithms that can be verified. Directories of a layout have these names.
pub(crate) const VERIFIABLE_ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// Returns the name of a registered algorithm; `None` for other names.
pub(crate) fn registered_algorithm(name: &str) -> Option<&'static str> {
    REGISTERED_ALGORITHMS.iter().map(|(known, _)| *known).find(|known| *known == name)
}

/// An algorithm that rpull can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, the usual one.
    Sha256,
    /// SHA-512, registered by the image-spec.
    Sha512,
}

impl Algorithm {
    /// Returns the algorithm with this name, if it is one of [`VERIFIABLE_ALGORITHMS`].
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// What is wrong with a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestError {
    /// The text is not a digest.
    #[non_exhaustive]
    Malformed {
        /// The text.
        text: String,
        /// Which part of the grammar it breaks.
        reason: String,
    },
    /// Nothing can be verified by it: rpull does not compute its algorithm.
    Unsupported(Digest),
}

impl DigestError {
    /// The digest that it is about, for messages.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Malformed { text, .. } => format!("digest `{text}`"),
            Self::Unsupported(digest) => format!("digest {digest}"),
        }
    }

    /// The reason alone.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Malformed { reason, .. } => reason,
            Self::Unsupported(_) => "unsupported algorithm, expected sha256 or sha512",
        }
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", escape(&self.subject()), self.reason())
    }
}

impl std::error::Error for DigestError {}

impl Digest {
    /// Returns the SHA-256 digest of these bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the part before the colon.
    pub fn algorithm_name(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// Returns the part after the colon; lowercase hex for algorithms that can be verified.
    pub fn encoded(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, encoded)| encoded)
    }

    /// Returns the whole digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve hex digits, for tables.
    pub fn short(&self) -> &str {
        self.encoded().get(..12).unwrap_or(self.encoded())
    }

    /// Returns the algorithm, which can be used to verify content.
    ///
    /// # Errors
    /// [`DigestError::Unsupported`] for any other algorithm.
    pub fn algorithm(&self) -> Result<Algorithm, DigestError> {
        Algorithm::from_name(self.algorithm_name())
            .ok_or_else(|| DigestError::Unsupported(self.clone()))
    }
}

impl AsRef<Self> for Digest {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let invalid = |reason: &str| {
            Err(DigestError::Malformed { text: text.to_owned(), reason: reason.to_owned() })
        };
        let Some((algorithm, encoded)) = text.split_once(':') else {
            return invalid("expected algorithm:hex");
        };
        let well_formed = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !algorithm.split(['+', '.', '_', '-']).all(well_formed) {
            return invalid("malformed algorithm");
        }
        if encoded.is_empty()
            || !encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b))
        {
            return invalid("malformed encoded part");
        }
        if let Some((_, length)) = REGISTERED_ALGORITHMS.iter().find(|(name, _)| *name == algorithm)
        {
            if encoded.len() != *length {
                return invalid(&format!(
                    "{algorithm} requires {length} hex digits, got {}",
                    encoded.len()
                ));
            }
            if !encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return invalid("hex digits must be lowercase");
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An incremental hash.
#[derive(Clone, Debug)]
pub struct Hasher(HashState);

#[derive(Clone, Debug)]
enum HashState {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Starts a hash of no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => HashState::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => HashState::Sha512(sha2::Sha512::new()),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            HashState::Sha256(state) => state.update(bytes),
            HashState::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of all bytes.
    pub fn finish(self) -> Digest {
        let (name, hash): (_, &[u8]) = match self.0 {
            HashState::Sha256(state) => ("sha256", &state.finalize()),
            HashState::Sha512(state) => ("sha512", &state.finalize()),
        };
        let mut text = String::with_capacity(name.len() + 1 + hash.len() * 2);
        text.push_str(name);
        text.push(':');
        for byte in hash {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        Digest(text.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sha256_and_sha512_match_known_values() {
        assert_eq!(
            Digest::sha256(b"").encoded(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let mut sha512 = Hasher::new(Algorithm::Sha512);
        sha512.update(b"{}");
        assert!(sha512.finish().as_str().starts_with("sha512:27c74670adb75075fad058d5ceaf7b20"));
    }

    #[test]
    fn malformed_digest_is_rejected() {
        let hex = "a".repeat(64);
        for bad in [
            "",
            "sha256",
            "sha256:",
            ":abc",
            "sha256:../../etc/passwd",
            "sha256:abc",
            "a..b:c",
            "+sha:ab",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha256:{hex}a"),
        ]) {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_algorithm_parses_but_is_unsupported() {
        let digest: Digest = "blake3:abcdef".parse().unwrap();
        assert_eq!(digest.algorithm(), Err(DigestError::Unsupported(digest.clone())));
    }

    proptest! {
        #[test]
        fn accepted_digest_round_trips_and_is_no_path(text in "[a-z0-9]{0,8}[+._:-]?(sha256)?:?[a-f0-9/.=_-]{0,70}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.as_str(), &text);
                prop_assert!(!digest.encoded().contains(['/', '.', ':']));
            }
        }
    }
}
