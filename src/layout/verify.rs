//! Re-hashes the blobs of a layout.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::io::files;
use super::reach::Reachable;
use super::rehash::{RehashResult, rehash};
use super::{IndexEntry, Layout, blobs, journal};
use crate::control::{Control, PhaseCounter};
use crate::digest::{Digest, VERIFIABLE_ALGORITHMS};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::progress::Phase;

/// Result of verifying a layout.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Number of blobs hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Damaged and missing blobs.
    pub bad: Vec<BadBlob>,
}

/// A blob that is damaged, or missing although an image references it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BadBlob {
    /// Its digest.
    pub digest: Digest,
    /// What is wrong with it.
    #[serde(rename = "why")]
    pub reason: String,
    /// Names of the images that reference it.
    pub images: Vec<String>,
    /// Whether it was repaired.
    pub repaired: bool,
}

/// Names of the images that reference each digest.
type ImagesByDigest = BTreeMap<Digest, BTreeSet<String>>;

impl Layout {
    /// Hashes the blobs of these images, or every blob if no name is given.
    ///
    /// Changes nothing, except that damaged blobs no longer count as present, so that the next pull fetches them again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown name, [`ErrorKind::Interrupted`] where it was cancelled.
    pub fn verify(&self, names: &[String], control: &Control) -> Result<VerifyReport> {
        let (digests, users) = self.to_verify(names)?;
        let sizes = digests.iter().map(|digest| blobs::blob_size(self.root(), digest));
        let total = sizes.filter_map(|size| size.ok().flatten()).sum();
        let counter = PhaseCounter::new(control, Phase::Verify, total);
        let mut report = VerifyReport::default();
        let mut doubted = Vec::new();
        for (digest, verdict) in digests.iter().zip(rehash(self.root(), &digests, &counter)?) {
            let why = match verdict {
                RehashResult::Good { size } => {
                    report.blobs += 1;
                    report.bytes += size;
                    continue;
                }
                RehashResult::Bad { size, why } => {
                    report.blobs += 1;
                    report.bytes += size;
                    doubted.push(digest.clone());
                    why
                }
                RehashResult::Absent => "is missing".to_owned(),
            };
            let images =
                users.get(digest).map(|names| names.iter().cloned().collect()).unwrap_or_default();
            report.bad.push(BadBlob {
                digest: digest.clone(),
                reason: why,
                images,
                repaired: false,
            });
        }
        // A user who can only read the store can still verify it.
        if !doubted.is_empty()
            && let Err(error) = journal::mark_suspect(self.root(), doubted)
        {
            tracing::warn!("failed to mark corrupt blobs: {}", error.chain());
        }
        Ok(report)
    }

    /// The digests to hash, and the images that reference each.
    fn to_verify(&self, names: &[String]) -> Result<(Vec<Digest>, ImagesByDigest)> {
        let mut users = ImagesByDigest::new();
        let mut digests = BTreeSet::new();
        for entry in self.chosen(names)? {
            let name = entry.names.first().cloned().unwrap_or_else(|| "<none>".to_owned());
            let reach = Reachable::from_entry(self.root(), &entry);
            for digest in reach.required {
                users.entry(digest.clone()).or_default().insert(name.clone());
                digests.insert(digest);
            }
        }
        if names.is_empty() {
            for algorithm in VERIFIABLE_ALGORITHMS {
                for (path, _) in files(&self.root().join("blobs").join(algorithm))? {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    digests.extend(format!("{algorithm}:{name}").parse::<Digest>());
                }
            }
        }
        Ok((digests.into_iter().collect(), users))
    }

    fn chosen(&self, names: &[String]) -> Result<Vec<IndexEntry>> {
        let mut entries = self.all_entries()?;
        for name in names {
            if !entries.iter().any(|entry| entry.matching_name(name).is_some()) {
                return Err(self.0.not_found(name));
            }
        }
        let is_meant =
            |entry: &IndexEntry| names.iter().any(|name| entry.matching_name(name).is_some());
        entries.retain(|entry| names.is_empty() || is_meant(entry));
        Ok(entries)
    }
}
