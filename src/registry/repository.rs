//! A repository of a registry, and what all of its requests have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

use super::http::counter::{RequestCounter, RequestKind};
use super::http::request::Request;
use super::mirrors::blob_hosts::BlobHosts;
use super::mirrors::files::Mirrors;
use super::mirrors::health::MirrorHealth;
use super::mirrors::host::Capabilities;
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
    pub(super) received: Arc<ReceivedBytes>,
    /// Hosts that are asked before the registry when content is read.
    pub(super) mirrors: Option<Arc<MirrorSet>>,
}

/// The mirrors of one repository.
pub(super) struct MirrorSet {
    /// The registry, as references name it.
    pub(super) registry: String,
    /// The file that lists the mirrors.
    pub(super) file: PathBuf,
    /// In the order in which they are asked.
    pub(super) mirrors: Vec<Mirror>,
    pub(super) blobs: BlobHosts,
    pub(super) files: Mirrors,
}

/// A mirror of one repository.
pub(super) struct Mirror {
    /// The repository there, which counts its requests and bytes together with the registry's.
    pub(super) repository: Repository,
    pub(super) capabilities: Capabilities,
}

impl Mirror {
    /// Its host.
    pub(super) fn name(&self) -> &str {
        &self.repository.transport.http.name
    }

    pub(super) fn health(&self) -> &MirrorHealth {
        &self.repository.transport.mirror_health
    }
}

/// Bytes of blobs that were received, by host.
#[derive(Debug, Default)]
pub(super) struct ReceivedBytes(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl ReceivedBytes {
    /// The counter of a host.
    pub(super) fn of_host(&self, host: &str) -> Arc<AtomicU64> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(host.to_owned()).or_default())
    }

    /// The hosts that gave some.
    pub(super) fn read(&self) -> BTreeMap<String, u64> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = hosts.iter().map(|(host, sum)| (host.clone(), sum.load(Ordering::Relaxed)));
        read.filter(|(_, bytes)| *bytes > 0).collect()
    }
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

    pub(super) fn save_upload(&self, descriptor: &Descriptor, url: &Url) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.save(self.full_name(), &descriptor.digest, &Secret::new(url.as_str()));
        }
    }

    pub(super) fn remove_upload(&self, descriptor: &Descriptor) {
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
