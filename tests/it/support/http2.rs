//! An HTTP/2 server over TLS before a registry on plain loopback, with faults that only HTTP/2 has. A client that does not take
//! HTTP/2 speaks HTTP/1.1 with the registry itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use hyper::{Request, Response};
use reqwest::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certs::{Certs, ClientCert};
use super::fake_registry::FakeRegistry;

/// Bytes of a client's connection preface, and of the head of a frame.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

/// How the server deviates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Only offers HTTP/1.1.
    pub(crate) no_http2: bool,
    pub(crate) max_streams: Option<u32>,
    /// Bytes of a request's body that it takes before it asks for more.
    pub(crate) window: Option<u32>,
    /// The first connections are told to go away before any of their streams is processed.
    pub(crate) goaways: usize,
    /// The first streams are reset with this reason.
    pub(crate) resets: usize,
    pub(crate) reset_reason: Option<Reason>,
    /// The first bodies of at least 1,000 bytes are reset after half of them.
    pub(crate) broken_bodies: usize,
}

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether each connection speaks HTTP/2.
    pub(crate) connections: Vec<bool>,
    /// Method and path of each stream that was processed.
    pub(crate) streams: Vec<String>,
}

/// A listening server; dropping it ends it.
pub(crate) struct Http2Server {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    registry: String,
    client: Client,
    faults: Mutex<Faults>,
    seen: Mutex<Seen>,
}

impl Http2Server {
    pub(crate) async fn start(certs: &Certs, registry: &FakeRegistry, faults: Faults) -> Self {
        let mut config = (*certs.server_config(Certs::SERVER, ClientCert::NotAsked)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !faults.no_http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            registry: registry.server.host(),
            client: Client::builder().no_proxy().build().unwrap(),
            faults: Mutex::new(faults),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        state.serve(stream).await;
                    }
                });
            }
        });
        Self { address, state, accepting }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.lock().unwrap().clone()
    }
}

impl Drop for Http2Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    async fn serve(self: Arc<Self>, mut stream: TlsStream<TcpStream>) {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.seen.lock().unwrap().connections.push(is_http2);
        if !is_http2 {
            let mut registry = TcpStream::connect(&self.registry).await.unwrap();
            drop(copy_bidirectional(&mut stream, &mut registry).await);
        } else if self.takes(|faults| &mut faults.goaways) {
            drop(send_away(stream).await);
        } else {
            self.serve_http2(stream).await;
        }
    }

    async fn serve_http2(self: Arc<Self>, stream: TlsStream<TcpStream>) {
        let mut builder = h2::server::Builder::new();
        let faults = self.faults.lock().unwrap().clone();
        if let Some(most) = faults.max_streams {
            builder.max_concurrent_streams(most);
        }
        if let Some(bytes) = faults.window {
            builder.initial_window_size(bytes);
        }
        let Ok(mut connection) = builder.handshake(stream).await else { return };
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if self.takes(|faults| &mut faults.resets) {
                respond.send_reset(faults.reset_reason.unwrap());
                continue;
            }
            let line = format!("{} {}", request.method(), request.uri().path());
            self.seen.lock().unwrap().streams.push(line);
            tokio::spawn(Arc::clone(&self).answer(request, respond));
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let (head, mut body) = request.into_parts();
        let mut sent = Vec::new();
        while let Some(Ok(part)) = body.data().await {
            drop(body.flow_control().release_capacity(part.len()));
            sent.extend_from_slice(&part);
        }
        let url = format!("http://{}{}", self.registry, head.uri.path_and_query().unwrap());
        let forwarded = self.client.request(head.method, url).headers(head.headers).body(sent);
        let answer = forwarded.send().await.unwrap();
        let mut response = Response::new(());
        *response.status_mut() = answer.status();
        let headers = answer.headers().iter();
        let kept = headers
            .filter(|(name, _)| !["connection", "transfer-encoding"].contains(&name.as_str()));
        response.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        let bytes = answer.bytes().await.unwrap();
        let Ok(mut stream) = respond.send_response(response, bytes.is_empty()) else { return };
        if bytes.len() >= 1000 && self.takes(|faults| &mut faults.broken_bodies) {
            drop(stream.send_data(bytes.slice(..bytes.len() / 2), false));
            stream.send_reset(Reason::INTERNAL_ERROR);
        } else if !bytes.is_empty() {
            drop(stream.send_data(bytes, true));
        }
    }

    /// Whether one of these faults is left, which is taken.
    fn takes(&self, fault: impl Fn(&mut Faults) -> &mut usize) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let left = fault(&mut faults);
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }
}

/// Waits for the first request of a connection, and says that none was processed.
async fn send_away(mut stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    stream.write_all(SETTINGS).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; PREFACE]).await?;
    loop {
        let mut head = [0; FRAME_HEAD];
        stream.read_exact(&mut head).await?;
        let [first, second, third, kind, ..] = head;
        let length = u32::from_be_bytes([0, first, second, third]);
        let length = usize::try_from(length).unwrap();
        stream.read_exact(&mut vec![0; length]).await?;
        if kind == HEADERS {
            break;
        }
    }
    stream.write_all(GOAWAY).await?;
    stream.flush().await?;
    // Open until the client ends it.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}
