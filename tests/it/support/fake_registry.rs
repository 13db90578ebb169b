//! An in-memory registry whose responses can be overridden per request.

#[path = "auth_gate.rs"]
mod auth_gate;
#[path = "repository_content.rs"]
mod repository_content;
#[path = "upload_sessions.rs"]
mod upload_sessions;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rpull::digest::Digest;
use tokio_rustls::rustls::ServerConfig;

use super::http::{Reply, Request, Server};
use auth_gate::AuthGate;
pub(crate) use auth_gate::{Auth, Bearer};

/// Behavior of a registry without overrides.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) auth: Auth,
    /// For the registry's own port only; the token server and the blob host stay plain.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Blobs are redirected to another port, which answers 400 to any `Authorization`.
    pub(crate) blobs_elsewhere: bool,
    /// Maximum number of tags per page; `None` is unlimited.
    pub(crate) page: Option<usize>,
    /// Time that every answer of the registry's own port takes.
    pub(crate) delay: Duration,
}

/// A running registry.
pub(crate) struct FakeRegistry {
    /// The registry's own port.
    pub(crate) server: Server,
    /// The token server, if it has its own port.
    pub(crate) tokens: Option<Server>,
    /// The server of redirected blobs.
    pub(crate) blobs: Option<Server>,
    content: Arc<RegistryContent>,
}

impl FakeRegistry {
    /// Starts a registry without authentication.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let content = Arc::new(RegistryContent::default());
        let (gate, tokens) = AuthGate::open(options.auth).await;
        let blobs = if options.blobs_elsewhere {
            let content = Arc::clone(&content);
            Some(
                Server::start(move |request| {
                    content.overridden(request, |content| content.signed_blob(request))
                })
                .await,
            )
        } else {
            None
        };
        let handler = Handler {
            gate,
            content: Arc::clone(&content),
            blobs: blobs.as_ref().map(|server| server.url("/signed/")),
            page: options.page,
            scheme: if options.tls.is_some() { "https" } else { "http" },
        };
        let (handler, delay) = (Arc::new(handler), options.delay);
        let answer = move |request: Request| -> BoxFuture<'static, Reply> {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                handler.answer(&request)
            })
        };
        let server = Server::start_async(options.tls, Arc::new(answer)).await;
        Self { server, tokens, blobs, content }
    }

    /// Returns `host:port/repository` as in a reference.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.server.host())
    }

    /// Stores a blob and returns its digest.
    pub(crate) fn blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        self.blob_as(repository, &digest, bytes);
        digest
    }

    /// Stores bytes under any digest, also a wrong one.
    pub(crate) fn blob_as(&self, repository: &str, digest: &Digest, bytes: impl Into<Bytes>) {
        let key = (repository.to_owned(), digest.to_string());
        self.content.blobs.lock().unwrap().insert(key, bytes.into());
    }

    /// Stores a manifest or index; an existing tag moves.
    pub(crate) fn document(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        let mut repositories = self.content.repositories.lock().unwrap();
        let held = repositories.entry(repository.to_owned()).or_default();
        held.documents.insert(digest.to_string(), (media_type.to_owned(), bytes));
        if let Some(tag) = tag {
            held.tags.insert(tag.to_owned(), digest.to_string());
        }
        digest
    }

    /// Returns the digest of a tag.
    pub(crate) fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        self.content.repositories.lock().unwrap().get(repository)?.tags.get(tag).cloned()
    }

    /// Returns the bytes of a blob.
    pub(crate) fn blob_bytes(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        let key = (repository.to_owned(), digest.to_string());
        self.content.blobs.lock().unwrap().get(&key).cloned()
    }

    /// Returns the number of open upload sessions.
    pub(crate) fn open_uploads(&self) -> usize {
        self.content.sessions.open()
    }

    /// From now on, sets the tags in the query of a manifest's PUT.
    pub(crate) fn take_tags(&self) {
        self.content.takes_tags.store(true, Ordering::Relaxed);
    }

    /// From now on, opens an upload session instead of mounting a blob.
    pub(crate) fn refuse_mounts(&self) {
        self.content.refuses_mounts.store(true, Ordering::Relaxed);
    }

    /// From now on, deletes manifests only, as distribution 2.8.
    pub(crate) fn refuse_tag_deletion(&self) {
        self.content.refuses_tag_deletion.store(true, Ordering::Relaxed);
    }

    /// Deletes a blob, also one that manifests reference.
    pub(crate) fn delete_blob(&self, repository: &str, digest: &Digest) {
        let key = (repository.to_owned(), digest.to_string());
        self.content.blobs.lock().unwrap().remove(&key);
    }

    /// Changes the responses to requests whose line contains `part_of_line` and whose number, from 0, is in `which`.
    ///
    /// `override_response("GET /v2/a/blobs/", 0..2, |reply| reply.fault(Fault::Cut(1000)))` truncates the first two.
    /// Several overrides apply in order. Requests denied by authentication are neither counted nor overridden.
    pub(crate) fn override_response(
        &self,
        part_of_line: &str,
        which: Range<usize>,
        change: impl Fn(Reply) -> Reply + Send + 'static,
    ) {
        self.content.overrides.lock().unwrap().push(ResponseOverride {
            part_of_line: part_of_line.to_owned(),
            which,
            seen: 0,
            change: Box::new(change),
        });
    }

    /// Changes every reply to a request that authentication permits, after all overrides.
    pub(crate) fn disturb(&self, change: impl Fn(&Request, Reply) -> Reply + Send + 'static) {
        *self.content.disturbance.lock().unwrap() = Some(Box::new(change));
    }

    /// Answers matching requests with `reply` and does not perform them; `which` as in `override_response`.
    pub(crate) fn fail_requests(&self, part_of_line: &str, which: Range<usize>, reply: Reply) {
        let part_of_line = part_of_line.to_owned();
        self.content.scripted.lock().unwrap().push(ScriptedError {
            part_of_line,
            which,
            seen: 0,
            reply,
        });
    }

    /// Returns the token requests so far, on any port.
    pub(crate) fn token_requests(&self) -> Vec<Request> {
        let server = self.tokens.as_ref().unwrap_or(&self.server);
        let mut requests = server.requests();
        requests.retain(|request| request.path == "/token");
        requests
    }
}

