//! An image layout as a registry: pull, push, lists, referrers, delete. Spec: distribution-spec 1.1.
//!
//! Intended for a laptop, a CI job or an isolated network. A blob is stored once and served by the repositories that
//! have it. A user may do everything or nothing. `prune` frees space. With an [`Upstream`] the layout is a cache of other
//! registries, and is read only.

mod blobs;
mod body;
mod complete;
mod connections;
mod documents;
mod host;
mod htpasswd;
mod idle;
mod listen;
mod lists;
mod manifests;
mod name_table;
mod naming;
mod query;
mod range;
mod repository_blobs;
mod response;
mod route;
mod sessions;
mod tls;
mod uploads;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use self::documents::DocumentCache;
use self::host::Hosts;
use self::htpasswd::Htpasswd;
use self::name_table::{NameCache, NameTable, path_of};
use self::query::QueryParams;
use self::response::{ApiError, ApiResponse, with_json};
use self::route::{ApiEndpoint, Route, route};
use self::tls::acceptor;
use self::uploads::UploadHandler;
use self::upstream::PullThrough;
pub use self::upstream::{CacheOptions, Upstream};
use crate::error::Result;
use crate::layout::Layout;
use crate::setters::setters;

/// Identifies a registry to docker.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("docker-distribution-api-version"),
    HeaderValue::from_static("registry/2.0"),
);

/// Options of a server: access and connections.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Reject pushes and deletes.
    pub read_only: bool,
    /// Accept manifests and indexes with missing content.
    pub sparse: bool,
    /// File with users and bcrypt hashes, as `htpasswd -B` writes it. Without it no authentication is required.
    pub htpasswd: Option<PathBuf>,
    /// PEM files with the certificate chain and its key. Without them the server uses plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Additional host names to accept while listening on loopback only, where `Host` is checked against DNS rebinding.
    /// On other addresses any name is accepted.
    pub hosts: Vec<String>,
    /// Registries from which missing content is fetched, the first one where a client names none. Pushes and deletes are
    /// rejected then.
    pub upstreams: Vec<Upstream>,
    /// How content of upstreams is kept.
    pub cache: CacheOptions,
}

impl ServeOptions {
    setters! {
        flag read_only;
        flag sparse;
        optional into htpasswd: PathBuf;
        value hosts: Vec<String>;
        value upstreams: Vec<Upstream>;
        value cache: CacheOptions;
    }

    /// Sets [`tls`](#structfield.tls): the files with the certificate chain and its key.
    #[must_use]
    pub fn tls(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some((chain.into(), key.into()));
        self
    }
}

/// A registry over one layout, ready to listen.
pub struct Server {
    registry: Arc<RegistryService>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    hosts: Vec<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("layout", &self.registry.layout).finish_non_exhaustive()
    }
}

