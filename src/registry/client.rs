//! The client: connections, tokens and observed quirks of registries, which their repositories share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::http::certs_dir::HostCerts;
use super::http::connection::Connection;
use super::http::hosts::{self, HttpClients};
use super::http::limiter::Limiters;
use super::http::origin::Origin;
use super::mirrors::blob_hosts::BlobHosts;
use super::mirrors::host::ContentHost;
use super::options::RegistryOptions;
use super::repository::{Mirror, MirrorSet, Repository};
use super::scope::ScopeSet;
use super::send::Transport;
use crate::content::Endpoint;
use crate::error::Result;
use crate::reference::Reference;

/// A client for any number of registries. Repositories of one registry share its connections, tokens and observed
/// quirks.
#[derive(Debug)]
pub struct Client {
    options: Arc<RegistryOptions>,
    limiters: Arc<Limiters>,
    transports: Mutex<HashMap<String, Arc<Transport>>>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

impl Client {
    /// Creates a client; sends nothing.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            limiters: Arc::new(Limiters::new(&options)),
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

    /// Opens the repository of this reference for reading, also from mirrors; sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) if a file with mirrors is wrong,
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) if it blocks the registry.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        let hosts = self.options.mirrors.hosts(reference)?;
        self.warn_insecure(hosts.mirrors.iter().chain([&hosts.registry]), &hosts.file);
        let mut repository = self.open(&hosts.registry, reference, ScopeSet::pull)?;
        if hosts.mirrors.is_empty() {
            return Ok(repository);
        }
        let mirrors = hosts.mirrors.iter().map(|host| {
            let mut mirror = self.open(host, reference, ScopeSet::pull)?;
            let origin = mirror.transport.http.origin()?;
            mirror.endpoint = self.endpoint(&host.name, &host.repository, &origin);
            mirror.counter = Arc::clone(&repository.counter);
            mirror.received = Arc::clone(&repository.received);
            Ok(Mirror { repository: mirror, capabilities: host.capabilities })
        });
        repository.mirrors = Some(Arc::new(MirrorSet {
            registry: reference.registry().to_owned(),
            mirrors: mirrors.collect::<Result<_>>()?,
            file: hosts.file,
            blobs: BlobHosts::default(),
            files: self.options.mirrors.clone(),
        }));
        Ok(repository)
    }

    /// Opens the repository of this reference at the registry itself, to look at what is written there; sends nothing.
    ///
    /// # Errors
    /// As [`Client::repository`].
    pub fn repository_without_mirrors(&self, reference: &Reference) -> Result<Repository> {
        self.open_at_registry(reference, ScopeSet::pull)
    }

    /// Opens the repository of this reference for reading and writing at the registry itself; sends nothing.
    ///
    /// # Errors
    /// As [`Client::repository`].
    pub fn repository_for_push(&self, reference: &Reference) -> Result<Repository> {
        self.open_at_registry(reference, ScopeSet::push)
    }

    fn open_at_registry(
        &self,
        reference: &Reference,
        scopes: fn(&str) -> ScopeSet,
    ) -> Result<Repository> {
        let hosts = self.options.mirrors.hosts(reference)?;
        self.warn_insecure([&hosts.push], &hosts.file);
        self.open(&hosts.push, reference, scopes)
    }

    fn open(
        &self,
        host: &ContentHost,
        reference: &Reference,
        scopes: fn(&str) -> ScopeSet,
    ) -> Result<Repository> {
        let transport = self.transport_of(host)?;
        let origin = transport.http.origin()?;
        Ok(Repository {
            transport,
            endpoint: self.endpoint(reference.registry(), reference.repository(), &origin),
            name: host.repository.clone(),
            scopes: scopes(&host.repository),
            counter: Arc::default(),
            uploads: None,
            received: Arc::default(),
            mirrors: None,
        })
    }

    /// Warns about hosts whose certificates a file says not to verify.
    fn warn_insecure<'a>(&self, hosts: impl IntoIterator<Item = &'a ContentHost>, file: &Path) {
        for host in hosts {
            let notice = format!(
                "certificates of {} are not verified: {} says so",
                host.name,
                file.display()
            );
            if host.settings.insecure && self.options.mirrors.should_report(&notice) {
                tracing::warn!("{}", crate::escape(&notice));
            }
        }
    }

    /// The endpoint of a repository; all its handles share one object.
    fn endpoint(&self, registry: &str, repository: &str, origin: &Origin) -> Arc<Endpoint> {
        let address = format!("{registry}/{repository}");
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Endpoint {
                location: address.clone(),
                address: Some(address.clone()),
                mount_scope: Some(registry.to_owned()),
                is_loopback: origin.is_local(),
                connections: self.options.limits.gate(origin).connections(),
                ..Endpoint::default()
            })
        };
        Arc::clone(endpoints.entry(address.clone()).or_insert_with(new))
    }

    /// The registry of this name, as it is without any file with mirrors.
    pub(super) fn transport(&self, registry: &str) -> Result<Arc<Transport>> {
        self.transport_of(&ContentHost::registry(registry, ""))
    }

    fn transport_of(&self, host: &ContentHost) -> Result<Arc<Transport>> {
        // The values of headers are not a part of it, but they belong to the namespace.
        let key = format!("{} {:?} {:?}", host.name, host.api, host.settings);
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(&key) {
            return Ok(Arc::clone(transport));
        }
        let mut settings = host.settings.clone();
        if settings.certs.is_none() {
            settings.certs = HostCerts::for_host(&host.name, &self.options.certs_dirs)?;
        }
        for value in settings.headers.values() {
            self.options.redactor.add(&String::from_utf8_lossy(value.as_bytes()));
        }
        let base = match &host.api {
            Some(api) => api.clone(),
            None => hosts::base_url(&host.name, &self.options, &settings)?,
        };
        let clients = HttpClients::new(Arc::clone(&self.options), settings);
        let transport = Arc::new(Transport::new(Connection::new(
            host.name.clone(),
            base,
            clients,
            Arc::clone(&self.options),
            Arc::clone(&self.limiters),
        )));
        transports.insert(key, Arc::clone(&transport));
        Ok(transport)
    }
}