/// Handles requests to the registry's own port.
struct Handler {
    gate: AuthGate,
    content: Arc<RegistryContent>,
    blobs: Option<String>,
    page: Option<usize>,
    scheme: &'static str,
}

impl Handler {
    fn answer(&self, request: &Request) -> Reply {
        let refused = self.gate.answer(request, self.scheme);
        let Some(refused) = refused else {
            let reply = self.content.scripted_error(request);
            let reply = reply
                .unwrap_or_else(|| self.content.overridden(request, |_| self.respond(request)));
            return match &*self.content.disturbance.lock().unwrap() {
                Some(change) => change(request, reply),
                None => reply,
            };
        };
        refused
    }

    fn respond(&self, request: &Request) -> Reply {
        if let Some(reply) = self.content.write(request) {
            return reply;
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Reply::error(405, "UNSUPPORTED", "the operation is unsupported");
        }
        let Some(path) = request.path.strip_prefix("/v2/") else {
            return Reply::new(404, "page not found\n");
        };
        if path.is_empty() {
            return Reply::json(200, &serde_json::json!({}));
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return self.content.tags(repository, request, self.page);
        }
        if let Some((repository, name)) = path.rsplit_once("/manifests/") {
            return self.content.document(repository, name);
        }
        match (path.rsplit_once("/blobs/"), &self.blobs) {
            (Some((repository, digest)), Some(elsewhere)) if request.method == "GET" => {
                let place = format!("{elsewhere}{repository}/{digest}?signature=secret");
                Reply::new(307, "").header("Location", place)
            }
            (Some((repository, digest)), _) => self.content.blob(repository, digest, request),
            (None, _) => Reply::new(404, "page not found\n"),
        }
    }
}

type Disturbance = Box<dyn Fn(&Request, Reply) -> Reply + Send>;

#[derive(Default)]
struct RegistryContent {
    repositories: Mutex<BTreeMap<String, Repository>>,
    blobs: Mutex<HashMap<(String, String), Bytes>>,
    overrides: Mutex<Vec<ResponseOverride>>,
    scripted: Mutex<Vec<ScriptedError>>,
    disturbance: Mutex<Option<Disturbance>>,
    sessions: upload_sessions::UploadSessions,
    takes_tags: AtomicBool,
    refuses_mounts: AtomicBool,
    refuses_tag_deletion: AtomicBool,
}

