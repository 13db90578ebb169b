//! The encoders that models are about.

use std::fmt;

use super::model::CHUNK;

/// A family of encoders that search for matches in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// An encoder without a model.
    Unknown = 0,
    /// Go's standard library up to 1.26, level 1.
    A = 1,
    /// Go's standard library from 1.27 on, and klauspost's library: buildah, podman, skopeo, umoci, crane, and rpull.
    B = 2,
    /// Go's standard library up to 1.26, levels 4 to 9: containerd, Docker, `BuildKit`.
    G = 3,
    /// zlib, GNU gzip, pigz, and most languages other than Go.
    Z = 4,
}

impl Family {
    pub(super) const ALL: [Self; 5] = [Self::Unknown, Self::A, Self::B, Self::G, Self::Z];

    /// Returns a short name: `a`, `b`, `g`, `z` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::G => "g",
            Self::Z => "z",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the family with this short name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }
}

/// An encoder, by the properties that decide which matches it chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Encoder {
    /// The way it searches for matches.
    pub family: Family,
    /// Its level; 0 if the family is unknown.
    pub level: u8,
    /// Uncompressed bytes after which a parallel encoder restarts.
    pub piece: Option<u64>,
}

impl Encoder {
    pub(super) const UNKNOWN: Self = Self { family: Family::Unknown, level: 0, piece: None };

    /// Creates an encoder that compresses its input as one.
    pub fn new(family: Family, level: u8) -> Self {
        Self { family, level, piece: None }
    }

    /// Bytes of a block from whose tokens its header follows. A block of the table families can have more than a chunk,
    /// where the code lengths of the first one are good enough for the next.
    pub(super) fn header_reach(self) -> u64 {
        match self.family {
            Family::A | Family::B => CHUNK as u64,
            Family::G => u64::MAX,
            Family::Z | Family::Unknown => 0,
        }
    }

    /// Sets the size of pieces, at least 64 KiB.
    #[must_use]
    pub fn in_pieces(self, piece: u64) -> Self {
        Self { piece: Some(piece), ..self }
    }
}

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.family, self.piece) {
            (Family::Unknown, _) => return f.write_str("unknown encoder"),
            (Family::A | Family::G, _) => "Go before 1.27",
            (Family::B, None) => "Go from 1.27 on or klauspost",
            (Family::B, Some(_)) => "pgzip",
            (Family::Z, None) => "zlib or gzip",
            (Family::Z, Some(_)) => "pigz",
        };
        write!(f, "{name}, level {}", self.level)?;
        match self.piece {
            Some(piece) if piece.is_multiple_of(1 << 20) => {
                write!(f, ", pieces of {} MiB", piece >> 20)
            }
            Some(piece) if piece.is_multiple_of(1 << 10) => {
                write!(f, ", pieces of {} KiB", piece >> 10)
            }
            Some(piece) => write!(f, ", pieces of {piece} bytes"),
            None => Ok(()),
        }
    }
}
