//! Mirrors that lack content, fail, lie or break off: the next host is asked, and this is not a retry.

use std::time::Duration;

use rpull::registry::{Client, Mirrors, RegistryOptions};
use rpull::retry::{RetryPolicy, Timeouts};
use rpull::{Memory, Pull};
use serde_json::{Value, json};

use crate::support::assertions::assert_digests_are_right;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Blob, Family, assemble, image, layer, random_blob};
use crate::support::mirrored::Mirrored;
use crate::support::wait::wait_until;

/// The number of requests for manifests and for blobs.
fn counts(registry: &FakeRegistry) -> (usize, usize) {
    (registry.server.count("/manifests/"), registry.server.count("/blobs/"))
}

/// A pull by the library, with a short timeout.
fn pull_without_retries(all: &Mirrored) -> Pull {
    let hosts = all.hosts_dir(&format!("[host.\"{}\"]\n", all.mirror_url()));
    let retry = RetryPolicy::default().attempts(1);
    let options = RegistryOptions::default()
        .mirrors(Mirrors::in_hosts_dir(hosts))
        .timeouts(Timeouts::default().idle(Duration::from_secs(2)))
        .retry(retry);
    Pull::new(all.name().as_str()).client(Client::new(options)).retry(retry)
}

#[tokio::test]
async fn mirror_without_image_leads_to_registry() {
    let all = Mirrored::start().await;
    let output = all.pull().await;
    output.expect(0, "");
    assert!(!output.stderr.contains("mirror"), "{}", output.stderr);
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (1, 3)));
    assert_eq!(output.report()["requests"]["total"], 8);
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn mirror_without_one_blob_gives_the_others() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let layer = &all.image.layers[1].descriptor;
    all.mirror.delete_blob("app", &layer.digest);
    let output = all.pull().await;
    output.expect(0, "using the mirror");
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (0, 1)));
    let hosts = &output.report()["hosts"];
    let from = format!(" from {}", all.registry.server.host());
    output.expect(0, &from).expect(0, &format!(" from {}", all.mirror.server.host()));
    assert_eq!(hosts[all.registry.server.host()], layer.size);
    assert_eq!(hosts[all.mirror.server.host()], all.image.size() - layer.size);
}

#[tokio::test]
async fn failing_mirror_is_given_up() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    all.mirror.fail_requests("GET ", 0..99, Reply::new(500, "broken"));
    let output = all.pull().await;
    output.expect(0, &format!("warning: mirror {} is left out", all.mirror.server.host()));
    assert_eq!(output.stderr.matches("warning").count(), 1, "{}", output.stderr);
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 2), (1, 3)));
}

#[tokio::test]
async fn rate_limiting_mirror_is_given_up_at_once() {
    let all = Mirrored::start().await;
    let slow_down = Reply::new(429, "slow down").header("Retry-After", "30");
    all.mirror.fail_requests("GET ", 0..99, slow_down);
    all.pull().await.expect(0, "is left out");
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 0), (1, 3)));
}

#[tokio::test]
async fn unreachable_mirror_is_given_up_at_once() {
    let mut all = Mirrored::start().await;
    let url = all.mirror_url();
    all.mirror = FakeRegistry::start().await;
    let hosts = format!("[host.\"{url}\"]\n[host.\"{}\"]\n", all.mirror_url());
    let output = all.run(&hosts, &["pull", "--jobs", "1", &all.name()]).await;
    output.expect(0, &format!("warning: mirror {} is left out", &url["http://".len()..]));
    assert_eq!(output.stderr.matches("warning").count(), 1, "{}", output.stderr);
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (1, 3)));
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_named_and_blob_read_from_registry() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let layer = &all.image.layers[1];
    let wrong: Vec<u8> = layer.bytes.iter().map(|byte| !byte).collect();
    all.mirror.blob_as("app", layer.digest(), wrong);
    let output = all.pull().await;
    let named = format!("mirror {} is left out: blob {}", all.mirror.server.host(), layer.digest());
    output.expect(0, &named);
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (0, 1)));
    let report = output.report();
    assert_eq!(report["bytes"]["resent"], layer.descriptor.size);
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_left_out_for_all_targets() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let layer = &all.image.layers[1];
    all.mirror.blob_as("app", layer.digest(), vec![0; layer.bytes.len()]);
    let (one, two) = (Memory::default(), Memory::default());
    let report = pull_without_retries(&all).to(&one).to(&two).await.unwrap();
    assert_eq!(report.images.len(), 2);
    assert_eq!(all.mirror.server.count(&format!("/blobs/{}", layer.digest())), 1);
}

