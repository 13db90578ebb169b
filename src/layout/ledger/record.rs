//! One line of a ledger.

use serde::{Deserialize, Serialize};

use super::utc_time::UtcTime;
use crate::digest::Digest;

/// What a run moved for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerRecord {
    /// When the run ended.
    pub time: UtcTime,
    /// Identifies the run: its images share it.
    pub run: String,
    /// The command: `pull`, `push`, `copy` and so on.
    pub command: String,
    /// Location of the source, for people.
    pub source: String,
    /// Location of the target, for people.
    pub target: String,
    /// Full reference of the image.
    pub reference: String,
    /// `registry/repository` of the source, else of the target; `None` if neither is a registry.
    pub repository: Option<String>,
    /// Digest that the name resolved to; `None` if it was not resolved.
    pub digest: Option<Digest>,
    /// Sums over the blobs of the image.
    pub bytes: LedgerBytes,
    /// Number of HTTP requests.
    pub requests: u64,
    /// Duration of the whole run, the same in all its records.
    pub elapsed_ms: u64,
    /// Kind of the error, if the image failed ([`ErrorKind::name`](crate::error::ErrorKind::name)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl LedgerRecord {
    /// The registry of [`LedgerRecord::repository`].
    pub fn registry(&self) -> Option<&str> {
        self.repository.as_deref()?.split('/').next()
    }
}

/// Sums in bytes over the blobs of one image, as in the report of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerBytes {
    /// Sizes of all blobs.
    pub total: u64,
    /// Moved in this run, and kept.
    pub transferred: u64,
    /// Kept from an earlier run.
    pub resumed: u64,
    /// Mounted from another repository of the target's registry.
    pub mounted: u64,
    /// Already at the target.
    pub shared: u64,
    /// Moved in this run, and discarded.
    pub resent: u64,
    /// Not at the target when the run ended.
    #[serde(default)]
    pub missing: u64,
    /// Rebuilt from layers of the target and deltas.
    #[serde(default)]
    pub rebuilt: u64,
    /// Moved in this run for deltas.
    #[serde(default)]
    pub delta_bytes: u64,
    /// Those of them that did not fit.
    #[serde(default)]
    pub delta_wasted: u64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pull that transferred some bytes and shared twice as many.
    pub(in super::super) fn pull(time: &str, repository: &str, transferred: u64) -> LedgerRecord {
        let shared = transferred * 2;
        LedgerRecord {
            time: time.parse().unwrap(),
            run: format!("run of {time}"),
            command: "pull".into(),
            source: repository.into(),
            target: "oci:/store".into(),
            reference: format!("{repository}:1"),
            repository: Some(repository.into()),
            digest: Some(Digest::sha256(b"x")),
            bytes: LedgerBytes {
                total: transferred + shared,
                transferred,
                shared,
                ..LedgerBytes::default()
            },
            requests: 3,
            elapsed_ms: 500,
            error: None,
        }
    }

    #[test]
    fn record_registry_is_host_of_repository() {
        let record = pull("2026-11-28T02:12:20Z", "h:5000/team/app", 1);
        assert_eq!(record.registry(), Some("h:5000"));
        let local = LedgerRecord { repository: None, ..record };
        assert_eq!(local.registry(), None);
    }
}
