//! A proxy that leads every host to one server, so that a test can be any host: clients see the names, and TLS to them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A listening proxy; dropping it ends it.
pub(crate) struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl ConnectProxy {
    /// Answers `CONNECT` only, and connects to `target` whatever the name is.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let told = Arc::clone(&asked);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead(client, target, Arc::clone(&told)));
            }
        });
        Self { address, asked, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns each `host:port` that clients asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn lead(
    client: TcpStream,
    target: SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    // The client waits for the answer before it goes on, so nothing of the tunnel is read here.
    while client.read_line(&mut head).await? > 2 {}
    let mut words = head.split(' ');
    let (Some("CONNECT"), Some(name)) = (words.next(), words.next()) else {
        let refused = b"HTTP/1.1 405 Answer\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(refused).await;
    };
    told.lock().unwrap().push(name.to_owned());
    client.write_all(b"HTTP/1.1 200 Answer\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut TcpStream::connect(target).await?).await.map(drop)
}