/// An image at a registry and a mirror, which has other bytes for one layer; with the name of the layer's blob and the
/// mirrors of the registry.
async fn with_wrong_layer(size: usize) -> (Mirrored, String, String) {
    let mut all = Mirrored::start().await;
    let lower = layer(&[("a", b"a")]);
    all.image = image(Family::Oci, "amd64", &[lower, layer(&[("data", &random_blob(size, 7))])]);
    all.image.publish(&all.registry, "app", Some("1"));
    all.fill_mirror();
    let layer = &all.image.layers[1];
    all.mirror.blob_as("app", layer.digest(), vec![0; layer.bytes.len()]);
    let blob = format!("{}@{}", all.registry.repository("app"), layer.digest());
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    (all, blob, hosts)
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_left_out_of_streams() {
    let (all, blob, hosts) = with_wrong_layer(300_000).await;
    let named = format!("warning: mirror {} is left out: blob", all.mirror.server.host());
    let layer = &all.image.layers[1];
    let output = all.run(&hosts, &["blob", "-o", "file", &blob]).await;
    output.expect(0, &named);
    assert_eq!(std::fs::read(all.cli.dir().join("file")).unwrap(), layer.bytes);
    all.run(&hosts, &["blob", "-o", "/dev/null", &blob]).await.expect(0, &named);
    for words in [&["cat"][..], &["cat", "--layer", "0"]] {
        let output = all.run(&hosts, &[words, &[&all.name(), "/a"]].concat()).await;
        output.expect(0, if words.len() == 1 { &named } else { "" });
        assert_eq!(output.stdout, "a");
    }

    all.cli.run(&[&all.name()]).await.expect(0, "");
    let stored = all.cli.store().join("blobs/sha256").join(layer.digest().encoded());
    std::fs::remove_file(&stored).unwrap();
    all.run(&hosts, &["verify", "--repair"]).await.expect(0, &named);
    assert_eq!(std::fs::read(&stored).unwrap(), layer.bytes);
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_left_out_of_artifact_pull() {
    let mut all = Mirrored::start().await;
    let mut file = Blob::new("text/plain".into(), "right".repeat(1000));
    let title = "org.opencontainers.image.title".to_owned();
    file.descriptor.annotations.insert(title, "notes.txt".to_owned());
    let (wrong, digest) = (vec![0; file.bytes.len()], file.digest().clone());
    let config = Blob::new("application/vnd.oci.empty.v1+json".into(), "{}");
    all.image = assemble(Family::Oci, config, vec![file]);
    all.image.publish(&all.registry, "app", Some("1"));
    all.fill_mirror();
    all.mirror.blob_as("app", &digest, wrong);
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    let output = all.run(&hosts, &["artifact", "pull", &all.name(), "-o", "d"]).await;
    output.expect(0, &format!("warning: mirror {} is left out", all.mirror.server.host()));
    let written = std::fs::read(all.cli.dir().join("d/notes.txt")).unwrap();
    assert_eq!(written, all.image.layers[0].bytes);
}

#[tokio::test]
async fn mirror_with_wrong_bytes_is_left_out_of_verify() {
    let other = layer(&[("other", b"x")]).bytes.to_vec();
    // No gzip; and a layer with another diff_id.
    for wrong in [vec![0; other.len()], other] {
        let (all, _, hosts) = with_wrong_layer(300_000).await;
        all.mirror.blob_as("app", all.image.layers[0].digest(), wrong.clone());
        let verify = ["verify", "--json", &format!("docker://{}", all.name())];
        let output = all.run(&hosts, &verify).await;
        output.expect(0, &format!("warning: mirror {} is left out", all.mirror.server.host()));
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(report["bad"], json!([]), "{wrong:?}");
    }
}

#[tokio::test]
async fn mirror_with_wrong_bytes_ends_written_stream() {
    let (all, blob, hosts) = with_wrong_layer(3 << 20).await;
    let output = all.run(&hosts, &["blob", "-o", "/dev/null", &blob]).await;
    output.expect(5, &format!("mirror {} is left out", all.mirror.server.host()));
    let output = all.run(&hosts, &["blob", "-o", "file", &blob]).await;
    output.expect(0, "is left out");
    assert_eq!(std::fs::read(all.cli.dir().join("file")).unwrap(), all.image.layers[1].bytes);
}

#[tokio::test]
async fn mirror_with_wrong_manifest_is_named_and_registry_asked() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let line = format!("GET /v2/app/manifests/{}", all.image.manifest.digest());
    all.mirror.override_response(&line, 0..9, |mut reply| {
        reply.body = [&reply.body[..], b" "].concat().into();
        reply
    });
    let pinned = format!("{}@{}", all.registry.repository("app"), all.image.manifest.digest());
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    let output = all.run(&hosts, &["manifest", &pinned]).await;
    output.expect(0, &format!("warning: mirror {} is left out", all.mirror.server.host()));
    output.expect(0, "digest mismatch");
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 0), (1, 0)));
}

