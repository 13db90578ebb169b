//! Formats of layers that are known and not supported, recognized by their first bytes or their media type.

use std::fmt;

/// A known format that rpull does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsupportedFormat {
    /// A compression, by the name of its program.
    CompressedWith(&'static str),
    /// Content that is not a tar.
    NotATar(&'static str),
}

use UnsupportedFormat::{CompressedWith, NotATar};

const SQUASHFS: UnsupportedFormat = NotATar("a squashfs file system");
const EROFS: UnsupportedFormat = NotATar("an erofs file system");
const WASM: UnsupportedFormat = NotATar("a WebAssembly module");

/// Formats by their magic bytes.
const STARTS: [(&[u8], UnsupportedFormat); 12] = [
    (b"\xfd7zXZ\0", CompressedWith("xz")),
    (b"BZh", CompressedWith("bzip2")),
    (b"\x04\x22\x4d\x18", CompressedWith("lz4")),
    (b"\x02\x21\x4c\x18", CompressedWith("lz4")),
    (b"LZIP", CompressedWith("lzip")),
    (b"\x5d\0\0", CompressedWith("lzma")),
    (b"\x1f\x9d", CompressedWith("compress")),
    (b"hsqs", SQUASHFS),
    (b"sqsh", SQUASHFS),
    (b"\0asm", WASM),
    (b"PK\x03\x04", NotATar("a zip archive")),
    (b"7z\xbc\xaf\x27\x1c", NotATar("a 7z archive")),
];

/// Offset of the magic bytes of erofs, and these bytes.
const EROFS_AT: usize = 1024;
const EROFS_MARK: &[u8] = b"\xe2\xe1\xf5\xe0";

/// Bytes at the start of a blob that [`UnsupportedFormat::from_start`] needs.
pub(super) const DETECT_BYTES: usize = EROFS_AT + EROFS_MARK.len();

/// Formats by the part of a media type after its last `+`, `.` or `-`.
const TYPES: [(&str, UnsupportedFormat); 14] = [
    ("xz", CompressedWith("xz")),
    ("bzip2", CompressedWith("bzip2")),
    ("bz2", CompressedWith("bzip2")),
    ("lz4", CompressedWith("lz4")),
    ("lzip", CompressedWith("lzip")),
    ("lz", CompressedWith("lzip")),
    ("lzma", CompressedWith("lzma")),
    ("br", CompressedWith("brotli")),
    ("brotli", CompressedWith("brotli")),
    ("squashfs", SQUASHFS),
    ("erofs", EROFS),
    ("wasm", WASM),
    // Signatures, attestations and SBOMs sometimes have the config of an image.
    ("json", NotATar("a JSON document")),
    ("xml", NotATar("an XML document")),
];

impl UnsupportedFormat {
    /// Recognizes a format by the first bytes of a blob that is not a tar.
    pub(super) fn from_start(start: &[u8]) -> Option<Self> {
        if start.get(EROFS_AT..).is_some_and(|rest| rest.starts_with(EROFS_MARK)) {
            return Some(EROFS);
        }
        STARTS.iter().find(|(mark, _)| start.starts_with(mark)).map(|(_, format)| *format)
    }

    /// Recognizes a format by the media type of a layer.
    pub(crate) fn from_media_type(media_type: &str) -> Option<Self> {
        if media_type.contains(".helm.") {
            return Some(NotATar("a Helm chart"));
        }
        let parts = media_type.split(['+', '.', '-', '/']);
        let format_of =
            |part: &str| TYPES.iter().find(|(name, _)| *name == part).map(|(_, format)| *format);
        parts.rev().find_map(format_of)
    }

    /// The program that decompresses it; `None` if it is not a compression.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            CompressedWith(name) => Some(name),
            NotATar(_) => None,
        }
    }
}

impl fmt::Display for UnsupportedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompressedWith(name) => write!(f, "is compressed with {name}"),
            NotATar(what) => write!(f, "is {what}"),
        }
    }
}

impl std::error::Error for UnsupportedFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_media_types_are_recognized() {
        for (media_type, wanted) in [
            ("application/vnd.oci.image.layer.v1.tar+gzip", None),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", None),
            ("application/vnd.oci.image.layer.v1.tar", None),
            ("application/octet-stream", None),
            ("application/vnd.oci.image.layer.v1.tar+xz", Some(CompressedWith("xz"))),
            ("application/vnd.oci.image.layer.v1.tar+br", Some(CompressedWith("brotli"))),
            ("application/vnd.oci.image.layer.v1.tar+lz4", Some(CompressedWith("lz4"))),
            ("application/vnd.stacker.image.layer.squashfs", Some(SQUASHFS)),
            ("application/vnd.stacker.image.layer.squashfs+zstd+verity", Some(SQUASHFS)),
            ("application/vnd.erofs.layer.v1", Some(EROFS)),
            ("application/vnd.module.wasm.content.layer.v1+wasm", Some(WASM)),
            ("application/wasm", Some(WASM)),
            ("application/vnd.dev.cosign.simplesigning.v1+json", Some(NotATar("a JSON document"))),
            ("application/vnd.in-toto+json", Some(NotATar("a JSON document"))),
            ("text/spdx+xml", Some(NotATar("an XML document"))),
            ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", Some(NotATar("a Helm chart"))),
        ] {
            assert_eq!(UnsupportedFormat::from_media_type(media_type), wanted, "{media_type}");
        }
    }
}
