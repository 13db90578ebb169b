//! Counts every HTTP request sent, by endpoint.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::content::Requests;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Manifest,
    Blob,
    Upload,
    Token,
    Other,
}

/// Requests sent so far; answered 401, redirect hops and repeats included.
#[derive(Debug, Default)]
pub(super) struct Counter {
    manifest: AtomicU64,
    blob: AtomicU64,
    upload: AtomicU64,
    token: AtomicU64,
    other: AtomicU64,
}

impl Counter {
    pub(super) fn add(&self, endpoint: Endpoint) {
        let cell = match endpoint {
            Endpoint::Manifest => &self.manifest,
            Endpoint::Blob => &self.blob,
            Endpoint::Upload => &self.upload,
            Endpoint::Token => &self.token,
            Endpoint::Other => &self.other,
        };
        cell.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Requests {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Requests {
            manifest: read(&self.manifest),
            blob: read(&self.blob),
            upload: read(&self.upload),
            token: read(&self.token),
            other: read(&self.other),
        }
    }
}
