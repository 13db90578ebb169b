//! `rpull serve` inside the test process, and a client that sends arbitrary bytes.

use std::path::PathBuf;

use bytes::Bytes;
use rpull::digest::Digest;
use rpull::layout::{Layout, LayoutOptions};
use rpull::serve::{ServeOptions, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::images::{Blob, Image, Index};

/// A registry over a temporary layout.
pub(crate) struct ServedStore {
    folder: TempDir,
    host: String,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// A received response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl ServedStore {
    /// Starts a registry without access control.
    pub(crate) async fn start() -> Self {
        Self::start_with(&ServeOptions::default()).await
    }

    pub(crate) async fn start_with(options: &ServeOptions) -> Self {
        Self::over(tempfile::tempdir().unwrap(), options).await
    }

    /// Starts a registry over the layout of a stopped one.
    pub(crate) async fn over(folder: TempDir, options: &ServeOptions) -> Self {
        let layout = LayoutOptions::default().private();
        let layout = Layout::create(&folder.path().join("store"), layout).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let server = Server::new(layout, options).unwrap();
        let running = tokio::spawn(server.run(listener, stop.clone()));
        Self { folder, host, stop, running }
    }

    /// Returns `127.0.0.1:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the layout directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Returns the path of a blob.
    pub(crate) fn path_of(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs").join(digest.algorithm_name()).join(digest.encoded())
    }

    /// Returns the number of upload sessions on disk.
    pub(crate) fn sessions(&self) -> usize {
        std::fs::read_dir(self.root().join("sessions")).map_or(0, Iterator::count)
    }

    /// Stops it as a signal does, and returns its layout.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.cancel();
        self.running.await.unwrap();
        self.folder
    }

    /// Sends `METHOD target`; `Content-Length` is added unless the headers have it.
    pub(crate) async fn ask(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpResponse {
        ask(&self.host, line, headers, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> HttpResponse {
        self.ask(&format!("GET {target}"), &[], b"").await
    }

    /// Opens an upload session and returns its `Location`.
    pub(crate) async fn session(&self, repository: &str) -> String {
        let line = format!("POST /v2/{repository}/blobs/uploads/");
        let answer = self.ask(&line, &[], b"").await;
        answer.expect(202, "").header("Location").unwrap().to_owned()
    }

    /// Pushes a blob.
    pub(crate) async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let session = self.session(repository).await;
        self.ask(&format!("PUT {session}?digest={digest}"), &[], bytes).await.expect(201, "");
        digest
    }

    /// Puts a document under a tag or its digest.
    pub(crate) async fn put(&self, repository: &str, name: &str, piece: &Blob) -> HttpResponse {
        let line = format!("PUT /v2/{repository}/manifests/{name}");
        let media_type = piece.descriptor.media_type.as_str();
        self.ask(&line, &[("Content-Type", media_type)], &piece.bytes).await
    }

    /// Pushes an image under a tag, or by its digest.
    pub(crate) async fn push(&self, repository: &str, tag: Option<&str>, image: &Image) {
        for piece in image.blobs() {
            self.blob(repository, &piece.bytes).await;
        }
        let name = tag.unwrap_or(image.manifest.digest().as_str());
        self.put(repository, name, &image.manifest).await.expect(201, "");
    }

    /// Pushes an index with all that is below it.
    pub(crate) async fn push_index(&self, repository: &str, tag: &str, index: &Index) {
        for image in index.images.iter().chain(&index.attestations) {
            self.push(repository, None, image).await;
        }
        self.put(repository, tag, &index.document).await.expect(201, "");
    }
}

impl HttpResponse {
    /// Returns the first header with this name, ignoring case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Returns all headers with this name.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// # Panics
    /// If the status or the code of the first error differs; an empty code is not checked.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, code: &str) -> &Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{:?}\n{body}", self.headers);
        if !code.is_empty() {
            assert_eq!(self.json()["errors"][0]["code"], code, "{body}");
        }
        self
    }
}

/// Sends one request on a new connection.
pub(crate) async fn ask(
    host: &str,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> HttpResponse {
    let mut stream = TcpStream::connect(host).await.unwrap();
    let told = ["content-length", "transfer-encoding"];
    let is_told = headers.iter().any(|(name, _)| told.contains(&&*name.to_ascii_lowercase()));
    let length = body.len().to_string();
    let length = (!is_told).then_some(("Content-Length", length.as_str()));
    let own = [("Host", host), ("Connection", "close")].into_iter().chain(length);
    let lines =
        own.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!("{line} HTTP/1.1\r\n{}\r\n", lines.collect::<String>());
    say(&mut stream, &[head.as_bytes(), body].concat()).await.expect("an answer")
}

/// Sends these bytes and reads the response, if any.
pub(crate) async fn say(stream: &mut TcpStream, bytes: &[u8]) -> Option<HttpResponse> {
    // A server may respond before it has received everything.
    let is_head = bytes.starts_with(b"HEAD ");
    let _early = stream.write_all(bytes).await;
    read_answer(stream, is_head).await
}

/// Reads one response; `None` if the connection ends within its header.
pub(crate) async fn read_answer(stream: &mut TcpStream, is_head: bool) -> Option<HttpResponse> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = HttpResponse { status, headers, body: Vec::new() };
    if !is_head {
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body).await.ok()?;
    }
    Some(answer)
}

/// Encodes bytes as `Transfer-Encoding: chunked`, including the final chunk.
pub(crate) fn chunked(bytes: &[u8], size: usize) -> Bytes {
    let mut text = Vec::new();
    for piece in bytes.chunks(size) {
        text.extend(format!("{:x}\r\n", piece.len()).bytes());
        text.extend(piece);
        text.extend(b"\r\n");
    }
    text.extend(b"0\r\n\r\n");
    text.into()
}
