//! Limits on what a server or a document can make rpull request, store and follow.
//!
//! Exceeding one is an error that names the limit; lists are never cut silently.

use crate::error::{Error, ErrorKind};

/// Size of I/O buffers in bytes. A larger one would not stay in the processor's cache until it is hashed.
pub(crate) const BUFFER_SIZE: usize = 256 << 10;

/// Maximum bytes of all names in one list.
pub(crate) const MAX_LIST_BYTES: usize = 64 << 20;

/// Maximum entries of one list.
pub(crate) const MAX_LIST_ENTRIES: usize = 1 << 22;

/// Maximum requests for one list or image that return hardly anything new.
pub(crate) const MAX_IDLE_REQUESTS: u64 = 1000;

/// New entries for which a request does not count as idle. It prevents lists of millions with one entry per page.
const MIN_NEW_ENTRIES: usize = 10;

/// Maximum bytes of a repository name. The spec allows 255; some registries allow more.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// Maximum bytes of one page of a list.
pub(crate) const MAX_PAGE_BYTES: u64 = 8 << 20;

/// Maximum challenges answered per request: for a token, a fresh one, and one with another scope.
pub(crate) const MAX_CHALLENGES: usize = 3;

/// Maximum redirects followed per request.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// Maximum depth of nested indexes.
pub(crate) const MAX_INDEX_DEPTH: usize = 8;

/// Maximum indexes below one index. Each costs a request.
pub(crate) const MAX_NESTED_INDEXES: usize = 1000;

/// Maximum depth of referrers of referrers.
pub(crate) const MAX_REFERRER_DEPTH: usize = 8;

/// Maximum referrers and digest tags of one image.
pub(crate) const MAX_REFERRERS: usize = 10_000;

/// Maximum bytes of all documents of one image, referrers included.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// Maximum index entries per image whose platform is read from their config.
pub(crate) const MAX_CONFIG_LOOKUPS: usize = 64;

/// Maximum documents and blobs that all images of a run reference, counted per image.
pub(crate) const MAX_REFERENCED: usize = 1 << 19;

/// Concurrent requests of one command for tags, documents or the presence of blobs. Blobs have `--jobs`.
pub(crate) const CONCURRENT_REQUESTS: usize = 8;

/// What one list has used of its limits.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    entries: usize,
    bytes: usize,
    idle: u64,
}

impl Budget {
    /// Counts a new entry with a name of this length.
    pub(crate) fn entry(&mut self, name_bytes: usize) -> Result<(), Exceeded> {
        self.entries += 1;
        self.bytes += name_bytes;
        if self.entries > MAX_LIST_ENTRIES {
            Err(Exceeded::Entries)
        } else if self.bytes > MAX_LIST_BYTES {
            Err(Exceeded::Bytes)
        } else {
            Ok(())
        }
    }

    /// Counts requests and the new entries that they returned.
    pub(crate) fn requests(&mut self, sent: u64, new_entries: usize) -> Result<(), Exceeded> {
        self.idle += sent.saturating_sub((new_entries / MIN_NEW_ENTRIES) as u64);
        if self.idle > MAX_IDLE_REQUESTS { Err(Exceeded::Requests) } else { Ok(()) }
    }
}

/// The exceeded limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Entries,
    Bytes,
    Requests,
    /// Documents of one tree.
    Count {
        count: usize,
        what: &'static str,
    },
    /// Lists inside lists.
    Depth {
        depth: usize,
        what: &'static str,
    },
}

impl Exceeded {
    fn reason(self) -> String {
        match self {
            Self::Entries => format!("more than {MAX_LIST_ENTRIES} entries"),
            Self::Bytes => format!("more than {} MiB of names", MAX_LIST_BYTES >> 20),
            Self::Requests => {
                format!("more than {MAX_IDLE_REQUESTS} requests without new entries")
            }
            Self::Count { count, what } => format!("more than {count} {what}"),
            Self::Depth { depth, what } => format!("more than {depth} levels of {what}"),
        }
    }

    /// Returns the error for the list `what`.
    pub(crate) fn error(self, what: impl AsRef<str>) -> Error {
        Error::new(ErrorKind::InvalidDocument, what).with_reason(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_exceeded_names_the_limit() {
        let mut budget = Budget::default();
        assert_eq!(budget.entry(MAX_LIST_BYTES), Ok(()));
        assert_eq!(budget.entry(1), Err(Exceeded::Bytes));
        let full = Budget { entries: MAX_LIST_ENTRIES, ..Budget::default() };
        assert_eq!({ full }.entry(1), Err(Exceeded::Entries));
        let error = Exceeded::Requests.error("tags of a");
        assert!(error.to_string().contains("1000 requests"), "{error}");
    }

    #[test]
    fn budget_requests_with_new_entries_are_free() {
        let mut budget = Budget::default();
        for _ in 0..5000 {
            budget.requests(1, MIN_NEW_ENTRIES).unwrap();
        }
        for _ in 0..MAX_IDLE_REQUESTS {
            budget.requests(1, MIN_NEW_ENTRIES - 1).unwrap();
        }
        assert_eq!(budget.requests(1, 0), Err(Exceeded::Requests));
    }
}
