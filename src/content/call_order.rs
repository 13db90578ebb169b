//! Checks of the call order that all backends share: content before manifests, nothing after `finish`.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result};

/// Content that a document references and that must exist before it, as far as a target can tell: all blobs of a
/// manifest except foreign layers, and at least one manifest of an index, because an index may be stored with some of
/// its platforms.
///
/// # Errors
/// The first error of `is_there`.
pub fn missing_content(
    document: &Document,
    is_there: impl Fn(&Descriptor) -> Result<bool>,
) -> Result<Vec<Digest>> {
    let mut missing = Vec::new();
    if let ParsedDocument::Index(_) = document.parsed() {
        for child in document.children() {
            if is_there(child)? {
                return Ok(Vec::new());
            }
            missing.push(child.digest.clone());
        }
        return Ok(missing);
    }
    for blob in document.blobs().filter(|blob| !blob.is_foreign()) {
        if !is_there(blob)? {
            missing.push(blob.digest.clone());
        }
    }
    Ok(missing)
}

/// Refuses a document whose content is missing.
pub(crate) fn check_content(
    document: &Document,
    location: &str,
    is_there: impl Fn(&Descriptor) -> Result<bool>,
) -> Result<()> {
    let missing = missing_content(document, is_there)?;
    if missing.is_empty() {
        return Ok(());
    }
    let listed = missing.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ");
    Err(Error::new(ErrorKind::MissingBlobs, format!("manifest {}", document.digest()))
        .at(location)
        .with_reason(format!("content that it names is missing: {listed}"))
        .with_missing(missing))
}

/// Refuses calls of a [`TargetWriter`](super::TargetWriter) after `finish`.
#[derive(Debug, Default)]
pub(crate) struct FinishGuard(AtomicBool);

impl FinishGuard {
    /// # Errors
    /// [`ErrorKind::Unsupported`] after `finish`.
    pub(crate) fn check(&self, location: &str) -> Result<()> {
        if self.0.load(Ordering::Acquire) { Err(Self::refusal(location)) } else { Ok(()) }
    }

    /// Records that the run has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] the second time.
    pub(crate) fn finish(&self, location: &str) -> Result<()> {
        if self.0.swap(true, Ordering::AcqRel) { Err(Self::refusal(location)) } else { Ok(()) }
    }

    fn refusal(location: &str) -> Error {
        Error::new(ErrorKind::Unsupported, "write").at(location).with_reason("the run is finished")
    }
}
