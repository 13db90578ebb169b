//! Decompresses gzip data of several members.
//!
//! Zeros after the last member are accepted, as by `gzip`: tapes and block devices pad with them. Other data is an
//! error, as for Go's library, which docker and containerd use.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// First byte of a member.
const MAGIC: u8 = 0x1f;

/// The decompressed bytes of all members.
pub(super) struct GzipReader<R> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipReader<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { member: Some(GzDecoder::new(bytes)) }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            self.member = next(member.into_inner())?.map(GzDecoder::new);
        }
        Ok(0)
    }
}

fn unexpected(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Returns the reader if another member follows, `None` at the end.
fn next<R: BufRead>(mut bytes: R) -> io::Result<Option<R>> {
    let mut zeros = false;
    loop {
        let buffer = match bytes.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let length = buffer.len();
        match buffer.iter().position(|&byte| byte != 0) {
            Some(0) if !zeros && buffer.first() == Some(&MAGIC) => return Ok(Some(bytes)),
            Some(0) if !zeros => return Err(unexpected("unexpected data after the gzip data")),
            Some(_) => {
                let reason = "unexpected data after the zeros that follow the gzip data";
                return Err(unexpected(reason));
            }
            None if length == 0 => return Ok(None),
            None => {}
        }
        zeros = true;
        bytes.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;

    #[test]
    fn gzip_trailing_zeros_are_accepted_other_bytes_rejected() {
        let gzip = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let (one, two) = (gzip(b"one"), gzip(b"two"));
        for capacity in [1, 3, 512, 1 << 16] {
            let read = |parts: &[&[u8]]| {
                let blob = parts.concat();
                let mut decompressed = Vec::new();
                let bytes = BufReader::with_capacity(capacity, &blob[..]);
                GzipReader::new(bytes).read_to_end(&mut decompressed).map(|_| decompressed)
            };
            for zeros in [0, 1, 7, 512, 100_000] {
                assert_eq!(read(&[&one, &two, &vec![0; zeros]]).unwrap(), b"onetwo");
                if zeros > 0 {
                    assert!(read(&[&one, &vec![0; zeros], &two]).is_err());
                    assert!(read(&[&one, &vec![0; zeros], b"x"]).is_err());
                }
            }
            // It was reported as an unexpected end of the file.
            let error = read(&[&one, b"junk"]).unwrap_err().to_string();
            assert_eq!(error, "unexpected data after the gzip data");
            assert!(read(&[&one, b"\x1f"]).is_err());
            assert!(read(&[&one[..one.len() - 1]]).is_err());
            assert!(read(&[&one, &two[..two.len() - 1]]).is_err());
        }
    }
}