#[tokio::test]
async fn mirror_with_wrong_config_is_left_out_where_it_is_read_into_memory() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let config = &all.image.config;
    all.mirror.blob_as("app", config.digest(), vec![b'x'; config.bytes.len()]);
    let hosts = format!("[host.\"{}\"]\n", all.mirror_url());
    let output = all.run(&hosts, &["config", &all.name()]).await;
    output.expect(0, "digest mismatch");
    assert_eq!(output.stdout.as_bytes(), &config.bytes);
}

#[tokio::test]
async fn mirror_breaking_off_is_continued_by_range_without_retry() {
    for fault in [Fault::Cut(100_000), Fault::Reset(100_000)] {
        let all = Mirrored::start().await;
        all.fill_mirror();
        let layer = &all.image.layers[1].descriptor;
        let line = format!("GET /v2/app/blobs/{}", layer.digest);
        let broken = fault.clone();
        all.mirror.override_response(&line, 0..9, move |reply| reply.fault(broken.clone()));
        let output = all.pull().await;
        output.expect(0, "is left out");
        assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (0, 1)));
        let rest = &all.registry.server.requests()[0];
        let first = rest.header("range").unwrap().strip_prefix("bytes=").unwrap().to_owned();
        let (first, last) = first.split_once('-').unwrap();
        assert_eq!(last, (layer.size - 1).to_string());
        let first: u64 = first.parse().unwrap();
        assert!(matches!(fault, Fault::Reset(_)) || first == 100_000, "{first}");
        let report = output.report();
        assert_eq!(report["bytes"]["resent"], 0);
        let hosts = report["hosts"].as_object().unwrap();
        let sum: u64 = hosts.values().filter_map(Value::as_u64).sum();
        assert_eq!(sum, all.image.size());
        assert_eq!(hosts[&all.registry.server.host()], layer.size - first);
        assert_digests_are_right(&all.cli.store());
    }
}

