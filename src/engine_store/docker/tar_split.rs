//! tar-split.json.gz: how the tar of a layer is made of its headers, which the file has, and the files in `diff/`.
//!
//! Written by <https://github.com/vbatts/tar-split>: one JSON object per line.

use std::io::{self, BufRead, BufReader, Read as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::json::Object;
use crate::layer::{Compression, decompress};

/// Longest line: the extended headers of a file, which a layer limits to 1 MiB, in base64.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Largest tar of a layer.
const MAX_TAR_BYTES: u64 = 1 << 40;

/// Some bytes of the tar.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Headers and padding.
    Bytes(Vec<u8>),
    /// The first bytes of a file, by its name in the tar.
    File { name: Vec<u8>, size: u64 },
}

impl Part {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u32,
    name: Option<String>,
    /// A name that is not UTF-8, in base64.
    name_raw: Option<String>,
    #[serde(default)]
    size: u64,
    payload: Option<String>,
}

/// The parts of a tar, in their order.
pub(super) struct TarSplit {
    lines: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    /// Bytes of the tar so far.
    total: u64,
}

impl TarSplit {
    /// Reads the compressed file.
    pub(super) fn new(file: impl io::Read + Send + 'static) -> io::Result<Self> {
        let lines = BufReader::new(decompress(Compression::Gzip, file)?);
        Ok(Self { lines: Box::new(lines), line: Vec::new(), total: 0 })
    }

    /// The next part that is not empty; `None` at the end.
    pub(super) fn next_part(&mut self) -> io::Result<Option<Part>> {
        while let Some(part) = self.read_line()? {
            let size = part.size();
            self.total = self.total.saturating_add(size);
            if self.total > MAX_TAR_BYTES {
                return Err(corrupt(&format!("more than {}", crate::size::size(MAX_TAR_BYTES))));
            }
            if size > 0 {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Reads to the end to learn the size of the tar.
    pub(super) fn tar_size(mut self) -> io::Result<u64> {
        while self.next_part()?.is_some() {}
        Ok(self.total)
    }

    fn read_line(&mut self) -> io::Result<Option<Part>> {
        self.line.clear();
        let lines = &mut self.lines;
        lines.take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.len() as u64 == MAX_LINE_BYTES {
            return Err(corrupt(&format!(
                "a line of more than {}",
                crate::size::size(MAX_LINE_BYTES)
            )));
        }
        let Object(line): Object<Line> =
            serde_json::from_slice(&self.line).map_err(|error| corrupt(&error.to_string()))?;
        let decode = |text: Option<String>| {
            let text = text.unwrap_or_default();
            BASE64_STANDARD.decode(text).map_err(|error| corrupt(&error.to_string()))
        };
        match (line.kind, line.name, line.name_raw) {
            // A file's payload is its checksum; the digest of the layer covers it.
            (1, Some(name), None) => {
                Ok(Some(Part::File { name: name.into_bytes(), size: line.size }))
            }
            (1, None, raw @ Some(_)) => {
                Ok(Some(Part::File { name: decode(raw)?, size: line.size }))
            }
            (2, None, None) => Ok(Some(Part::Bytes(decode(line.payload)?))),
            _ => Err(corrupt(&format!("an entry of type {}", line.kind))),
        }
    }
}

fn corrupt(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("is corrupt: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> io::Result<Vec<Part>> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        let mut split = TarSplit::new(io::Cursor::new(gzip.finish().unwrap()))?;
        let mut parts = Vec::new();
        while let Some(part) = split.next_part()? {
            parts.push(part);
        }
        Ok(parts)
    }

    #[test]
    fn tar_split_lists_headers_and_files() {
        let text = r#"{"type":2,"payload":"aGVhZA==","position":0}
{"type":1,"name":"./a","size":3,"payload":"YUmYEAAAAAA=","position":1}
{"type":1,"name":"dir/","payload":null,"position":2}
{"type":2,"payload":"","position":3}
{"type":1,"name_raw":"/w==","size":1,"payload":"","position":4}
"#;
        let file = |name: &[u8], size| Part::File { name: name.to_vec(), size };
        let parts = [Part::Bytes(b"head".to_vec()), file(b"./a", 3), file(b"\xff", 1)];
        assert_eq!(read(text.as_bytes()).unwrap(), parts);
        assert_eq!(read(b"").unwrap(), []);
    }

    #[test]
    fn tar_split_of_wrong_shape_is_rejected() {
        let huge = r#"{"type":1,"name":"a","size":1099511627777}"#;
        for text in [
            "{",
            "[]",
            r#"{"type":3,"name":"a"}"#,
            r#"{"type":1}"#,
            r#"{"type":1,"name":"a","name_raw":"/w=="}"#,
            r#"{"type":1,"name":"a","size":-1}"#,
            r#"{"type":2,"payload":"!"}"#,
            r#"{"type":2,"name":"a"}"#,
            huge,
            &" ".repeat(5 << 20),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{}", &text[..20.min(text.len())]);
        }
    }

    proptest! {
        #[test]
        fn tar_split_of_arbitrary_bytes_does_not_panic(bytes: Vec<u8>) {
            let _read = read(&bytes);
            let _raw = TarSplit::new(io::Cursor::new(bytes)).and_then(TarSplit::tar_size);
        }
    }
}
