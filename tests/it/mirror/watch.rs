//! `--watch`: one run after the other, and what it tells monitoring.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use super::{Fleet, app};
use crate::support::wait::wait_until;

/// The answer to a GET: status line, headers and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_follows_changes_until_signal() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let running = fleet.cli.spawn(&["mirror", "--watch", "1s", "m.yaml"]);
    wait_until("nothing is mirrored", async || fleet.to.tagged("m/b", "1.0").is_some()).await;
    app("amd64", 9).publish(&fleet.from, "team/b", Some("1.0"));
    let expected = fleet.from.tagged("team/b", "1.0");
    wait_until("no change is mirrored", async || fleet.to.tagged("m/b", "1.0") == expected).await;
    fleet.write("mirror: [");
    wait_until("the file is not read again", async || {
        let before = fleet.asked().len();
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        fleet.asked().len() == before
    })
    .await;
    running.stop(Signal::TERM).await.expect(0, "error: mirror file: m.yaml:1: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_serves_metrics_and_health() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = format!(":{}", free.port());
    let watch = ["mirror", "--watch", "1h", "--metrics", &port, "m.yaml"];
    let running = fleet.cli.spawn(&watch);
    let address = free.to_string();
    wait_until("no run is counted", async || {
        TcpStream::connect(&address).is_ok()
            && get(&address, "/metrics").contains("rpull_mirror_runs_total{result=\"success\"} 1")
    })
    .await;
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("rpull_mirror_images{state=\"copied\"} 4\n"), "{metrics}");
    assert!(metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"));
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&address, "/x").starts_with("HTTP/1.1 404 "));
    running.stop(Signal::INT).await.expect(0, "metrics on http://127.0.0.1:");
}

#[tokio::test]
async fn watch_of_wrong_file_or_interval_is_usage_error() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [");
    fleet.run(&["--watch", "1s"]).await.expect(2, "mirror file: m.yaml:1: ");
    for interval in ["0s", "soon", "10"] {
        fleet.run(&["--watch", interval]).await.expect(2, "expected an interval such as 30s");
    }
    for (cron, reason) in [("61 * * * *", "`61` is no minute"), ("0 0 * *", "five fields")] {
        fleet.run(&["--watch", cron]).await.expect(2, reason);
    }
    fleet.run(&["--metrics", ":0"]).await.expect(2, "--watch <INTERVAL|CRON>");
    fleet.cli.run(&["mirror", "--watch", "1s", "-"]).await.expect(2, "stdin cannot be read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_by_cron_waits_for_its_time() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [");
    let never = ["--watch", "0 0 29 2 *"];
    fleet.run(&never).await.expect(2, "mirror file: m.yaml:1: ");
    fleet.write_usual();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = format!(":{}", free.port());
    let watch = [&["mirror", "m.yaml", "--metrics", &port], &never[..]].concat();
    let running = fleet.cli.spawn(&watch);
    wait_until("no metrics", async || TcpStream::connect(free).is_ok()).await;
    // The address of the metrics, and the time of the next run.
    running.wait_for_messages(75).await;
    running.stop(Signal::TERM).await.expect(0, "-02-29T00:00:00");
    assert!(fleet.asked().is_empty() && fleet.sent().is_empty());
}