impl Server {
    /// Creates a server for this layout. Reads the files that the options name, and listens only in [`Server::run`].
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidInput`] if a file or name in the options is invalid.
    pub fn new(layout: Layout, options: &ServeOptions) -> Result<Self> {
        let users = options.htpasswd.as_deref().map(Htpasswd::read).transpose()?.map(Arc::new);
        let tls = options.tls.as_ref().map(|(chain, key)| acceptor(chain, key)).transpose()?;
        let hosts = options.hosts.iter().map(|name| host::parse_host_name(name));
        let hosts = hosts.collect::<Result<_>>()?;
        let cache = PullThrough::new(&layout, options.upstreams.clone(), options.cache)?;
        let registry = RegistryService {
            layout,
            read_only: options.read_only || cache.is_some(),
            cache,
            sparse: options.sparse,
            users,
            names: NameCache::default(),
            naming_lock: Arc::default(),
            documents: DocumentCache::default(),
            uploads: UploadHandler::default(),
        };
        registry.count_sessions()?;
        Ok(Self { registry: Arc::new(registry), tls, hosts })
    }

    /// Returns the number of tags that are served, and of names in the layout that are not.
    pub fn count(&self) -> Result<(usize, usize)> {
        let names = self.registry.names()?;
        let tags = names.repositories.values().map(|repository| repository.tags.len()).sum();
        Ok((tags, names.unservable))
    }
}

struct RegistryService {
    layout: Layout,
    read_only: bool,
    cache: Option<Arc<PullThrough>>,
    sparse: bool,
    users: Option<Arc<Htpasswd>>,
    names: NameCache,
    /// Serializes changes of names, first come, first served.
    naming_lock: Arc<tokio::sync::Mutex<()>>,
    documents: DocumentCache,
    uploads: UploadHandler,
}

impl RegistryService {
    fn names(&self) -> Result<Arc<NameTable>> {
        self.names.get(&self.layout)
    }

    fn count_sessions(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.uploads.sessions.count(&self.layout) }
    }

    async fn respond(self: &Arc<Self>, request: Request<Incoming>, hosts: &Hosts) -> ApiResponse {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let outcome = match hosts.check(&request) {
            Ok(()) => self.handle(request).await,
            Err(error) => Err(error),
        };
        let mut response = outcome.unwrap_or_else(ApiError::into_response);
        response.headers_mut().insert(VERSION.0, VERSION.1);
        tracing::info!("{method} {} {}", crate::escape(&path), response.status().as_u16());
        response
    }

    /// Rejects web pages, and users who are not allowed.
    async fn admit(&self, request: &mut Request<Incoming>) -> Result<(), ApiError> {
        // Registry clients never send `Origin`. Web pages in a browser do, and must not reach a local registry.
        if request.headers().contains_key(ORIGIN) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "DENIED",
                "requests from browsers are not allowed",
            ));
        }
        if let Some(users) = &self.users {
            let admission = users.authenticate(request.headers()).await?;
            request.extensions_mut().insert(admission);
        }
        Ok(())
    }

    async fn handle(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<ApiResponse, ApiError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        self.admit(&mut request).await?;
        let route = route(uri.path(), &method)?;
        let is_read = matches!(method, Method::GET | Method::HEAD);
        if self.read_only && !is_read {
            return Err(ApiError::unsupported("this registry is read-only"));
        }
        let query = QueryParams::from_uri(&uri);
        let (repository, endpoint) = match route {
            Route::Repository(repository, endpoint) => (repository, endpoint),
            _ if !is_read => return Err(method_not_allowed(&method)),
            Route::Base => return Ok(with_json(&json!({}))),
            Route::Catalog => return self.catalog(&query),
        };
        if let Some(cache) = &self.cache {
            let names = self.names()?;
            if let Some(upstream) = cache.route(query.get("ns"), repository, &names)? {
                let headers = request.headers();
                return cache.respond(&upstream, &endpoint, &method, headers, &query).await;
            }
        }
        // A client that uses this server as a mirror names the original registry in `ns`.
        let mirrored =
            query.get("ns").filter(|_| is_read).map(|registry| path_of(registry, repository));
        let repository = mirrored.as_deref().unwrap_or(repository);
        match endpoint {
            ApiEndpoint::Blob(digest) if is_read => {
                self.blob(repository, &digest, &method, request.headers()).await
            }
            ApiEndpoint::Blob(digest) if method == Method::DELETE => {
                self.delete_blob(repository, &digest).await
            }
            ApiEndpoint::Manifest(reference) => match method {
                _ if is_read => {
                    self.manifest(repository, &reference, &method, request.headers()).await
                }
                Method::DELETE => self.delete_manifest(repository, reference).await,
                Method::PUT => self.put_manifest(repository, &reference, request).await,
                _ => Err(method_not_allowed(&method)),
            },
            ApiEndpoint::Tags if is_read => self.tags(repository, &query),
            ApiEndpoint::Referrers(subject) if is_read => {
                self.referrers(repository, &subject, &query).await
            }
            ApiEndpoint::Uploads if method == Method::POST => {
                match self.mount(repository, &query).await? {
                    Some(mounted) => Ok(mounted),
                    None => self.uploads.open(&self.layout, repository, request).await,
                }
            }
            ApiEndpoint::Upload(id) if !self.read_only => {
                self.uploads.handle_session(&self.layout, repository, id, request).await
            }
            _ => Err(method_not_allowed(&method)),
        }
    }
}

fn method_not_allowed(method: &Method) -> ApiError {
    ApiError::unsupported(format!("method {method} not allowed"))
}