#[tokio::test]
async fn mirror_breaking_off_after_last_byte_is_enough() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    all.mirror
        .override_response("/blobs/", 0..9, |reply| reply.fault(Fault::ChunkedUnfinished(1000)));
    let output = all.pull().await;
    output.expect(0, "using the mirror");
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    assert_eq!((counts(&all.mirror), counts(&all.registry)), ((1, 3), (0, 0)));
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn stalled_mirror_is_continued_without_retry() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let line = format!("GET /v2/app/blobs/{}", all.image.layers[1].digest());
    all.mirror.override_response(&line, 0..1, |reply| reply.fault(Fault::Stall(50_000)));
    let report = pull_without_retries(&all).to(Memory::default()).await.unwrap();
    assert_eq!(report.images[0].report.hosts.len(), 2);
    assert_eq!(counts(&all.registry), (0, 1));
}

#[tokio::test]
async fn slow_mirror_is_continued_without_retry() {
    let all = Mirrored::start().await;
    all.fill_mirror();
    let line = format!("GET /v2/app/blobs/{}", all.image.layers[1].digest());
    let trickle = Fault::Slow(50, Duration::from_millis(100));
    all.mirror.override_response(&line, 0..1, move |reply| reply.fault(trickle.clone()));
    let report = pull_without_retries(&all).to(Memory::default()).await.unwrap();
    assert_eq!(report.images[0].report.hosts.len(), 2);
    assert_eq!((all.mirror.server.count(&line), counts(&all.registry)), (1, (0, 1)));
}

#[tokio::test]
async fn mirror_ending_during_several_ranges_is_continued_without_retry() {
    let mut all = Mirrored::start().await;
    let image = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(12 << 20, 9))])]);
    image.publish(&all.registry, "app", Some("2"));
    image.publish(&all.mirror, "app", Some("2"));
    let limited = Fault::Slow(64 << 10, Duration::from_millis(20));
    all.mirror.override_response("/blobs/", 0..999, move |reply| reply.fault(limited.clone()));
    let hosts = all.hosts_dir(&format!("[host.\"{}\"]\n", all.mirror_url()));
    let name = all.registry.repository("app:2");
    let hosts = hosts.display().to_string();
    let pull = all.cli.spawn(&["--retries", "0", "--hosts-dir", &hosts, "pull", "--json", &name]);
    let large = format!("GET /v2/app/blobs/{}", image.layers[0].digest());
    wait_until("no range is requested", async || all.mirror.server.count(&large) > 2).await;
    all.mirror = FakeRegistry::start().await;
    let output = pull.wait().await;
    output.expect(0, "is left out");
    let hosts = output.report()["hosts"].as_object().unwrap().clone();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn mirror_stalling_in_each_range_is_left() {
    let all = Mirrored::start().await;
    let image = image(Family::Oci, "amd64", &[layer(&[("data", &random_blob(12 << 20, 9))])]);
    image.publish(&all.registry, "app", Some("2"));
    image.publish(&all.mirror, "app", Some("2"));
    let digest = image.layers[0].digest().to_string();
    all.mirror.override_response(&digest, 0..999, |reply| reply.fault(Fault::Stall(1 << 20)));
    let hosts = all.hosts_dir(&format!("[host.\"{}\"]\n", all.mirror_url()));
    let (hosts, name) = (hosts.display().to_string(), all.registry.repository("app:2"));
    let arguments = ["--retries", "0", "--hosts-dir", &hosts, "pull", "--json", &name];
    let output = all.cli.run(&arguments).await;
    output.expect(0, "is left out");
    let hosts = output.report()["hosts"].as_object().unwrap().clone();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    assert_digests_are_right(&all.cli.store());
}

#[tokio::test]
async fn failing_registry_after_mirror_names_both() {
    let all = Mirrored::start().await;
    all.mirror.fail_requests("GET ", 0..9, Reply::new(500, "broken mirror"));
    all.registry.fail_requests("GET ", 0..9, Reply::new(502, "broken registry"));
    let output = all.pull().await;
    output.expect(6, "502").expect(6, &format!("mirror {}: ", all.mirror.server.host()));
}
