//! Pulls stopped by signals and kills. Received bytes are kept and the next run resumes.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::{Cli, Running};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::{Blob, Family, Image, image, layer, random_blob};
use crate::support::wait::wait_until;

/// Number of bytes after which the registry stalls.
const STALL: usize = 1_500_000;

/// Starts a registry that stalls in the first response for each of two layers.
pub(super) async fn stalling() -> (FakeRegistry, Image, String) {
    let registry = FakeRegistry::start().await;
    let layers = [1, 2].map(|seed| layer(&[("data", &random_blob(3_000_000, seed))]));
    let held = image(Family::Oci, "amd64", &layers);
    held.publish(&registry, "team/app", Some("1"));
    for layer in &held.layers {
        registry.override_response(layer.digest().as_str(), 0..1, |reply| {
            reply.fault(Fault::Stall(STALL))
        });
    }
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, held, name)
}

/// Waits until both partials have the bytes sent before the stall; returns their lengths.
async fn both_stalled(cli: &Cli, running: &Running) -> Vec<(String, u64)> {
    // Up to 256 KiB of a blob may be received but not yet written.
    running.wait_for_partials(2, STALL as u64 - (256 << 10)).await;
    // The config is complete by then.
    let blobs = cli.store().join("blobs/sha256");
    let is_there = async || std::fs::read_dir(&blobs).unwrap().count() > 0;
    wait_until("the config does not arrive", is_there).await;
    partials(cli)
}

fn partials(cli: &Cli) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(cli.store().join("ingest")).unwrap().map(Result::unwrap);
    let measured = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap().replace('-', ":");
        (name, entry.metadata().unwrap().len())
    };
    entries.map(measured).collect()
}

/// Asserts that the next run resumes each partial at its length and completes.
async fn assert_continued(registry: &FakeRegistry, cli: &Cli, held: &Image, name: &str) {
    let kept = partials(cli);
    assert_eq!(kept.len(), 2);
    registry.server.forget();
    let report = cli.report(&["--json", name]).await;
    for (digest, length) in &kept {
        let requests = registry.server.requests();
        let request = requests.iter().find(|request| request.path.ends_with(digest)).unwrap();
        let whole = held.layers.iter().find(|layer| layer.digest().as_str() == digest).unwrap();
        let range = format!("bytes={length}-{}", whole.descriptor.size - 1);
        assert_eq!(request.header("range"), Some(range.as_str()));
        let rows = report["blobs"].as_array().unwrap();
        let row = rows.iter().find(|row| row["digest"] == json!(digest)).unwrap();
        assert_eq!((&row["outcome"], &row["resumed"]), (&json!("resumed"), &json!(length)));
    }
    let bytes = &report["bytes"];
    let parts = ["transferred", "resumed", "shared"].map(|part| bytes[part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), held.size());
    assert_eq!(partials(cli), []);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn signal_stops_pull_and_reports_bytes() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (registry, held, name) = stalling().await;
        let cli = Cli::new();
        let running = cli.spawn(&["--json", &name]);
        both_stalled(&cli, &running).await;
        let output = running.stop(signal).await;
        output.expect(code, "interrupted").expect(code, " missing, ");
        let report = output.report();
        assert_eq!(report["error"]["kind"], "interrupted");
        output.expect(code, "hint: run the same command again to resume");
        let on_disk: u64 = partials(&cli).iter().map(|(_, length)| length).sum();
        let whole = held.config.descriptor.size;
        assert_eq!(report["bytes"]["transferred"], on_disk + whole, "told is what is kept");
        assert_eq!(report["bytes"]["missing"], held.size() - on_disk - whole);
        assert_continued(&registry, &cli, &held, &name).await;
    }
}

#[tokio::test]
async fn signal_repeated_at_once_reports_bytes() {
    let (_registry, _, name) = stalling().await;
    let cli = Cli::new();
    let running = cli.spawn(&["--json", &name]);
    both_stalled(&cli, &running).await;
    running.signal(Signal::STOP);
    wait_until("it is not stopped", async || running.state() == Some('T')).await;
    // Both arrive when it continues.
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let output = running.stop(Signal::CONT).await;
    assert!(matches!(output.code(), Some(130 | 143)), "{}", output.stderr);
    assert!(output.stdout.contains("transferred"), "{}", output.stderr);
}

#[tokio::test]
async fn resume_after_kill_continues_each_partial() {
    let (registry, held, name) = stalling().await;
    let cli = Cli::new();
    let running = cli.spawn(&[&name]);
    let before = both_stalled(&cli, &running).await;
    running.signal(Signal::KILL);
    assert_eq!(running.wait().await.signal(), Some(9));
    assert_eq!(partials(&cli), before);
    assert!(!cli.run(&["images"]).await.stdout.contains("team/app"), "nothing is named too early");
    assert_continued(&registry, &cli, &held, &name).await;
}

