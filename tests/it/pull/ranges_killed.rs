//! One pull with ranges that is killed again and again.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::wait::wait_until;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn ranges_of_pull_killed_many_times_are_not_requested_again() {
    let kills = number("RPULL_KILLS", 8);
    let seed = number("RPULL_SEED", fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let size = (16 << 20) + (kills << 20);
    let registry = FakeRegistry::start().await;
    let bytes = random_blob(usize::try_from(size).unwrap(), seed);
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &bytes)])]);
    held.publish(&registry, "app", Some("1"));
    let sent = Arc::<AtomicU64>::default();
    let (counted, digest) = (Arc::clone(&sent), held.layers[0].digest().to_string());
    registry.disturb(move |request, reply| {
        if !request.path.ends_with(&digest) {
            return reply;
        }
        reply.fault(Fault::Slow(16 << 10, Duration::from_millis(20))).counted(&counted)
    });

    let cli = Cli::new();
    let name = registry.repository("app") + ":1";
    let mut killed = 0;
    for _ in 0..kills {
        let until = sent.load(Ordering::Relaxed) + random.u64(..2 * (size - (12 << 20)) / kills);
        let pull = cli.spawn(&["-q", &name]);
        wait_until("nothing is sent", async || {
            sent.load(Ordering::Relaxed) >= until || pull.state() == Some('Z')
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.u64(..20))).await;
        if pull.state() == Some('Z') {
            pull.wait().await.expect(0, "");
            break;
        }
        pull.signal(Signal::KILL);
        pull.wait().await;
        killed += 1;
    }
    let report = cli.report(&["--json", &name]).await;
    assert_eq!(report["bytes"]["total"].as_u64(), Some(held.size()));
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    let blob = held.layers[0].descriptor.size;
    let twice = sent.load(Ordering::Relaxed) - blob;
    let requests = registry.server.requests();
    let ranges = requests.iter().filter(|request| request.header("range").is_some()).count();
    let summary = format!(
        "RPULL_SEED={seed}: {killed} kills, {ranges} range requests, {twice} of {blob} bytes sent twice"
    );
    // Not through the test harness, which captures the output of passing tests.
    writeln!(std::io::stderr(), "{summary}").unwrap();
    assert!(ranges as u64 > killed, "several connections are used: {summary}");
    assert!(twice < blob / 4, "not only what was on its way: {summary}");
}
