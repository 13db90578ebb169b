//! Counts every HTTP request sent, by endpoint.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::content::RequestCounts;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::registry) enum RequestKind {
    Manifest,
    Blob,
    Upload,
    Token,
    Other,
}

/// Requests sent so far, including challenges, redirects and retries.
#[derive(Debug, Default)]
pub(in crate::registry) struct RequestCounter {
    manifest: AtomicU64,
    blob: AtomicU64,
    upload: AtomicU64,
    token: AtomicU64,
    other: AtomicU64,
}

impl RequestCounter {
    pub(in crate::registry) fn add(&self, endpoint: RequestKind) {
        self.cell(endpoint).fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back a request that was not sent, because no connection was established.
    pub(in crate::registry) fn remove_unsent(&self, endpoint: RequestKind, error: &reqwest::Error) {
        if error.is_connect() {
            self.cell(endpoint).fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn cell(&self, endpoint: RequestKind) -> &AtomicU64 {
        match endpoint {
            RequestKind::Manifest => &self.manifest,
            RequestKind::Blob => &self.blob,
            RequestKind::Upload => &self.upload,
            RequestKind::Token => &self.token,
            RequestKind::Other => &self.other,
        }
    }

    pub(in crate::registry) fn read(&self) -> RequestCounts {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        RequestCounts {
            manifest: read(&self.manifest),
            blob: read(&self.blob),
            upload: read(&self.upload),
            token: read(&self.token),
            other: read(&self.other),
        }
    }
}
