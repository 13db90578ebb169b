//! Re-hashes the blobs of a layout, and checks what its images say about them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::needed::NeededContent;
use super::rehash::{RehashResult, rehash};
use super::{Layout, blobs, diff_ids, journal};
use crate::control::{Control, PhaseCounter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::progress::Phase;
use crate::setters::setters;

/// Options of [`Layout::verify_with`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// Names of the images whose blobs to check; all blobs if it is empty.
    pub names: Vec<String>,
    /// Record in the layout which layers match their `diff_id`, so that they are not decompressed the next time.
    pub record_diff_ids: bool,
}

impl VerifyOptions {
    setters! {
        value names: Vec<String>;
        flag record_diff_ids;
    }
}

/// Result of verifying a layout.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Number of blobs hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that are damaged, missing, or not what an image says, by digest.
    pub bad: Vec<BadBlob>,
}

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobFault {
    /// Its bytes do not have its digest.
    Corrupt,
    /// It does not exist, although an image needs it.
    Missing,
    /// Its bytes have its digest, and contradict the image. Other bytes cannot help.
    Invalid,
}

/// A blob that is damaged, missing although an image references it, or not what the image says.
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
    /// Why it could not be repaired, if that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_repaired: Option<String>,
    /// What kind of fault it is.
    #[serde(skip)]
    pub fault: BlobFault,
    /// The descriptor in an image; `None` if no image references it.
    #[serde(skip)]
    pub descriptor: Option<Descriptor>,
    /// Each `registry/repository` that an image with it came from, latest first.
    #[serde(skip)]
    pub origins: Vec<String>,
}

impl BadBlob {
    /// A blob that no image is known to reference.
    pub fn new(digest: Digest, fault: BlobFault, reason: String) -> Self {
        Self {
            digest,
            reason,
            images: Vec::new(),
            repaired: false,
            not_repaired: None,
            fault,
            descriptor: None,
            origins: Vec::new(),
        }
    }
}

/// The first fault that was found of each blob.
#[derive(Default)]
struct Faults(BTreeMap<Digest, (BlobFault, String)>);

impl Faults {
    fn add(&mut self, digest: &Digest, fault: BlobFault, reason: String) {
        self.0.entry(digest.clone()).or_insert((fault, reason));
    }

    fn has(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }
}

impl Layout {
    /// [`Layout::verify_with`] these names, without a record.
    pub fn verify(&self, names: &[String], control: &Control) -> Result<VerifyReport> {
        self.verify_with(&VerifyOptions::default().names(names.to_vec()), control)
    }

    /// Hashes the blobs of these images, or every blob if no name is given, on all cores. Checks that what the images need
    /// exists in the right size, that documents can be read, and that layers match the `diff_id`s of their configs.
    ///
    /// Changes nothing, except for the record, and that damaged blobs no longer count as present, so that the next pull
    /// fetches them again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown name, [`ErrorKind::Interrupted`] where it was cancelled.
    pub fn verify_with(&self, options: &VerifyOptions, control: &Control) -> Result<VerifyReport> {
        let needed = NeededContent::read(self, &self.chosen_entries(&options.names)?);
        let digests = self.to_verify(&needed, options.names.is_empty())?;
        let recorded = diff_ids::recorded(self);
        let pairs: Vec<_> =
            needed.images.values().map(|image| diff_ids::layer_pairs(self, image)).collect();
        let open: BTreeSet<_> = pairs
            .iter()
            .flatten()
            .flatten()
            .filter(|pair| pair.0 != pair.1 && !recorded.contains(*pair))
            .cloned()
            .collect();
        let size =
            |digest| blobs::blob_size(self.root(), digest).ok().flatten().unwrap_or_default();
        let total = digests.iter().chain(open.iter().map(|(layer, _)| layer)).map(size).sum();
        let counter = PhaseCounter::new(control, Phase::Verify, total);
        let (mut report, mut faults) = (VerifyReport::default(), Faults::default());
        self.check_bytes(&digests, &needed, &counter, &mut report, &mut faults)?;
        for (digest, reason) in &needed.unreadable {
            faults.add(digest, BlobFault::Invalid, reason.clone());
        }
        for (image, pairs) in needed.images.values().zip(&pairs) {
            if let Err(reason) = pairs {
                faults.add(&image.config.digest, BlobFault::Invalid, reason.clone());
            }
        }
        // The diff_id of damaged bytes says nothing.
        let open = open.into_iter().filter(|(layer, _)| !faults.has(layer)).collect();
        let (right, wrong) = diff_ids::check(self, &open, &counter)?;
        for (digest, reason) in wrong {
            faults.add(&digest, BlobFault::Invalid, reason);
        }
        if options.record_diff_ids && !right.is_empty() {
            let mut all = recorded;
            all.extend(right);
            all.retain(|(layer, _)| {
                blobs::blob_size(self.root(), layer).is_ok_and(|s| s.is_some())
            });
            diff_ids::record(self, &all);
        }
        report.bad = faults.0.into_iter().map(|fault| bad_blob(fault, &needed)).collect();
        Ok(report)
    }

