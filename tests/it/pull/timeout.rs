//! Timeouts: servers that are silent, stall or send too slowly.

use std::time::Duration;

use rpull::error::ErrorKind;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions, Timeouts};
use rpull::retry::RetryPolicy;

use super::Scenario;
use crate::support::cli::Cli;
use crate::support::http::{Fault, Reply, Server};

#[tokio::test]
async fn timeout_silent_server_fails() {
    let silent = Server::start(|_| Reply::new(200, "").fault(Fault::Silence)).await;
    // Its backlog takes the connection, which is never accepted.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for host in [silent.host(), listener.local_addr().unwrap().to_string()] {
        let reference: Reference = format!("{host}/app:1").parse().unwrap();
        let timeouts = Timeouts::default().headers(Duration::from_millis(200));
        let retry = RetryPolicy::default().attempts(1);
        let client = Client::new(RegistryOptions::default().timeouts(timeouts).retry(retry));
        let error = client.repository(&reference).unwrap().tags().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transport);
        assert!(error.to_string().contains("no response within 0.2 s"), "{error}");
        assert!(error.to_string().contains(&host), "{error}");
    }
}

#[tokio::test]
async fn timeout_stalled_body_is_resumed() {
    let mut scenario = Scenario::new(5000).await;
    scenario.idle = Duration::from_millis(150);
    scenario.override_response(0..2, |reply| reply.fault(Fault::Stall(500)));
    scenario.assert_arrived(&scenario.pull().await);
    assert!(scenario.ranges().len() >= 3, "a slow machine may need more");
    // A server that takes the request and says nothing.
    let mut scenario = Scenario::new(5000).await;
    scenario.idle = Duration::from_millis(150);
    scenario.override_response(0..1, |reply| reply.fault(Fault::Silence));
    scenario.assert_arrived(&scenario.pull().await);
}

#[tokio::test]
async fn timeout_slow_error_body_is_cut() {
    let server = Server::start(|_| {
        Reply::new(400, vec![b'x'; 60_000]).fault(Fault::Slow(1, Duration::from_millis(200)))
    })
    .await;
    // All of it would take hours.
    let name = format!("{}/a:1", server.host());
    Cli::new().run(&["digest", "--retries", "0", &name]).await.expect(6, "400 bad request: xxx");
}