#[derive(Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    documents: HashMap<String, (String, Bytes)>,
}

struct ResponseOverride {
    part_of_line: String,
    which: Range<usize>,
    seen: usize,
    change: Box<dyn Fn(Reply) -> Reply + Send>,
}

struct ScriptedError {
    part_of_line: String,
    which: Range<usize>,
    seen: usize,
    reply: Reply,
}

impl RegistryContent {
    fn scripted_error(&self, request: &Request) -> Option<Reply> {
        let line = request.line();
        let mut scripted = self.scripted.lock().unwrap();
        let error = scripted.iter_mut().find(|error| line.contains(&error.part_of_line))?;
        error.seen += 1;
        error.which.contains(&(error.seen - 1)).then(|| error.reply.clone())
    }

    fn overridden(&self, request: &Request, answer: impl FnOnce(&Self) -> Reply) -> Reply {
        let (line, mut reply) = (request.line(), answer(self));
        for override_response in self.overrides.lock().unwrap().iter_mut() {
            if line.contains(&override_response.part_of_line) {
                if override_response.which.contains(&override_response.seen) {
                    reply = (override_response.change)(reply);
                }
                override_response.seen += 1;
            }
        }
        reply
    }

    fn document(&self, repository: &str, name: &str) -> Reply {
        let repositories = self.repositories.lock().unwrap();
        let Some(held) = repositories.get(repository) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let digest = held.tags.get(name).map_or(name, String::as_str);
        match held.documents.get(digest) {
            None => Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            Some((media_type, bytes)) => Reply::new(200, bytes.clone())
                .header("Content-Type", media_type)
                .header("Docker-Content-Digest", digest),
        }
    }

    fn blob(&self, repository: &str, digest: &str, request: &Request) -> Reply {
        let key = (repository.to_owned(), digest.to_owned());
        match self.blobs.lock().unwrap().get(&key) {
            None => Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
            Some(bytes) => slice(bytes, request.header("range"))
                .header("Content-Type", "application/octet-stream")
                .header("Docker-Content-Digest", digest),
        }
    }

    fn signed_blob(&self, request: &Request) -> Reply {
        if request.header("authorization").is_some() {
            return Reply::new(400, "<Error><Code>InvalidAuthenticationInfo</Code></Error>");
        }
        match request.path.strip_prefix("/signed/").and_then(|path| path.rsplit_once('/')) {
            Some((repository, digest)) if request.query == "signature=secret" => {
                self.blob(repository, digest, request)
            }
            _ => Reply::new(403, "<Error><Code>AccessDenied</Code></Error>"),
        }
    }

    fn tags(&self, repository: &str, request: &Request, page: Option<usize>) -> Reply {
        let repositories = self.repositories.lock().unwrap();
        let Some(held) = repositories.get(repository) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let pairs: HashMap<String, String> = request.pairs().into_iter().collect();
        let wanted = pairs.get("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let after = pairs.get("last").map_or("", String::as_str);
        let most = wanted.min(page.unwrap_or(usize::MAX));
        let rest: Vec<&String> = held.tags.keys().filter(|tag| tag.as_str() > after).collect();
        let tags: Vec<&String> = rest.iter().copied().take(most).collect();
        let reply = Reply::json(200, &serde_json::json!({"name": repository, "tags": tags}));
        match tags.last() {
            Some(last) if rest.len() > tags.len() => {
                let next =
                    format!("</v2/{repository}/tags/list?last={last}&n={most}>; rel=\"next\"");
                reply.header("Link", next)
            }
            _ => reply,
        }
    }
}

/// Returns the whole blob or the requested range: `bytes=a-b` or `bytes=a-`.
fn slice(bytes: &Bytes, range: Option<&str>) -> Reply {
    let total = bytes.len();
    let asked = range
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX))));
    match asked {
        None => Reply::new(200, bytes.clone()),
        Some((first, _)) if first >= total => {
            Reply::new(416, "").header("Content-Range", format!("bytes */{total}"))
        }
        Some((first, last)) => {
            let last = last.min(total - 1);
            Reply::new(206, bytes.slice(first..=last))
                .header("Content-Range", format!("bytes {first}-{last}/{total}"))
        }
    }
}
