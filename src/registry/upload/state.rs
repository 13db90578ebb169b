//! State shared by the uploads of one run: redirects and refused mounts.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::location::UploadLocation;
use crate::digest::Digest;

#[derive(Default)]
pub(in crate::registry) struct UploadState {
    /// Upload locations from redirects whose bytes are not sent yet.
    redirects: Mutex<HashMap<Digest, UploadLocation>>,
    /// Repositories from which the registry does not mount, or not for this user.
    refused_mounts: Mutex<HashSet<String>>,
}

impl UploadState {
    pub(super) fn redirect(&self, digest: &Digest, location: UploadLocation) {
        let mut redirects = self.redirects.lock().unwrap_or_else(PoisonError::into_inner);
        redirects.insert(digest.clone(), location);
    }

    /// Whether the bytes of this blob go to a redirected location next.
    pub(in crate::registry) fn is_redirected(&self, digest: &Digest) -> bool {
        self.redirects.lock().unwrap_or_else(PoisonError::into_inner).contains_key(digest)
    }

    /// Takes the redirected location of this blob, if any.
    pub(super) fn take_redirect(&self, digest: &Digest) -> Option<UploadLocation> {
        self.redirects.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)
    }

    pub(super) fn refuse_mounts(&self, from: &str) {
        let mut refused = self.refused_mounts.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(from.to_owned());
    }

    pub(super) fn refuses_mounts(&self, from: &str) -> bool {
        self.refused_mounts.lock().unwrap_or_else(PoisonError::into_inner).contains(from)
    }
}
