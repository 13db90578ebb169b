//! A registry over HTTP. Spec: OCI distribution-spec 1.1, and registries as they are.
//!
//! A [`Client`] knows how to reach registries and keeps their connections and tokens; a [`Repository`] is one of their
//! repositories, opened as a [`Source`].

mod auth;
mod blob;
pub mod credentials;
mod delete;
mod foreign;
mod http;
mod link;
mod login;
mod manifest;
mod options;
mod pages;
mod redactor;
mod referrers;
mod scope;
mod send;
mod tags;
mod target;
mod upload;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::Url;

use self::http::certs_dir::HostCerts;
pub use self::http::certs_dir::certs_dirs;
use self::http::connection::Connection;
use self::http::counter::{RequestCounter, RequestKind};
use self::http::hosts::{self, HttpClients};
use self::http::request::Request;
pub use self::login::LoginResult;
pub use self::options::RegistryOptions;
pub use self::redactor::{Redactor, Text};
pub use self::referrers::Referrer;
use self::scope::ScopeSet;
use self::send::Transport;
use crate::content::{
    BlobPresence, BlobRequest, BlobStream, Effort, Endpoint, EndpointKind, Lookup, Presence,
    Provenance, RequestCounts, Source, UploadStore,
};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;
use crate::reference::Reference;
pub use crate::retry::Timeouts;
use crate::secret::Secret;

/// The smallest blob, in bytes, whose upload another run continues.
const MIN_RESUMABLE_UPLOAD: u64 = 1 << 20;

/// Reaches registries; connections, tokens and what was learnt about each are shared by all its repositories.
#[derive(Debug)]
pub struct Client {
    options: Arc<RegistryOptions>,
    transports: Mutex<HashMap<String, Arc<Transport>>>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

impl Client {
    /// A client that has not sent a request yet.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            options: Arc::new(options),
            transports: Mutex::default(),
            endpoints: Mutex::default(),
        }
    }

    /// Opens the repository that this reference is in to read from it, without asking the registry anything.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        self.open(reference, ScopeSet::pull(reference.repository()))
    }

    /// Opens the repository to write to it too, without asking the registry anything.
    pub fn repository_for_push(&self, reference: &Reference) -> Result<Repository> {
        self.open(reference, ScopeSet::push(reference.repository()))
    }

    fn open(&self, reference: &Reference, scopes: ScopeSet) -> Result<Repository> {
        Ok(Repository {
            transport: self.transport(reference.registry())?,
            endpoint: self.endpoint(reference.registry(), reference.repository()),
            name: reference.repository().to_owned(),
            scopes,
            counter: Arc::default(),
            uploads: None,
        })
    }

    /// The facts about a repository; the same object for all its handles.
    fn endpoint(&self, registry: &str, repository: &str) -> Arc<Endpoint> {
        let address = format!("{registry}/{repository}");
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Endpoint {
                location: address.clone(),
                address: Some(address.clone()),
                mount_scope: Some(registry.to_owned()),
                kind: EndpointKind::Remote,
            })
        };
        Arc::clone(endpoints.entry(address.clone()).or_insert_with(new))
    }

    fn transport(&self, registry: &str) -> Result<Arc<Transport>> {
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(registry) {
            return Ok(Arc::clone(transport));
        }
        let tls_files = HostCerts::for_host(registry, &self.options.certs_dirs)?;
        let base = hosts::base_url(registry, &self.options, tls_files.as_ref())?;
        let clients = HttpClients::new(Arc::clone(&self.options), tls_files);
        let transport = Arc::new(Transport::new(Connection::new(
            registry.to_owned(),
            base,
            clients,
            Arc::clone(&self.options),
        )));
        transports.insert(registry.to_owned(), Arc::clone(&transport));
        Ok(transport)
    }
}

/// One repository of a registry; counts the requests made through it. Clones share what they learn.
#[derive(Clone)]
pub struct Repository {
    transport: Arc<Transport>,
    endpoint: Arc<Endpoint>,
    name: String,
    scopes: ScopeSet,
    counter: Arc<RequestCounter>,
    uploads: Option<Arc<dyn UploadStore>>,
}

impl Repository {
    /// All tags, each once, in the registry's order, however many pages they take.
    pub async fn tags(&self) -> Result<Vec<String>> {
        tags::list(self).await
    }

    /// Size of the blob with this digest. Costs a HEAD, and a GET if that does not say it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if it is not there.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Descriptor> {
        blob::stat(self, digest).await
    }

    /// Lets uploads that do not end with this run be continued by another one.
    #[must_use]
    pub fn with_upload_store(mut self, uploads: Arc<dyn UploadStore>) -> Self {
        self.uploads = Some(uploads);
        self
    }

    /// What remembers the upload of this blob; a small one is sent again rather than asked about.
    fn upload_store_for(&self, descriptor: &Descriptor) -> Option<&dyn UploadStore> {
        self.uploads.as_deref().filter(|_| descriptor.size >= MIN_RESUMABLE_UPLOAD)
    }

    fn keep_upload(&self, descriptor: &Descriptor, url: &Url) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.save(self.address(), &descriptor.digest, &Secret::new(url.as_str()));
        }
    }

    fn forget_upload(&self, descriptor: &Descriptor) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.remove(self.address(), &descriptor.digest);
        }
    }

    /// The plainest request on behalf of this repository.
    fn get<'a>(&'a self, endpoint: RequestKind, url: Url, what: &'a str) -> Request<'a> {
        Request::get(endpoint, url, &self.scopes, what, &self.counter)
    }

    /// `registry/repository`
    fn address(&self) -> &str {
        &self.endpoint.location
    }

    fn location_of(&self, path: &str) -> String {
        let separator = if path.contains(':') { '@' } else { ':' };
        format!("{}{separator}{path}", self.address())
    }
}

impl Lookup for Repository {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        Box::pin(async move {
            match effort {
                Effort::Local => Ok(Presence::Unknown),
                Effort::Request => manifest::head(self, name).await,
            }
        })
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        Box::pin(async move {
            Presence::from_result(match effort {
                Effort::Local => return Ok(Presence::Unknown),
                Effort::Request if descriptor.media_type.is_document() => {
                    manifest::read(self, descriptor, limit).await
                }
                Effort::Request => blob::read(self, descriptor, limit).await,
            })
        })
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        Box::pin(async move {
            match effort {
                Effort::Local => Ok(BlobPresence::Unknown),
                Effort::Request => blob::presence(self, descriptor).await,
            }
        })
    }

    fn requests(&self) -> RequestCounts {
        self.counter.read()
    }
}

impl Source for Repository {
    fn resolve<'a>(&'a self, name: &'a ImageName) -> BoxFuture<'a, Result<Document>> {
        Box::pin(manifest::resolve(self, name))
    }

    fn open_blob<'a>(&'a self, request: BlobRequest<'a>) -> BoxFuture<'a, Result<BlobStream>> {
        Box::pin(blob::open(self, request))
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
    ) -> BoxFuture<'a, Result<Presence<Vec<Descriptor>>>> {
        Box::pin(async { Ok(Presence::Present(referrers::list(self, subject, None).await?)) })
    }

    fn provenance<'a>(&'a self, _: &'a Document) -> BoxFuture<'a, Provenance> {
        Box::pin(async {
            Provenance { repositories: vec![self.address().to_owned()], parent_index: None }
        })
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.address()).finish()
    }
}
