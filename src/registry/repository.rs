//! A repository of a registry, and what all of its requests have in common.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use super::http::counter::{RequestCounter, RequestKind};
use super::http::request::Request;
use super::scope::ScopeSet;
use super::send::Transport;
use crate::content::{Endpoint, UploadStore};
use crate::descriptor::Descriptor;
use crate::secret::Secret;

/// Smallest blob, in bytes, whose upload a later run resumes.
const MIN_RESUMABLE_UPLOAD: u64 = 1 << 20;

/// One repository of a registry. Counts its requests; clones share the counters.
#[derive(Clone)]
pub struct Repository {
    pub(super) transport: Arc<Transport>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) name: String,
    pub(super) scopes: ScopeSet,
    pub(super) counter: Arc<RequestCounter>,
    pub(super) uploads: Option<Arc<dyn UploadStore>>,
}

impl Repository {
    /// Lets later runs resume uploads that this one does not finish.
    #[must_use]
    pub fn with_upload_store(mut self, uploads: Arc<dyn UploadStore>) -> Self {
        self.uploads = Some(uploads);
        self
    }

    /// The store for the upload session of this blob; `None` if it is too small to be resumed.
    pub(super) fn upload_store_for(&self, descriptor: &Descriptor) -> Option<&dyn UploadStore> {
        self.uploads.as_deref().filter(|_| descriptor.size >= MIN_RESUMABLE_UPLOAD)
    }

    pub(super) fn keep_upload(&self, descriptor: &Descriptor, url: &Url) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.save(self.full_name(), &descriptor.digest, &Secret::new(url.as_str()));
        }
    }

    pub(super) fn forget_upload(&self, descriptor: &Descriptor) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.remove(self.full_name(), &descriptor.digest);
        }
    }

    /// A GET on behalf of this repository.
    pub(super) fn get<'a>(&'a self, endpoint: RequestKind, url: Url, what: &'a str) -> Request<'a> {
        Request::get(endpoint, url, &self.scopes, what, &self.counter)
    }

    /// `registry/repository`
    pub(super) fn full_name(&self) -> &str {
        &self.endpoint.location
    }

    pub(super) fn location_of(&self, path: &str) -> String {
        let separator = if path.contains(':') { '@' } else { ':' };
        format!("{}{separator}{path}", self.full_name())
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.full_name()).finish()
    }
}
