//! The support itself: each server does what its tests will rely on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::http::{Fault, Reply, Server};

/// One request over a fresh connection: everything that came back, and how the connection ended.
fn exchange(server: &Server) -> (Vec<u8>, std::io::Result<usize>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    stream
        .write_all(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n");
    (answer.split_off(head.map_or(0, |at| at + 4)), end)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_breaks_the_body_at_its_byte() {
    use std::io::ErrorKind::{ConnectionReset, WouldBlock};
    for (fault, body, end) in [
        (Fault::Cut(3), "abc", None),
        (Fault::Reset(3), "abc", Some(ConnectionReset)),
        (Fault::Stall(3), "abc", Some(WouldBlock)),
        (
            Fault::ContentLength(vec!["9".into(), "7".into()]),
            "abcdef",
            None,
        ),
        (Fault::NoLength, "abcdef", None),
        (
            Fault::ChunkedUnfinished(4),
            "4\r\nabcd\r\n2\r\nef\r\n",
            None,
        ),
        (Fault::Raw("junk".into()), "junk", None),
        (Fault::Silence, "", Some(WouldBlock)),
        (Fault::HangUp, "", None),
    ] {
        let reply = Reply::new(200, "abcdef").fault(fault.clone());
        let server = Server::start(move |_| reply.clone()).await;
        let (got, ended) = exchange(&server);
        assert_eq!(String::from_utf8_lossy(&got), body, "{fault:?}");
        assert_eq!(ended.err().map(|error| error.kind()), end, "{fault:?}");
        assert_eq!(server.lines(), ["GET /a?b=c"]);
    }
}

#[tokio::test]
async fn whole_slow_and_chunked_answers_share_one_connection() {
    let server = Server::start(|request| {
        let reply = Reply::new(200, "abcdef");
        match request.path.as_str() {
            "/slow" => reply.fault(Fault::Slow(2, Duration::from_millis(20))),
            "/chunked" => reply.fault(Fault::Chunked(4)),
            _ => reply,
        }
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["/", "/slow", "/chunked"] {
        let answer = client.get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "abcdef");
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.connection == 0)
    );
}
