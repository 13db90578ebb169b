//! Hashes a layout again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::prune::files;
use super::reach::Reachable;
use super::rehash::{ByteProgress, RehashResult, rehash};
use super::{IndexEntry, Layout, journal};
use crate::digest::Digest;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;

/// What was hashed and found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub bad: Vec<BadBlob>,
}

/// A blob that is damaged, or missing although an image needs it.
#[derive(Clone, Debug, Serialize)]
pub struct BadBlob {
    /// Its digest.
    pub digest: Digest,
    /// What is wrong with it.
    #[serde(rename = "why")]
    pub reason: String,
    /// Names of the images that need it.
    pub images: Vec<String>,
    /// Whether it was put right.
    pub repaired: bool,
}

/// Names of the images that need each digest.
type ImagesByDigest = BTreeMap<Digest, BTreeSet<String>>;

impl Layout {
    /// Bytes of everything that [`Layout::verify`] will read for these names, all where there are none.
    pub fn verify_size(&self, names: &[String]) -> Result<u64> {
        let (all, _) = self.to_verify(names)?;
        let mut sum = 0;
        for digest in &all {
            sum += super::blobs::blob_size(self.root(), digest).ok().flatten().unwrap_or(0);
        }
        Ok(sum)
    }

    /// Hashes what these images need, or every blob where no name is given.
    ///
    /// Nothing is changed but this: what is damaged no longer counts as there, so that the next pull fetches it again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that is not there, [`ErrorKind::Interrupted`] where `watch` said to stop.
    pub fn verify(&self, names: &[String], watch: ByteProgress<'_>) -> Result<VerifyReport> {
        let (digests, users) = self.to_verify(names)?;
        let mut report = VerifyReport::default();
        let mut doubted = Vec::new();
        for (digest, verdict) in digests.iter().zip(rehash(self.root(), &digests, watch)?) {
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
        // Whoever may only read a store can check it all the same.
        if !doubted.is_empty()
            && let Err(error) = journal::mark_suspect(self.root(), doubted)
        {
            tracing::warn!("what is damaged still counts as there: {}", error.chain());
        }
        Ok(report)
    }

    /// What to hash, and which images need each.
    fn to_verify(&self, names: &[String]) -> Result<(Vec<Digest>, ImagesByDigest)> {
        let mut users = ImagesByDigest::new();
        let mut digests = BTreeSet::new();
        for entry in self.chosen(names)? {
            let name = entry.names.first().cloned().unwrap_or_else(|| "<none>".to_owned());
            let reach = Reachable::from_entry(self.root(), &entry)?;
            for digest in reach.required {
                users.entry(digest.clone()).or_default().insert(name.clone());
                digests.insert(digest);
            }
        }
        if names.is_empty() {
            for algorithm in ["sha256", "sha512"] {
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
