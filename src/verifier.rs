//! Size and digest, counted and hashed while the bytes stream by; the only way to a [`Verified`].

use base64::Engine as _;
use bytes::Bytes;

use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// Proof that some content had the size and digest of its descriptor; committing an ingest asks for it.
#[derive(Clone, Debug)]
pub struct Verified(Descriptor);

impl Verified {
    /// What was verified.
    pub fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

/// A verification in progress: feed it every byte from the first, in order, then ask.
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
    /// [`ErrorKind::Unsupported`] where the digest's algorithm cannot be computed.
    pub fn new(expected: &Descriptor) -> Result<Self> {
        let hasher = Hasher::new(expected.digest.algorithm()?);
        Ok(Self { expected: expected.clone(), hasher, position: 0 })
    }

    /// Bytes fed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] as soon as there are more bytes than the descriptor says.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.check_length(bytes.len())?;
        self.hash(bytes);
        Ok(())
    }

    /// The first half of [`Verifier::update`], for those who have something to do before they hash.
    pub fn check_length(&mut self, length: usize) -> Result<()> {
        self.position += length as u64;
        if self.position <= self.expected.size {
            return Ok(());
        }
        let why = format!("size mismatch: longer than the expected {} bytes", self.expected.size);
        Err(mismatch(&self.expected, why))
    }

    /// The second half of [`Verifier::update`].
    pub fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Compares what was seen with what should have come.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] naming both sizes or both digests.
    pub fn finish(self) -> Result<Verified> {
        if self.position != self.expected.size {
            let why = format!(
                "size mismatch: got {} bytes, expected {}",
                self.position, self.expected.size
            );
            return Err(mismatch(&self.expected, why));
        }
        let found = self.hasher.finish();
        if found != self.expected.digest {
            return Err(mismatch(&self.expected, format!("digest mismatch: got {found}")));
        }
        Ok(Verified(self.expected))
    }
}

/// A hash in progress of content that will only be named at its end.
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

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.seen += bytes.len() as u64;
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.seen
    }

    /// Proves that what was seen is the content of this digest.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] naming both digests.
    pub fn finish(self, digest: &Digest) -> Result<Verified> {
        let media_type = MediaType::from("application/octet-stream");
        let expected = Descriptor::new(media_type, digest.clone(), self.seen);
        Verifier { expected, hasher: self.hasher, position: self.seen }.finish()
    }
}

/// Checks bytes that are already in memory.
pub fn verify(expected: &Descriptor, bytes: &[u8]) -> Result<Verified> {
    let mut checked = Verifier::new(expected)?;
    checked.update(bytes)?;
    checked.finish()
}

/// The content that a descriptor carries in its `data`, only where it verifies; otherwise it must be fetched.
pub fn verified_inline_data(descriptor: &Descriptor) -> Option<(Bytes, Verified)> {
    let data = descriptor.data.as_ref()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).ok()?;
    let proof = verify(descriptor, &bytes).ok()?;
    Some((bytes.into(), proof))
}

fn mismatch(expected: &Descriptor, why: String) -> Error {
    Error::new(ErrorKind::Mismatch, format!("content {}", expected.digest)).with_reason(why)
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
