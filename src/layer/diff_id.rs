//! Computes the digest of the uncompressed layer while it is read.

use std::io::{self, BufRead, BufReader, Read};

use super::decompress::{BombGuard, decompress_detected};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits::BUFFER_SIZE;

/// A reader that hashes all bytes read through it.
#[derive(Debug)]
pub struct DiffIdReader<R> {
    reader: R,
    hasher: Hasher,
    /// Bytes at the start of the reader's buffer that are hashed and not consumed yet.
    hashed: usize,
    position: u64,
}

impl<R: BufRead> DiffIdReader<R> {
    /// Hashes with SHA-256.
    pub fn new(reader: R) -> Self {
        Self::with_algorithm(Algorithm::Sha256, reader)
    }

    /// Hashes with another algorithm, that of the expected digest.
    pub fn with_algorithm(algorithm: Algorithm, reader: R) -> Self {
        Self { reader, hasher: Hasher::new(algorithm), hashed: 0, position: 0 }
    }

    /// Bytes hashed so far, including those that are buffered and not consumed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The digest of all bytes read; the `diff_id` after reading to the end.
    pub fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl<R: BufRead> BufRead for DiffIdReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.reader.fill_buf()?;
        // The whole buffer at once, while it is in the processor's cache.
        if let Some(new) = buffer.get(self.hashed..).filter(|new| !new.is_empty()) {
            self.hasher.update(new);
            self.position += new.len() as u64;
            self.hashed = buffer.len();
        }
        Ok(buffer)
    }

    fn consume(&mut self, amount: usize) {
        self.hashed = self.hashed.saturating_sub(amount);
        self.reader.consume(amount);
    }
}

impl<R: BufRead> Read for DiffIdReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// Decompresses a layer to its end, and returns the digest of what comes out: its `diff_id`.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for a compression that is not read, [`io::ErrorKind::InvalidData`] for damage and bombs.
pub fn diff_id_of(layer: impl Read + Send, algorithm: Algorithm) -> io::Result<Digest> {
    let inside = decompress_detected(&BombGuard::default(), layer)?;
    let buffered = BufReader::with_capacity(BUFFER_SIZE, inside);
    let mut reader = DiffIdReader::with_algorithm(algorithm, buffered);
    loop {
        match reader.fill_buf()?.len() {
            0 => return Ok(reader.finish()),
            read => reader.consume(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_id_is_independent_of_read_sizes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for step in [1, 3, 600, 6000] {
            let mut reader = DiffIdReader::new(BufReader::with_capacity(512, &bytes[..]));
            let mut into = vec![0; step];
            while reader.fill_buf().unwrap().len().min(reader.fill_buf().unwrap().len()) > 0 {
                assert!(reader.read(&mut into).unwrap() > 0);
            }
            assert_eq!(reader.position(), 5000);
            assert_eq!(reader.finish(), Digest::sha256(&bytes));
        }
    }
}
