//! Limits on what a server, or the author of a document, can make rpull request, store and follow.
//!
//! One budget for every kind of list: it ends with an error that names the limit, never with a shorter list.

use crate::error::{Error, ErrorKind};

/// Bytes of a buffer between two files, or a file and a stream: more would fall out of the processor's cache before they
/// are hashed.
pub(crate) const BUFFER_SIZE: usize = 256 << 10;

/// Bytes of all names of one list together.
pub(crate) const MAX_LIST_BYTES: usize = 64 << 20;

/// Entries of one list.
pub(crate) const MAX_LIST_ENTRIES: usize = 1 << 22;

/// Requests on behalf of one list, or of one image, that bring next to nothing new.
pub(crate) const MAX_IDLE_REQUESTS: u64 = 1000;

/// New entries that make a request worth its while: pages of one entry each are no way to list millions.
const MIN_NEW_ENTRIES: usize = 10;

/// Bytes of one repository's name. The spec has 255 for all of it; some registries allow a little more.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

/// Bytes of one page of a list.
pub(crate) const MAX_PAGE_BYTES: u64 = 8 << 20;

/// Challenges that one request answers: for a token, for a fresh one, for one with another scope.
pub(crate) const MAX_CHALLENGES: usize = 3;

/// Redirects that one request follows.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// Indexes inside indexes that are followed.
pub(crate) const MAX_INDEX_DEPTH: usize = 8;

/// Indexes below one index, each of which costs a request.
pub(crate) const MAX_NESTED_INDEXES: usize = 1000;

/// Referrers of referrers, and so on, that are followed.
pub(crate) const MAX_REFERRER_DEPTH: usize = 8;

/// What may belong to one image.
pub(crate) const MAX_REFERRERS: usize = 10_000;

/// Bytes of all documents of one image together, and of what belongs to it.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// Entries without a platform, of all indexes of one image together, whose config is looked into for it.
pub(crate) const MAX_CONFIG_LOOKUPS: usize = 64;

/// Documents and blobs that all images of a run name together, each image's counted.
pub(crate) const MAX_NAMED: usize = 1 << 19;

/// What one list has used up.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    entries: usize,
    bytes: usize,
    idle: u64,
}

impl Budget {
    /// Counts a new entry whose name is so long.
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

    /// Counts so many requests, which brought so many new entries together.
    pub(crate) fn requests(&mut self, sent: u64, new_entries: usize) -> Result<(), Exceeded> {
        self.idle += sent.saturating_sub((new_entries / MIN_NEW_ENTRIES) as u64);
        if self.idle > MAX_IDLE_REQUESTS { Err(Exceeded::Requests) } else { Ok(()) }
    }
}

/// The limit that a list ran into.
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
    fn why(self) -> String {
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

    /// The error of the list that is told as `what`.
    pub(crate) fn error(self, what: impl AsRef<str>) -> Error {
        Error::new(ErrorKind::InvalidDocument, what).with_reason(self.why())
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
