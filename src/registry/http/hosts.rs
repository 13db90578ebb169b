//! The base URL of a registry and the HTTP clients for its hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Url, Version};

use super::host_settings::HostSettings;
use super::origin::Origin;
use super::proxy::ProxySetting;
use super::request::ConnectionUse;
use super::tls::{self, TlsOptions};
use super::url_policy::{GuardedResolver, UrlPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::reference::docker_hub::{HUB, HUB_API_HOST};
use crate::registry::options::RegistryOptions;

/// The base URL of a registry. Docker Hub's host differs from its name; loopback hosts use http.
pub(in crate::registry) fn base_url(
    registry: &str,
    options: &RegistryOptions,
    settings: &HostSettings,
) -> Result<Url> {
    let host = if registry == HUB { HUB_API_HOST } else { registry };
    let tls_configured = options.ca_file.is_some()
        || options.cert_file.is_some()
        || options.insecure
        || settings.insecure
        || settings.certs.is_some();
    let url = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, format!("registry `{registry}`")).with_source(error)
        })
    };
    let plain = url("http")?;
    if options.plain_http || (Origin::from_url(&plain)?.is_local() && !tls_configured) {
        return Ok(plain);
    }
    url("https")
}

/// Bytes that a server may send on one stream of HTTP/2, and on all streams of a connection, before they are read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// As much as over HTTP/1.1: a redirect to a signed URL has several kilobytes.
const MAX_HEADERS: u32 = 256 << 10;

/// Time without a byte on a connection with open streams before the server is asked for a sign of life, and for its answer. Without
/// it, retries would go to the same dead connection.
const PING_AFTER: Duration = Duration::from_secs(10);

/// The HTTP clients for one origin, each with connections of its own, built on first use.
#[derive(Default)]
struct HostClients {
    /// Offers HTTP/2 besides HTTP/1.1.
    negotiating: Option<reqwest::Client>,
    http1: Option<reqwest::Client>,
    protocol: Protocol,
}

/// What a host responded with when it was offered HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Protocol {
    #[default]
    Unknown,
    Http1,
    Http2,
    /// HTTP/2, which then failed.
    BrokenHttp2,
}

impl HostClients {
    /// Whether HTTP/2 is offered for such a request. To a host that only speaks HTTP/1.1, it always is, so that all requests find
    /// the idle connections of one client.
    fn offers_http2(&self, connection: ConnectionUse) -> bool {
        match self.protocol {
            Protocol::Http1 => true,
            Protocol::BrokenHttp2 => false,
            Protocol::Unknown | Protocol::Http2 => connection == ConnectionUse::Shared,
        }
    }
}

/// The HTTP clients of one registry, built on first use.
///
/// Client certificates are for the registry's own origin only, never for server-supplied hosts.
pub(in crate::registry) struct HttpClients {
    options: Arc<RegistryOptions>,
    pub(super) settings: Arc<HostSettings>,
    pub(in crate::registry) url_policy: Arc<UrlPolicy>,
    built: Mutex<HashMap<Origin, HostClients>>,
}

impl HttpClients {
    pub(in crate::registry) fn new(options: Arc<RegistryOptions>, settings: HostSettings) -> Self {
        let policy = Arc::new(UrlPolicy::new(&options.internal_hosts));
        Self { options, settings: Arc::new(settings), url_policy: policy, built: Mutex::default() }
    }

    /// The client for `origin`: the registry's own or a server-supplied one.
    pub(in crate::registry) fn get(
        &self,
        origin: &Origin,
        registry: &Origin,
        connection: ConnectionUse,
    ) -> Result<reqwest::Client> {
        let mut built = self.built();
        let clients = built.entry(origin.clone()).or_default();
        let http2 = origin.is_https() && clients.offers_http2(connection);
        let client = if http2 { &mut clients.negotiating } else { &mut clients.http1 };
        if let Some(client) = client {
            return Ok(client.clone());
        }
        Ok(client.insert(self.build(origin, registry, http2)?).clone())
    }

    /// Remembers what the host speaks.
    pub(in crate::registry) fn record_version(
        &self,
        origin: &Origin,
        connection: ConnectionUse,
        version: Version,
    ) {
        if let Some(clients) = self.built().get_mut(origin) {
            clients.protocol = match clients.protocol {
                Protocol::Unknown | Protocol::Http1 if version == Version::HTTP_2 => {
                    Protocol::Http2
                }
                Protocol::Unknown if connection == ConnectionUse::Shared => Protocol::Http1,
                known => known,
            };
        }
    }