#[tokio::test]
async fn resume_wrong_partial_restarts_once() {
    let (registry, held, name) = stalling().await;
    let cli = Cli::new();
    let running = cli.spawn(&[&name]);
    both_stalled(&cli, &running).await;
    running.signal(Signal::KILL);
    running.wait().await;
    let digest = held.layers[0].digest();
    let partial = cli.store().join("ingest").join(format!("sha256-{}", digest.encoded()));
    std::fs::write(&partial, vec![0; 1_000_000]).unwrap();
    let report = cli.report(&["--json", &name]).await;
    let rows = report["blobs"].as_array().unwrap();
    let row = rows.iter().find(|row| row["digest"] == json!(digest)).unwrap();
    let size = held.layers[0].descriptor.size;
    assert_eq!((&row["outcome"], &row["transferred"]), (&json!("transferred"), &json!(size)));
    assert_eq!(row["resent"], size - 1_000_000, "what was appended to it was for nothing");
    assert_eq!(registry.server.count(digest.as_str()), 3);
}

#[tokio::test]
async fn stopped_and_continued_pull_completes() {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(3_000_000, 1))])]);
    held.publish(&registry, "team/app", Some("1"));
    let slowly = Fault::Slow(100_000, Duration::from_millis(20));
    registry.override_response(held.layers[0].digest().as_str(), 0..9, move |reply| {
        reply.fault(slowly.clone())
    });
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    let running = cli.spawn(&["--json", &name]);
    running.wait_for_partials(1, 100_000).await;
    running.signal(Signal::STOP);
    wait_until("it is not stopped", async || running.state() == Some('T')).await;
    // The registry goes on sending.
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.signal(Signal::CONT);
    let output = running.wait().await;
    let report = output.expect(0, "").report();
    assert_eq!(report["bytes"]["transferred"], held.size());
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn interrupt_exit_code_wins_over_earlier_failure() {
    let (_registry, _, name) = stalling().await;
    let cli = Cli::new();
    let running = cli.spawn(&[&name.replace(":1", ":missing"), &name]);
    both_stalled(&cli, &running).await;
    running.signal(Signal::INT);
    running.wait().await.expect(130, "manifest unknown").expect(130, "interrupted");
}

#[tokio::test]
async fn signal_stops_pull_waiting_for_store_lock() {
    let (_registry, _, name) = stalling().await;
    let cli = Cli::new();
    std::fs::create_dir_all(cli.store().join("blobs")).unwrap();
    std::fs::write(cli.store().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    // Like the lock of `prune`.
    let holder = std::fs::File::open(cli.store()).unwrap();
    holder.lock().unwrap();
    for flags in [&[][..], &["--plan"], &["--offline"]] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
            let running = cli.spawn(&[flags, &["pull", &name]].concat());
            let waits = async || running.open_files().contains(&cli.store());
            wait_until("it does not open the store", waits).await;
            running.stop(signal).await.expect(code, "interrupted");
        }
    }
}

#[tokio::test]
async fn signal_or_kill_leaves_no_partial_archive() {
    for form in ["oci-archive", "docker-archive"] {
        for (signal, code) in
            [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)]
        {
            let (registry, held, name) = stalling().await;
            let cli = Cli::new();
            std::fs::create_dir(cli.dir().join("out")).unwrap();
            let running = cli.spawn(&["-o", &format!("{form}:out/a.tar"), &name]);
            let asked = |layer: &Blob| {
                let requests = registry.server.requests();
                requests.iter().any(|request| request.path.ends_with(layer.digest().as_str()))
            };
            let all_asked = async || held.layers.iter().all(asked);
            wait_until("not all layers are asked for", all_asked).await;
            running.signal(signal);
            assert_eq!(running.wait().await.code(), code);
            let left = std::fs::read_dir(cli.dir().join("out")).unwrap().count();
            assert_eq!(left, 0, "{form} {signal:?}");
        }
    }
}

#[tokio::test]
async fn signal_stops_save_resolving_images() {
    let server = Server::start(|_| Reply::new(200, "").fault(Fault::Silence)).await;
    let (cli, name) = (Cli::new(), format!("docker://{}/app:1", server.host()));
    let running = cli.spawn(&["save", &name, "-o", "a.tar"]);
    wait_until("nothing is asked", async || !server.requests().is_empty()).await;
    running.stop(Signal::INT).await.expect(130, "error: save: interrupted");
}
