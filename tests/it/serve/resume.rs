//! Killed pushes to `rpull serve`, and a `rpull serve` killed during a push.

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::recorder;
use crate::support::serve_process::ServeProcess;
use crate::support::wait::wait_until;

/// Returns a store with an image of one layer of 6 MB.
async fn stored() -> (Cli, Image) {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(6_000_000, 5))])]);
    held.publish(&registry, "app", Some("1"));
    cli.run(&["copy", &registry.repository("app:1"), "store:app:1"]).await.expect(0, "");
    (cli, held)
}

/// Waits until an upload session has at least `bytes` bytes.
async fn arrived(serving: &ServeProcess, bytes: u64) {
    let grown = async || serving.sessions().iter().any(|length| *length >= bytes);
    wait_until(&format!("no {bytes} bytes arrive"), grown).await;
}

/// Asserts that the image is complete and no upload session is left.
async fn assert_arrived(server: &Cli, serving: &ServeProcess, held: &Image) {
    assert_eq!(serving.sessions(), Vec::<u64>::new());
    assert_eq!(server.json(&["verify", "--json"]).await["bad"], json!([]));
    let there = Cli::new();
    let name = format!("{}/team/app:1", serving.host());
    let report = there.report(&["pull", "--json", &name]).await;
    assert_eq!(report["digest"], json!(held.manifest.digest()));
    assert_eq!(report["bytes"]["transferred"], held.size());
}

#[tokio::test]
async fn push_killed_resumes_inside_blob() {
    let ((cli, held), server) = (stored().await, Cli::new());
    let serving = ServeProcess::start(&server).await;
    let target = format!("{}/team/app:1", serving.host());
    let running = cli.spawn(&["push", "--limit-rate", "2M", "app:1", &target]);
    arrived(&serving, 1_500_000).await;
    running.signal(Signal::KILL);
    running.wait().await;
    // Bytes in the kernel's buffers still arrive.
    wait_until("the upload does not end", async || !serving.receives()).await;
    let kept = serving.sessions()[0];
    let front = recorder::in_front_of(serving.host()).await;
    let report = cli.report(&["push", "--json", "app:1", &target]).await;
    let bytes = &report["bytes"];
    assert_eq!(bytes["resumed"], kept, "{bytes}");
    let config = held.config.descriptor.size;
    let committed = bytes["shared"].as_u64().unwrap() + bytes["mounted"].as_u64().unwrap();
    assert!(committed == 0 || committed == config, "{bytes}");
    assert_eq!(bytes["transferred"], held.size() - kept - committed);
    assert_eq!(bytes["resent"], 0);
    assert_arrived(&server, &serving, &held).await;
    drop(front);
}

#[tokio::test]
async fn push_resumes_when_killed_server_returns() {
    let ((cli, held), server) = (stored().await, Cli::new());
    let serving = ServeProcess::start(&server).await;
    let address = serving.host().to_owned();
    let target = format!("{address}/team/app:1");
    let running = cli.spawn(&["push", "--json", "--limit-rate", "2M", "app:1", &target]);
    arrived(&serving, 1_500_000).await;
    serving.end(Signal::KILL).await;
    let serving = ServeProcess::start_at(&server, &address).await;
    let output = running.wait().await;
    let report = output.expect(0, "").report();
    let bytes = &report["bytes"];
    assert_eq!(bytes["resumed"], 0, "nothing is from an earlier run: {bytes}");
    // Only bytes in flight when the server died are sent twice.
    assert!(bytes["resent"].as_u64().unwrap() < 3_000_000, "{bytes}");
    assert_eq!(bytes["total"], held.size());
    assert_arrived(&server, &serving, &held).await;
}

#[tokio::test]
async fn push_resumes_after_client_and_server_died() {
    let ((cli, held), server) = (stored().await, Cli::new());
    let serving = ServeProcess::start(&server).await;
    let address = serving.host().to_owned();
    let target = format!("{address}/team/app:1");
    let running = cli.spawn(&["push", "--limit-rate", "2M", "app:1", &target]);
    arrived(&serving, 1_500_000).await;
    running.signal(Signal::KILL);
    serving.end(Signal::KILL).await;
    running.wait().await;
    let serving = ServeProcess::start_at(&server, &address).await;
    let kept = serving.sessions()[0];
    let report = cli.report(&["push", "--json", "app:1", &target]).await;
    assert!(kept >= 1_500_000);
    assert_eq!(report["bytes"]["resumed"], kept, "{report}");
    assert_arrived(&server, &serving, &held).await;
}

#[tokio::test]
async fn push_of_same_image_by_two_processes_succeeds() {
    let ((one, held), server) = (stored().await, Cli::new());
    let two = Cli::new();
    one.run(&["save", "app:1", "-o", "a.tar"]).await.expect(0, "");
    two.run(&["load", one.dir().join("a.tar").to_str().unwrap()]).await.expect(0, "");
    let serving = ServeProcess::start(&server).await;
    let target = format!("{}/team/app:1", serving.host());
    let pushes = [&one, &two].map(|cli| cli.spawn(&["push", "app:1", &target]));
    for push in pushes {
        push.wait().await.expect(0, "");
    }
    assert_arrived(&server, &serving, &held).await;
}

#[tokio::test]
async fn tag_set_by_other_process_is_served() {
    let ((cli, held), server) = (stored().await, Cli::new());
    let serving = ServeProcess::start(&server).await;
    cli.run(&["push", "app:1", &format!("{}/team/app:1", serving.host())]).await.expect(0, "");
    server.run(&["tag", "localhost/team/app:1", "localhost/team/app:2"]).await.expect(0, "");
    let name = format!("{}/team/app:2", serving.host());
    let digest = cli.run(&["digest", &name]).await;
    assert_eq!(digest.stdout.trim(), held.manifest.digest().as_str());
    server.run(&["rm", "localhost/team/app:2"]).await.expect(0, "");
    cli.run(&["digest", &name]).await.expect(3, "manifest 2 unknown");
}
