//! Metadata that could not be applied, reported once per reason.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Why some metadata of an entry was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// Only root may change owners.
    Owner,
    /// The user namespace does not map the owner.
    UnmappedOwner,
    /// The root directory belongs to another user.
    ForeignRoot,
    /// An unprivileged user needs access to the directory for the layers above.
    ClosedDirectory,
    /// Privileges of the image's owner must not become privileges of this user.
    SetId,
    /// Only root may create devices.
    Device,
    /// Device 0:0 is a whiteout in an overlay.
    WhiteoutDevice,
    /// Only root may set capabilities.
    Capability,
    /// The attribute controls overlay file systems or is specific to the system that built the image.
    ForeignAttribute,
    /// The file system does not support attributes, or not for this type of file.
    UnsupportedAttribute,
    /// The attribute is too large for the file system, or the file has too many.
    LargeAttribute,
}

impl SkipReason {
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Owner => ("owners", "only root can change owners"),
            Self::UnmappedOwner => ("owners", "this user namespace does not map these ids"),
            Self::ForeignRoot => {
                ("mode, time, owner and attributes", "the directory belongs to another user")
            }
            Self::ClosedDirectory => (
                "closed modes",
                "an overlay's directories stay open to their owner, who is not root",
            ),
            Self::SetId => ("set-user-id and set-group-id bits", "`--preserve` keeps them"),
            Self::Device => ("devices", "only root can create them"),
            Self::WhiteoutDevice => ("devices 0:0", "overlayfs would take them for whiteouts"),
            Self::Capability => ("capabilities", "only root can set them"),
            Self::ForeignAttribute => {
                ("extended attributes", "only user.* and security.capability are kept")
            }
            Self::UnsupportedAttribute => {
                ("extended attributes", "the file system does not support them")
            }
            Self::LargeAttribute => {
                ("extended attributes", "the file system does not support ones this large")
            }
        }
    }
}

/// Metadata that was skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// The reason.
    pub cause: SkipReason,
    /// The number of entries.
    pub entries: u64,
    /// Path of the first one; invalid UTF-8 is replaced.
    pub first: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, reason) = self.cause.text();
        let entries = if self.entries == 1 { "entry" } else { "entries" };
        write!(f, "left out the {what} of {} {entries} ({}", self.entries, self.first)?;
        write!(f, "{}): {reason}", if self.entries == 1 { "" } else { ", …" })
    }
}

#[derive(Debug, Default)]
pub(crate) struct SkipLog(BTreeMap<SkipReason, Skipped>);

impl SkipLog {
    pub(crate) fn note(&mut self, cause: SkipReason, path: &[u8]) {
        let first = || {
            let path = if path.is_empty() { b"/" } else { path };
            Skipped { cause, entries: 0, first: String::from_utf8_lossy(path).into_owned() }
        };
        self.0.entry(cause).or_insert_with(first).entries += 1;
    }

    /// Adds the entries of a later one.
    pub(crate) fn add(&mut self, other: Self) {
        for (cause, left_out) in other.0 {
            let entries = left_out.entries;
            self.0
                .entry(cause)
                .and_modify(|existing| existing.entries += entries)
                .or_insert(left_out);
        }
    }

    pub(crate) fn into_list(self) -> Vec<Skipped> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_reason_is_reported_once() {
        let mut ledger = SkipLog::default();
        ledger.note(SkipReason::SetId, b"bin/su");
        for path in [b"bin/a", b"bin/b"] {
            ledger.note(SkipReason::Owner, path);
        }
        let messages: Vec<_> = ledger.into_list().iter().map(ToString::to_string).collect();
        let expected = [
            "left out the owners of 2 entries (bin/a, …): only root can change owners",
            "left out the set-user-id and set-group-id bits of 1 entry (bin/su): `--preserve` keeps them",
        ];
        assert_eq!(messages, expected);
    }
}
