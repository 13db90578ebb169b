//! Options of a registry client: TLS, proxies, credentials, timeouts.

use std::path::PathBuf;

use super::credentials::{CredentialOptions, Credentials, Environment};
use super::host_limits::HostLimits;
use super::http::certs_dir::certs_dirs;
use super::mirrors::Mirrors;
use super::redactor::Redactor;
use crate::error::Result;
use crate::retry::{RetryPolicy, Timeouts};
use crate::setters::setters;

/// The blobs that a run moves concurrently by default.
const DEFAULT_CONNECTIONS: usize = 6;

/// How to connect to registries.
#[derive(Debug)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// Use plain http for every registry, not only for loopback.
    pub plain_http: bool,
    /// Accept any certificate, also from server-supplied hosts, and use plain http for a registry that does not speak TLS. Secrets
    /// are not sent over plain http, except to loopback.
    pub insecure: bool,
    /// Hosts in server-supplied URLs that may have private or loopback addresses.
    pub internal_hosts: Vec<url::Host<String>>,
    /// PEM file with roots to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain; presented to the registry's origin only.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's key, if it is not in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// `certs.d` directories of docker and podman, with one directory per host.
    pub certs_dirs: Vec<PathBuf>,
    /// Where credentials are looked up.
    pub credentials: Credentials,
    /// Hosts that are asked before the registry when content is read.
    pub mirrors: Mirrors,
    /// Fetch foreign layers, from the registry or else from their `urls`.
    pub foreign_layers: bool,
    /// Bytes of a chunk for uploads; `None` sends each blob in one request, until one is rejected as too large.
    pub chunk_size: Option<u64>,
    /// Timeouts of requests.
    pub timeouts: Timeouts,
    /// Removes all secrets that were sent from text of servers.
    pub redactor: Redactor,
    /// Retries of documents, tokens and listings.
    pub retry: RetryPolicy,
    /// Requests that runs send to a host concurrently; more of them may fail before the host counts as unreachable.
    pub connections: usize,
    /// Limits of requests to single hosts.
    pub limits: HostLimits,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            insecure: false,
            internal_hosts: Vec::new(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            certs_dirs: Vec::new(),
            credentials: Credentials::anonymous(),
            mirrors: Mirrors::default(),
            foreign_layers: false,
            chunk_size: None,
            timeouts: Timeouts::default(),
            redactor: Redactor::default(),
            retry: RetryPolicy::default(),
            connections: DEFAULT_CONNECTIONS,
            limits: HostLimits::default(),
        }
    }
}

impl RegistryOptions {
    /// The options that the environment of this process gives: credentials from docker's and podman's files and helpers, and
    /// their `certs.d` directories. Files are read when they are needed; proxies are always those of the environment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) if `REGISTRY_AUTH_FILE` names a file that does not
    /// exist.
    pub fn from_env() -> Result<Self> {
        let environment = Environment::from_process();
        let credentials =
            CredentialOptions { explicit: None, authfile: None, environment: environment.clone() };
        Ok(Self::in_environment(&environment, Credentials::new(credentials)?))
    }

    /// With these credentials, and certificates from the directories of the environment.
    pub(crate) fn in_environment(environment: &Environment, credentials: Credentials) -> Self {
        Self { certs_dirs: certs_dirs(environment), credentials, ..Self::default() }
    }

    setters! {
        flag plain_http;
        flag insecure;
        value internal_hosts: Vec<url::Host<String>>;
        optional into ca_file: PathBuf;
        optional into cert_file: PathBuf;
        optional into key_file: PathBuf;
        value certs_dirs: Vec<PathBuf>;
        value credentials: Credentials;
        value mirrors: Mirrors;
        flag foreign_layers;
        optional chunk_size: u64;
        value timeouts: Timeouts;
        value redactor: Redactor;
        value retry: RetryPolicy;
        value connections: usize;
        value limits: HostLimits;
    }
}