    /// Speaks HTTP/1.1 with the host from now on.
    pub(in crate::registry) fn give_up_http2(&self, origin: &Origin) {
        if let Some(clients) = self.built().get_mut(origin) {
            clients.protocol = Protocol::BrokenHttp2;
        }
    }

    /// Whether the registry's own certificate is not verified.
    pub(super) fn is_insecure(&self) -> bool {
        self.options.insecure || self.settings.insecure
    }

    fn built(&self) -> MutexGuard<'_, HashMap<Origin, HostClients>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self, origin: &Origin, registry: &Origin, http2: bool) -> Result<reqwest::Client> {
        let is_registry = origin == registry;
        let policy = Arc::clone(&self.url_policy);
        let resolver = if is_registry {
            GuardedResolver::for_registry(registry, policy)
        } else {
            GuardedResolver::for_server_url(origin, registry, policy)
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("rpull/", env!("CARGO_PKG_VERSION")))
            // Redirects are followed by `send`, which decides for each what may be sent (reqwest strips only its own
            // headers).
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(resolver)
            .connect_timeout(self.options.timeouts.connect)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_AFTER);
        let proxy = proxy_of(origin)?;
        builder = builder.no_proxy();
        if let Some(proxy) = &proxy {
            proxy.note_secrets(&self.options.redactor);
            let url = reqwest::Proxy::all(proxy.url.clone()).map_err(|error| {
                Error::new(ErrorKind::Transport, "proxy").with_source(error.without_url())
            })?;
            builder = builder.proxy(url);
        }
        let has_tls = origin.is_https() || proxy.is_some_and(|proxy| proxy.url.scheme() == "https");
        builder = if has_tls {
            let config = tls::config(self.tls_options(is_registry, http2)?).map_err(|error| {
                Error::new(ErrorKind::Denied, "certificate or key")
                    .at(origin.to_string())
                    .with_source(error)
            })?;
            builder.tls_backend_preconfigured(config)
        } else {
            // Without this, a system that has no CA certificates could not even use a plain http registry.
            builder.tls_certs_only([])
        };
        builder.build().map_err(|error| {
            Error::new(ErrorKind::Transport, "set up a connection")
                .at(origin.to_string())
                .with_source(error)
        })
    }

    /// The user's roots apply to every host; the rest only to the registry's own origin.
    fn tls_options(&self, is_registry: bool, http2: bool) -> Result<TlsOptions> {
        let options = &self.options;
        let of_host = self.settings.certs.as_ref().filter(|_| is_registry);
        let files = options.ca_file.iter().chain(of_host.iter().flat_map(|files| &files.ca));
        let roots = files.map(|path| tls::certificates(path)).collect::<Result<Vec<_>>>()?.concat();
        if !is_registry {
            return Ok(TlsOptions { roots, client: None, insecure: options.insecure, http2 });
        }
        let insecure = self.is_insecure();
        let typed = options.cert_file.as_ref().filter(|_| !self.settings.is_other_host);
        let typed = typed.map(|cert| (cert, options.key_file.as_ref().unwrap_or(cert)));
        let pair = typed.or_else(|| of_host?.client.as_ref().map(|(cert, key)| (cert, key)));
        let client = match pair {
            Some((cert, key)) => Some((tls::certificates(cert)?, tls::key(key)?)),
            None => None,
        };
        Ok(TlsOptions { roots, client, insecure, http2 })
    }
}

/// Adds the proxy that the request used to the error.
pub(in crate::registry) fn with_proxy(origin: &Origin, error: Error) -> Error {
    match proxy_of(origin) {
        Ok(Some(proxy)) => {
            let reason = format!("{} (through the {proxy})", error.reason());
            error.with_reason(reason)
        }
        _ => error,
    }
}

/// The environment's proxy for this origin.
fn proxy_of(origin: &Origin) -> Result<Option<ProxySetting>> {
    ProxySetting::for_origin(origin, &|name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_uses_http_unless_tls_configured() {
        let url = |registry: &str, options: &RegistryOptions| {
            base_url(registry, options, &HostSettings::default()).unwrap().to_string()
        };
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
