//! A registry over HTTP. Spec: OCI distribution-spec 1.1, and the deviations of real registries.
//!
//! A [`Client`] holds the connections and tokens of registries; a [`Repository`] is one repository in them, opened as a
//! [`Source`].

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

/// Smallest blob, in bytes, whose upload a later run resumes.
const MIN_RESUMABLE_UPLOAD: u64 = 1 << 20;

/// A client for any number of registries. Repositories of one registry share its connections, tokens and observed
/// quirks.
#[derive(Debug)]
pub struct Client {
    options: Arc<RegistryOptions>,
    transports: Mutex<HashMap<String, Arc<Transport>>>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

impl Client {
    /// Creates a client; sends nothing.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            options: Arc::new(options),
            transports: Mutex::default(),
            endpoints: Mutex::default(),
        }
    }

    /// Creates a client with the credentials, certificates and proxies that the environment of this process gives; sends
    /// nothing.
    ///
    /// # Errors
    /// As [`RegistryOptions::from_env`].
    pub fn from_env() -> Result<Self> {
        RegistryOptions::from_env().map(Self::new)
    }

    /// Opens the repository of this reference for reading; sends nothing.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        self.open(reference, ScopeSet::pull(reference.repository()))
    }

    /// Opens the repository of this reference for reading and writing; sends nothing.
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

    /// The endpoint of a repository; all its handles share one object.
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

/// One repository of a registry. Counts its requests; clones share the counters.
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
    /// All tags without duplicates, in the registry's order. One request per page.
    pub async fn tags(&self) -> Result<Vec<String>> {
        tags::list(self).await
    }

    /// Size of the blob with this digest. Costs a HEAD, and a GET if that does not contain it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if the registry does not have it.
    pub async fn stat_blob(&self, digest: &Digest) -> Result<Descriptor> {
        blob::stat(self, digest).await
    }

    /// Lets later runs resume uploads that this one does not finish.
    #[must_use]
    pub fn with_upload_store(mut self, uploads: Arc<dyn UploadStore>) -> Self {
        self.uploads = Some(uploads);
        self
    }

    /// The store for the upload session of this blob; `None` if it is too small to be resumed.
    fn upload_store_for(&self, descriptor: &Descriptor) -> Option<&dyn UploadStore> {
        self.uploads.as_deref().filter(|_| descriptor.size >= MIN_RESUMABLE_UPLOAD)
    }

    fn keep_upload(&self, descriptor: &Descriptor, url: &Url) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.save(self.full_name(), &descriptor.digest, &Secret::new(url.as_str()));
        }
    }

    fn forget_upload(&self, descriptor: &Descriptor) {
        if let Some(uploads) = self.upload_store_for(descriptor) {
            uploads.remove(self.full_name(), &descriptor.digest);
        }
    }

    /// A GET on behalf of this repository.
    fn get<'a>(&'a self, endpoint: RequestKind, url: Url, what: &'a str) -> Request<'a> {
        Request::get(endpoint, url, &self.scopes, what, &self.counter)
    }

    /// `registry/repository`
    fn full_name(&self) -> &str {
        &self.endpoint.location
    }

    fn location_of(&self, path: &str) -> String {
        let separator = if path.contains(':') { '@' } else { ':' };
        format!("{}{separator}{path}", self.full_name())
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
            Provenance { repositories: vec![self.full_name().to_owned()], parent_index: None }
        })
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.full_name()).finish()
    }
}
