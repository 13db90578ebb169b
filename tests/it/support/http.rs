//! A raw HTTP/1.1 server on loopback that can answer wrongly, byte for byte, and remembers what it was asked.
//!
//! No framework: those police lengths and cannot cut a body. Everything ends when the [`Server`] is dropped.

#[path = "reply.rs"]
mod reply;

use std::io;
use std::net::SocketAddr;
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

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the question mark; empty where there is none.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Counts the server's connections from 0; TLS handshakes that fail are connections too.
    pub(crate) connection: usize,
    /// Whether the client showed a certificate.
    pub(crate) client_certificate: bool,
}

impl Request {
    /// The first header of this name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Path and query as in the request line.
    pub(crate) fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// The query's keys and values in their order, decoded.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let url = reqwest::Url::parse(&format!("http://localhost/?{}", self.query)).unwrap();
        url.query_pairs().into_owned().collect()
    }

    /// `METHOD target`, for assertions on lists.
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
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler).await
    }

    /// As [`Server::start`], over TLS where a configuration is given.
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

    /// As [`Server::start_with`], for handlers that have to ask somebody else first.
    pub(crate) async fn start_async(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let requests = Arc::default();
        let peer = Peer { handler, requests: Arc::clone(&requests), connection: 0 };
        Self {
            address: listener.local_addr().unwrap(),
            tls: tls.is_some(),
            requests,
            accepting: tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), peer)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `127.0.0.1:port`, as it stands in references.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Every request so far, in the order in which their heads were complete.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// [`Request::line`] of every request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }

    /// Requests so far whose line contains this text: `"GET /v2/a/blobs/"`.
    pub(crate) fn count(&self, part_of_line: &str) -> usize {
        let matches = |line: &String| line.contains(part_of_line);
        self.lines().into_iter().filter(matches).count()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.requests.lock().unwrap().clear();
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
            // An error here is the client's doing: it hung up, or did not like the certificate.
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
    connection: usize,
}

impl Peer {
    async fn serve(self, stream: impl Wire) -> io::Result<()> {
        let client_certificate = stream.client_certificate();
        let mut stream = BufStream::new(stream);
        while let Some(mut request) = read_request(&mut stream).await? {
            request.connection = self.connection;
            request.client_certificate = client_certificate;
            self.requests.lock().unwrap().push(request.clone());
            let method = request.method.clone();
            let reply = (self.handler)(request).await;
            match reply.write(&method, &mut stream).await? {
                After::KeepAlive => {}
                After::Close => break,
                After::Reset => {
                    stream.flush().await?;
                    // A reset throws away what the kernel still holds; the bytes promised before it must arrive.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    return stream.get_ref().tcp().set_zero_linger();
                }
            }
        }
        stream.shutdown().await
    }
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

/// A stream whose TCP connection can be reached, to reset it.
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
