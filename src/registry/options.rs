//! What a registry client is told from outside: TLS, proxies, credentials, patience.

use std::path::PathBuf;

use super::credentials::Credentials;
use super::redactor::Redactor;
use crate::retry::{RetryPolicy, Timeouts};

/// How to reach registries.
#[derive(Debug)]
pub struct RegistryOptions {
    /// Speak plain http to every registry, not only to loopback.
    pub plain_http: bool,
    /// Accept any certificate, of the hosts too that registries name.
    pub insecure: bool,
    /// Hosts that registries may name although their addresses are private ones, or this machine's.
    pub internal_hosts: Vec<url::Host<String>>,
    /// PEM file with roots to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain; shown to the registry's origin only.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's key, where it is not in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// `certs.d` folders of docker and containers, looked through per host.
    pub certs_dirs: Vec<PathBuf>,
    /// Where passwords and tokens come from.
    pub credentials: Credentials,
    /// Fetch layers that registries need not hold, from the registry or else from their `urls`.
    pub foreign_layers: bool,
    /// Blobs are uploaded in chunks of so many bytes; `None` sends each in one request, until one is found too large.
    pub chunk_size: Option<u64>,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// Learns every secret that is sent, and removes them from what servers say.
    pub redactor: Redactor,
    /// How often documents, tokens and listings are asked for again.
    pub retry: RetryPolicy,
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
            foreign_layers: false,
            chunk_size: None,
            timeouts: Timeouts::default(),
            redactor: Redactor::default(),
            retry: RetryPolicy::default(),
        }
    }
}
