//! Verifies size and digest while bytes are streamed. This is the only way to obtain a [`Verified`].

use base64::Engine as _;
use bytes::Bytes;

use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// Proof that content has the size and digest of its descriptor. Committing an ingest requires it.
#[derive(Clone, Debug)]
pub struct Verified(Descriptor);

impl Verified {
    /// Returns the descriptor of the verified content.
    pub fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

/// A running verification. It receives all bytes in order.
#[derive(Debug)]
pub struct Verifier {
    expected: Descriptor,
    hasher: Hasher,
    position: u64,
}

impl Verifier {
    /// Starts at byte 0.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the digest's algorithm cannot be computed.
    pub fn new(expected: &Descriptor) -> Result<Self> {
        let hasher = Hasher::new(expected.digest.algorithm()?);
        Ok(Self { expected: expected.clone(), hasher, position: 0 })
    }

    /// Returns the number of bytes so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] as soon as there are more bytes than the descriptor states.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_length(bytes.len())?;
        self.hash(bytes);
        Ok(())
    }

    /// The first half of [`Verifier::update`], for callers that do other work before hashing.
    pub fn check_length(&mut self, length: usize) -> Result<()> {
        self.position += length as u64;
        if self.position <= self.expected.size {
            return Ok(());
        }
        let reason =
            format!("size mismatch: longer than the expected {} bytes", self.expected.size);
        Err(mismatch(&self.expected, reason))
    }

    /// The second half of [`Verifier::update`].
    pub fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Compares size and digest with the descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] with both sizes or both digests.
    pub fn finish(self) -> Result<Verified> {
        if self.position != self.expected.size {
            let reason = format!(
                "size mismatch: got {} bytes, expected {}",
                self.position, self.expected.size
            );
            return Err(mismatch(&self.expected, reason));
        }
        let found = self.hasher.finish();
        if found != self.expected.digest {
            return Err(mismatch(&self.expected, format!("digest mismatch: got {found}")));
        }
        Ok(Verified(self.expected))
    }
}

/// A running verification of content whose digest is given only at the end.
#[derive(Clone, Debug)]
pub struct DeferredVerifier {
    hasher: Hasher,
    seen: u64,
}

impl DeferredVerifier {
    /// Starts at byte 0.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { hasher: Hasher::new(algorithm), seen: 0 }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.seen += bytes.len() as u64;
    }

    /// Returns the number of bytes so far.
    pub fn position(&self) -> u64 {
        self.seen
    }

    /// Verifies that the bytes have this digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] with both digests.
    pub fn finish(self, digest: &Digest) -> Result<Verified> {
        let media_type = MediaType::from("application/octet-stream");
        let expected = Descriptor::new(media_type, digest.clone(), self.seen);
        Verifier { expected, hasher: self.hasher, position: self.seen }.finish()
    }
}

/// Verifies bytes in memory.
pub fn verify(expected: &Descriptor, bytes: &[u8]) -> Result<Verified> {
    let mut checked = Verifier::new(expected)?;
    checked.update(bytes)?;
    checked.finish()
}

/// Returns the content in a descriptor's `data` if it verifies. Otherwise it must be fetched.
pub fn verified_inline_data(descriptor: &Descriptor) -> Option<(Bytes, Verified)> {
    let data = descriptor.data.as_ref()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    let proof = verify(descriptor, &bytes).ok()?;
    Some((bytes.into(), proof))
}

fn mismatch(expected: &Descriptor, reason: String) -> Error {
    Error::new(ErrorKind::Mismatch, format!("content {}", expected.digest)).with_reason(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_given_at_end_must_match_bytes() {
        let mut unnamed = DeferredVerifier::new(Algorithm::Sha256);
        unnamed.update(b"ab");
        unnamed.update(b"c");
        assert!(unnamed.clone().finish(&Digest::sha256(b"abd")).is_err());
        let proof = unnamed.finish(&Digest::sha256(b"abc")).unwrap();
        assert_eq!(proof.descriptor().size, 3);
    }

    #[test]
    fn verify_accepts_any_split_and_rejects_wrong_bytes() {
        let bytes = b"one layer of an image";
        let descriptor = Descriptor::for_bytes(MediaType::from("x/y"), bytes);
        for split in 0..=bytes.len() {
            let mut checked = Verifier::new(&descriptor).unwrap();
            checked.update(&bytes[..split]).unwrap();
            checked.update(&bytes[split..]).unwrap();
            assert!(checked.finish().is_ok());
        }
        for wrong in [&bytes[1..], b"one layer of an imagE", b"one layer of an image "] {
            assert_eq!(verify(&descriptor, wrong).unwrap_err().kind(), ErrorKind::Mismatch);
        }
    }

    #[test]
    fn inline_data_is_used_only_if_verified() {
        let inline =
            |descriptor: &Descriptor| verified_inline_data(descriptor).map(|(bytes, _)| bytes);
        let mut empty = Descriptor::for_bytes(MediaType::OCI_CONFIG, b"{}");
        assert_eq!(inline(&empty), None);
        empty.data = Some("e30=".into());
        assert_eq!(inline(&empty).as_deref(), Some(&b"{}"[..]));
        for wrong in ["W10=", "e30", "e30gIA==", "!"] {
            empty.data = Some(wrong.into());
            assert_eq!(inline(&empty), None, "{wrong}");
        }
    }
}
