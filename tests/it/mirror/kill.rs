//! Runs that are killed at any moment are completed by the next run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::Notify;

use super::{Fleet, app, names, sorted};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, index};

/// Twelve tags in four repositories over one base, one of them an index.
fn publish(registry: &FakeRegistry) {
    for (number, repository) in ["a", "b", "c"].into_iter().enumerate() {
        for tag in 0..4_u64 {
            let image = app("amd64", 100 + 10 * number as u64 + tag % 3);
            image.publish(registry, &format!("fleet/{repository}"), Some(&format!("1.{tag}")));
        }
    }
    let images = ["amd64", "arm64"].map(|name| (name, app(name, 200)));
    index(Family::Oci, &images).publish(registry, "fleet/multi", "1.0");
}

fn tags() -> Vec<(String, String)> {
    let of =
        |name: &str| (0..4).map(|tag| (name.to_owned(), format!("1.{tag}"))).collect::<Vec<_>>();
    let single = ["a", "b", "c"].iter().flat_map(|name| of(name));
    single.chain([("multi".to_owned(), "1.0".to_owned())]).collect()
}

fn write(fleet: &Fleet) {
    let entry = |name: &str| format!("- {{from: FROM/fleet/{name}, to: TO/m/{name}}}\n");
    let entries: String = ["a", "b", "c", "multi"].iter().map(|name| entry(name)).collect();
    fleet.write(&format!("mirror:\n{entries}"));
}

/// The digests of all tags at the target.
fn mirrored(fleet: &Fleet) -> BTreeMap<String, Option<String>> {
    let found = tags()
        .into_iter()
        .map(|(name, tag)| (format!("{name}:{tag}"), fleet.to.tagged(&format!("m/{name}"), &tag)));
    found.collect()
}

fn expected(fleet: &Fleet) -> BTreeMap<String, Option<String>> {
    let found = tags().into_iter().map(|(name, tag)| {
        (format!("{name}:{tag}"), fleet.from.tagged(&format!("fleet/{name}"), &tag))
    });
    found.collect()
}

/// The number of requests that both registries see from now on until `limit`, when it notifies.
fn notify_at(fleet: &Fleet, limit: usize) -> Arc<Notify> {
    let (seen, notify) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    for registry in [&fleet.from, &fleet.to] {
        let (seen, notify) = (Arc::clone(&seen), Arc::clone(&notify));
        registry.disturb(move |_, reply| {
            if seen.fetch_add(1, Ordering::Relaxed) + 1 == limit {
                notify.notify_one();
            }
            reply
        });
    }
    notify
}

#[tokio::test(flavor = "multi_thread")]
async fn mirror_killed_at_random_moments_is_completed_by_next_run() {
    let whole = Fleet::start().await;
    publish(&whole.from);
    write(&whole);
    whole.run(&[]).await.expect(0, "mirrored 13 images");
    let requests = whole.asked().len() + whole.sent().len();
    let mut random = fastrand::Rng::with_seed(15);
    for kill in 0..20 {
        let fleet = Fleet::start().await;
        publish(&fleet.from);
        write(&fleet);
        let at = random.usize(1..requests);
        let notify = notify_at(&fleet, at);
        let running = fleet.cli.spawn(&["mirror", "m.yaml"]);
        let signal = if random.bool() { Signal::KILL } else { Signal::INT };
        // A run that ends before is as good.
        let is_reached = tokio::time::timeout(Duration::from_secs(20), notify.notified()).await;
        if is_reached.is_ok() && running.state() != Some('Z') {
            running.signal(signal);
        }
        let stopped = running.wait().await;
        for (name, digest) in mirrored(&fleet) {
            assert!(digest.is_none() || digest == expected(&fleet)[&name], "{kill} {at} {name}");
        }
        for line in stopped.stdout.lines() {
            let (name, digest) = line.split_once('@').unwrap();
            let (repository, tag) = name.rsplit_once(':').unwrap();
            let repository = repository.split_once('/').unwrap().1;
            assert_eq!(fleet.to.tagged(repository, tag).as_deref(), Some(digest), "{kill} {at}");
        }
        let output = fleet.run(&[]).await;
        output.expect(0, "mirrored 13 images");
        assert_eq!(mirrored(&fleet), expected(&fleet), "{kill} {at} {signal:?}");
        fleet.run(&[]).await.expect(0, "mirrored 13 images (13 unchanged)");
    }
}

#[tokio::test]
async fn two_shards_together_equal_one_run() {
    let (whole, parts) = (Fleet::start().await, Fleet::start().await);
    let mut printed = Vec::new();
    for fleet in [&whole, &parts] {
        publish(&fleet.from);
        write(fleet);
    }
    let all = whole.run(&[]).await;
    for shard in ["1/2", "2/2"] {
        let output = parts.run(&["--shard", shard]).await;
        output.expect(0, "");
        printed.extend(names(&output));
    }
    assert_eq!(sorted(printed), names(&all));
    assert_eq!(mirrored(&parts), mirrored(&whole));
    assert_eq!(mirrored(&whole), expected(&whole));
}
