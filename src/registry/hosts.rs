//! From a registry's name to the base URL it answers at, and the HTTP clients that reach it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Certificate, Identity, Url};

use super::address::GuardedResolver;
use super::options::RegistryOptions;
use super::origin::Origin;
use super::tls_files::TlsFiles;
use crate::error::{Error, ErrorKind, Result};

/// The base URL of a registry: Docker Hub's host differs from its name, loopback speaks http.
pub(super) fn base_url(registry: &str, options: &RegistryOptions, tls_files: Option<&TlsFiles>) -> Result<Url> {
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let tls_configured =
        options.ca_file.is_some() || options.cert_file.is_some() || options.insecure || tls_files.is_some();
    let plain = options.plain_http || (is_loopback(host) && !tls_configured);
    let scheme = if plain { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{host}/v2/"))
        .map_err(|error| Error::new(ErrorKind::Reference, format!("registry '{registry}'")).caused_by(error))
}

/// Whether a `host[:port]` is this machine.
pub(super) fn is_loopback(host_port: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host_port}/")) else { return false };
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The HTTP clients of one registry, one per origin, built on first use.
///
/// Client certificates and a loosened check belong to the registry's own origin; hosts that it names get neither.
#[derive(Debug)]
pub(super) struct Clients {
    options: Arc<RegistryOptions>,
    tls_files: Option<TlsFiles>,
    built: Mutex<HashMap<Origin, reqwest::Client>>,
}

impl Clients {
    pub(super) fn new(options: Arc<RegistryOptions>, tls_files: Option<TlsFiles>) -> Self {
        Self { options, tls_files, built: Mutex::default() }
    }

    /// The client for `origin`; `own` says that it is the registry itself, `guarded` that only public addresses may be
    /// reached.
    pub(super) fn get(&self, origin: &Origin, own: bool, guarded: bool) -> Result<reqwest::Client> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(origin) {
            return Ok(client.clone());
        }
        let client = self.build(origin, own, guarded)?;
        built.insert(origin.clone(), client.clone());
        Ok(client)
    }

    fn build(&self, origin: &Origin, own: bool, guarded: bool) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("rpull/", env!("CARGO_PKG_VERSION")))
            // Hops are walked by hand: each decides anew what may be sent (reqwest strips only its own headers).
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.options.timeouts.connect);
        if is_loopback(&origin.host_port()) {
            builder = builder.no_proxy();
        }
        if guarded {
            builder = builder.dns_resolver(Arc::new(GuardedResolver::default()));
        }
        builder = if origin.is_https() {
            self.with_tls(builder, own)?
        } else {
            // Without this, a system that has no CA certificates could not even reach a plain registry.
            builder.tls_certs_only([])
        };
        builder
            .build()
            .map_err(|error| Error::new(ErrorKind::Transport, "set up a connection").at(origin.to_string()).caused_by(error))
    }

    fn with_tls(&self, mut builder: reqwest::ClientBuilder, own: bool) -> Result<reqwest::ClientBuilder> {
        let options = &self.options;
        let of_host = self.tls_files.as_ref().filter(|_| own);
        let roots = options.ca_file.iter().chain(of_host.iter().flat_map(|files| &files.ca));
        let mut certificates = Vec::new();
        for path in roots {
            let bundle = Certificate::from_pem_bundle(&read_pem(path)?).map_err(|error| bad_pem(path).caused_by(error))?;
            certificates.extend(bundle);
        }
        if !certificates.is_empty() {
            builder = builder.tls_certs_merge(certificates);
        }
        if !own {
            return Ok(builder);
        }
        if options.insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let pair = match (&options.cert_file, &options.key_file) {
            (Some(cert), key) => Some((cert, key.as_ref())),
            _ => of_host.and_then(|files| files.client.as_ref()).map(|(cert, key)| (cert, Some(key))),
        };
        if let Some((cert, key)) = pair {
            let mut pem = read_pem(cert)?;
            if let Some(key) = key {
                pem.push(b'\n');
                pem.extend(read_pem(key)?);
            }
            builder = builder.identity(Identity::from_pem(&pem).map_err(|error| bad_pem(cert).caused_by(error))?);
        }
        Ok(builder)
    }
}

fn read_pem(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| bad_pem(path).caused_by(error))
}

fn bad_pem(path: &Path) -> Error {
    Error::new(ErrorKind::Denied, "certificate or key").at(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_http_unless_tls_is_configured() {
        let url = |registry: &str, options: &RegistryOptions| base_url(registry, options, None).unwrap().to_string();
        let plain = RegistryOptions::default();
        for local in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(url(local, &plain).starts_with("http://"), "{local}");
        }
        for far in ["ghcr.io", "10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(url(far, &plain).starts_with("https://"), "{far}");
        }
        let insecure = RegistryOptions { insecure: true, ..RegistryOptions::default() };
        assert!(url("localhost:5000", &insecure).starts_with("https://"));
        assert_eq!(url("docker.io", &plain), "https://registry-1.docker.io/v2/");
    }
}
