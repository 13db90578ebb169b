//! A raw HTTP/1.1 server on loopback that can send faulty responses and records its requests.
//!
//! It uses no framework, since those enforce lengths. Dropping the [`Server`] ends everything.

#[path = "reply.rs"]
mod reply;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufRead, BufStream};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use reply::After;
pub(crate) use reply::{Fault, Reply};

/// A received request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the question mark; empty if there is none.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Number of the connection, from 0; failed TLS handshakes count too.
    pub(crate) connection: usize,
    /// Whether the client sent a certificate.
    pub(crate) client_certificate: bool,
}

impl Request {
    /// Returns the first header with this name, ignoring case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns path and query as in the request line.
    pub(crate) fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// Returns the decoded keys and values of the query, in order.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let url = reqwest::Url::parse(&format!("http://localhost/?{}", self.query)).unwrap();
        url.query_pairs().into_owned().collect()
    }

    /// Returns `METHOD target`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target())
    }
}

type Handler = dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync;

/// A listening server; dropping it closes every connection.
pub(crate) struct Server {
    address: SocketAddr,
    tls: bool,
    requests: Arc<Mutex<Vec<Request>>>,
    answering: Arc<Answering>,
    ended: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// Requests that handlers are answering.
#[derive(Default)]
struct Answering {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler).await
    }

    /// Starts a server, over TLS if a configuration is given.
    pub(crate) async fn start_with(
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let answer = move |request: Request| -> BoxFuture<'static, Reply> {
            let reply = handler(&request);
            Box::pin(async { reply })
        };
        Self::start_async(tls, Arc::new(answer)).await
    }

    /// Starts a server with an asynchronous handler.
    pub(crate) async fn start_async(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let requests = Arc::default();
        let answering = Arc::<Answering>::default();
        let ended = Arc::<AtomicUsize>::default();
        let peer = Peer {
            handler,
            requests: Arc::clone(&requests),
            answering: Arc::clone(&answering),
            ended: Arc::clone(&ended),
            connection: 0,
        };
        Self {
            address: listener.local_addr().unwrap(),
            tls: tls.is_some(),
            requests,
            answering,
            ended,
            accepting: tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), peer)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `127.0.0.1:port` as in references.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Returns all requests so far, in the order in which their headers were complete.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns [`Request::line`] of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// Counts the requests so far whose line contains this text, for example `"GET /v2/a/blobs/"`.
    pub(crate) fn count(&self, part_of_line: &str) -> usize {
        let matches = |line: &String| line.contains(part_of_line);
        self.lines().into_iter().filter(matches).count()
    }

    /// Returns the most requests that handlers were answering at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.answering.most.load(Ordering::Relaxed)
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.requests.lock().unwrap().clear();
    }

    /// Forgets the requests so far, and those that a process sent before it ended and that are not read yet. No client
    /// may have a connection that it goes on using.
    pub(crate) async fn forget_ended_runs(&self) {
        // Connections are accepted in the order in which they were made.
        reqwest::get(self.url("/last")).await.unwrap();
        let last = self.requests().into_iter().rfind(|request| request.path == "/last").unwrap();
        self.ended.store(last.connection + 1, Ordering::Relaxed);
        self.forget();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, mut peer: Peer) {
    // Owned by this task: aborting it ends every connection, stalled ones too.
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, talk) = (tls.clone(), peer.clone());
        peer.connection += 1;
        connections.spawn(async move {
            // An error here is caused by the client: it hung up, or rejected the certificate.
            let _gone = match tls {
                None => talk.serve(tcp).await,
                Some(tls) => match tls.accept(tcp).await {
                    Ok(stream) => talk.serve(stream).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

#[derive(Clone)]
struct Peer {
    handler: Arc<Handler>,
    requests: Arc<Mutex<Vec<Request>>>,
    answering: Arc<Answering>,
    /// Connections with lower numbers belong to ended processes.
    ended: Arc<AtomicUsize>,
    connection: usize,
}

impl Peer {
    async fn serve(self, stream: impl Wire) -> io::Result<()> {
        let client_certificate = stream.client_certificate();
        let mut stream = BufStream::new(stream);
        while let Some(mut request) = read_request(&mut stream).await? {
            request.connection = self.connection;
            request.client_certificate = client_certificate;
            {
                let mut requests = self.requests.lock().unwrap();
                if self.connection >= self.ended.load(Ordering::Relaxed) {
                    requests.push(request.clone());
                }
            }
            let method = request.method.clone();
            let now = self.answering.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.answering.most.fetch_max(now, Ordering::Relaxed);
            let reply = if lacks_length(&request) {
                Reply::error(411, "LENGTH_REQUIRED", "a request with content needs its length")
            } else {
                (self.handler)(request).await
            };
            self.answering.now.fetch_sub(1, Ordering::Relaxed);
            match reply.write(&method, &mut stream).await? {
                After::KeepAlive => {}
                After::Close => break,
                After::Reset => {
                    stream.flush().await?;
                    // A reset discards the kernel's send buffer; the bytes before it must arrive.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    return stream.get_ref().tcp().set_zero_linger();
                }
            }
        }
        stream.shutdown().await
    }
}

/// Whether a strict server refuses the request, as zuul-registry 1.3.0 does.
fn lacks_length(request: &Request) -> bool {
    ["POST", "PUT", "PATCH"].contains(&&*request.method)
        && ["content-length", "transfer-encoding"].iter().all(|name| request.header(name).is_none())
}

async fn read_request(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request =
        Request { method, path: path.to_owned(), query: query.to_owned(), ..Request::default() };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_owned(), value.trim_start().to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length").map_or(0, |value| value.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

/// A stream that gives access to its TCP connection, to reset it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;

    fn client_certificate(&self) -> bool;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn client_certificate(&self) -> bool {
        false
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn client_certificate(&self) -> bool {
        self.get_ref().1.peer_certificates().is_some()
    }
}