    /// The digests to hash, the largest blobs first.
    fn to_verify(&self, needed: &NeededContent, all: bool) -> Result<Vec<Digest>> {
        let mut digests: BTreeMap<Digest, u64> = BTreeMap::new();
        for digest in needed.blobs.keys() {
            let size = blobs::blob_size(self.root(), digest).ok().flatten();
            digests.insert(digest.clone(), size.unwrap_or_default());
        }
        if all {
            digests.extend(self.all_blobs()?.into_iter().map(|blob| (blob.digest, blob.size)));
        }
        let mut digests: Vec<_> = digests.into_iter().collect();
        digests.sort_by_key(|(_, size)| Reverse(*size));
        Ok(digests.into_iter().map(|(digest, _)| digest).collect())
    }

    /// Hashes the blobs and compares their sizes.
    fn check_bytes(
        &self,
        digests: &[Digest],
        needed: &NeededContent,
        counter: &PhaseCounter,
        report: &mut VerifyReport,
        faults: &mut Faults,
    ) -> Result<()> {
        let mut corrupt = Vec::new();
        for (digest, result) in digests.iter().zip(rehash(self.root(), digests, counter)?) {
            match result {
                RehashResult::Good { size } => {
                    report.blobs += 1;
                    report.bytes += size;
                    let sizes = needed.blobs.get(digest).map(|blob| &blob.sizes);
                    if let Some(other) = sizes.and_then(|sizes| sizes.iter().find(|s| **s != size))
                    {
                        let reason = format!("size mismatch: expected {other} bytes, got {size}");
                        faults.add(digest, BlobFault::Invalid, reason);
                    }
                }
                RehashResult::Bad { size, reason: why } => {
                    report.blobs += 1;
                    report.bytes += size;
                    corrupt.push(digest.clone());
                    faults.add(digest, BlobFault::Corrupt, why);
                }
                RehashResult::Absent => {
                    faults.add(digest, BlobFault::Missing, "is missing".to_owned());
                }
            }
        }
        // A user who can only read the store can still verify it.
        if !corrupt.is_empty()
            && let Err(error) = journal::mark_suspect(self.root(), corrupt)
        {
            tracing::warn!("failed to mark corrupt blobs: {}", error.chain());
        }
        Ok(())
    }
}

fn bad_blob(
    (digest, (fault, reason)): (Digest, (BlobFault, String)),
    needed: &NeededContent,
) -> BadBlob {
    let user = needed.blobs.get(&digest);
    let bad = BadBlob::new(digest, fault, reason);
    let Some(user) = user else { return bad };
    BadBlob {
        images: user.images.iter().cloned().collect(),
        descriptor: Some(user.descriptor.clone()),
        origins: user.origins.clone(),
        ..bad
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::LayoutOptions;
    use super::super::generated::write_blob;
    use super::*;

    /// The reasons of a layout with one image: its layer has this many bytes more in the manifest than on disk.
    fn reasons(surplus: u64, config: &Value) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path(), LayoutOptions::default()).unwrap();
        let tar = "application/vnd.oci.image.layer.v1.tar";
        let mut layer = write_blob(dir.path(), tar, b"not a tar, but that is no matter here");
        layer["size"] = json!(layer["size"].as_u64().unwrap() + surplus);
        let config = config.to_string();
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = write_blob(dir.path(), kind, config.as_bytes());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]}).to_string();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let mut entry = write_blob(dir.path(), kind, manifest.as_bytes());
        entry["annotations"] = json!({"io.containerd.image.name": "r/a:1"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        std::fs::write(dir.path().join("index.json"), index).unwrap();
        let report = layout.verify(&[], &Control::default()).unwrap();
        assert_eq!(report.blobs, 3);
        report.bad.into_iter().map(|bad| format!("{}: {}", bad.images[0], bad.reason)).collect()
    }

    #[test]
    fn verify_compares_sizes_and_diff_ids_of_manifest() {
        let config = |diff_ids: Value| json!({"rootfs": {"diff_ids": diff_ids}});
        for config in [config(json!([])), json!({})] {
            assert_eq!(reasons(0, &config), ["r/a:1: has no diff_ids for 1 layer"]);
        }
        let layer = Digest::sha256(b"not a tar, but that is no matter here");
        assert_eq!(reasons(0, &config(json!([layer]))), Vec::<String>::new());
        assert_eq!(
            reasons(2, &config(json!([layer]))),
            ["r/a:1: size mismatch: expected 39 bytes, got 37"]
        );
        assert_eq!(
            reasons(0, &config(json!([layer, layer]))),
            ["r/a:1: has 2 diff_ids for 1 layer"]
        );
        let other = Digest::sha256(b"other");
        let found = reasons(0, &config(json!([other])));
        assert_eq!(
            found,
            [format!("r/a:1: diff_id mismatch: the config has {other}, got {layer}")]
        );
        assert!(reasons(0, &json!({"rootfs": 1}))[0].contains("image config"));
    }
}
