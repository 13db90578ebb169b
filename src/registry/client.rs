//! The client: connections, tokens and observed quirks of registries, which their repositories share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::http::certs_dir::HostCerts;
use super::http::connection::Connection;
use super::http::hosts::{self, HttpClients};
use super::http::limiter::Limiters;
use super::http::origin::Origin;
use super::options::RegistryOptions;
use super::repository::Repository;
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

    /// Opens the repository of this reference for reading; sends nothing.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        self.open(reference, ScopeSet::pull(reference.repository()))
    }

    /// Opens the repository of this reference for reading and writing; sends nothing.
    pub fn repository_for_push(&self, reference: &Reference) -> Result<Repository> {
        self.open(reference, ScopeSet::push(reference.repository()))
    }

    fn open(&self, reference: &Reference, scopes: ScopeSet) -> Result<Repository> {
        let transport = self.transport(reference.registry())?;
        let endpoint = self.endpoint(reference, &transport.http.origin()?);
        Ok(Repository {
            transport,
            endpoint,
            name: reference.repository().to_owned(),
            scopes,
            counter: Arc::default(),
            uploads: None,
        })
    }

    /// The endpoint of a repository; all its handles share one object.
    fn endpoint(&self, reference: &Reference, origin: &Origin) -> Arc<Endpoint> {
        let registry = reference.registry();
        let address = format!("{registry}/{}", reference.repository());
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

    pub(super) fn transport(&self, registry: &str) -> Result<Arc<Transport>> {
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
            Arc::clone(&self.limiters),
        )));
        transports.insert(registry.to_owned(), Arc::clone(&transport));
        Ok(transport)
    }
}
