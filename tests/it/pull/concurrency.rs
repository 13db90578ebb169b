//! Concurrent processes and tasks at one store: blobs are fetched once, no name is lost, nothing in use is deleted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rpull::Pull;
use rpull::content::{OpenBlobOptions, Target};
use rpull::control::Control;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::name::ImageName;
use rpull::platform::Platform;
use rpull::reference::Reference;
use rpull::registry::{Client, RegistryOptions};
use rpull::transfer::{
    ImageRequest, PlatformRequest, PlatformSelection, TransferOptions, transfer,
};
use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::wait::wait_until;
use crate::support::writing::{begin, open};

fn app(seed: u64) -> Image {
    let base = layer(&[("base", &random_blob(200_000, 1))]);
    image(Family::Oci, "amd64", &[base, layer(&[("app", &random_blob(1000, seed))])])
}

/// Starts a registry with `count` tags, each a different image on one base.
async fn tagged(count: u64) -> (FakeRegistry, Vec<String>) {
    let registry = FakeRegistry::start().await;
    let names = (0..count).map(|seed| {
        app(seed + 2).publish(&registry, "team/app", Some(&seed.to_string()));
        format!("{}:{seed}", registry.repository("team/app"))
    });
    let names = names.collect();
    (registry, names)
}

#[tokio::test]
async fn concurrent_pulls_fetch_each_blob_once() {
    let (registry, names) = tagged(1).await;
    let slowly = Fault::Slow(40_000, Duration::from_millis(30));
    registry.override_response("/blobs/", 0..10, move |reply| reply.fault(slowly.clone()));
    let cli = Cli::new();
    let pulls = join_all((0..2).map(async |_| cli.report(&["--json", &names[0]]).await)).await;
    assert_eq!(registry.server.count("GET /v2/team/app/blobs/"), 3);
    let total = app(2).size();
    let moved = pulls.iter().map(|report| report["bytes"]["transferred"].as_u64().unwrap());
    assert_eq!(moved.sum::<u64>(), total);
    for report in &pulls {
        let parts = ["transferred", "shared"].map(|part| report["bytes"][part].as_u64().unwrap());
        assert_eq!(parts.iter().sum::<u64>(), total);
    }
}

#[tokio::test]
async fn concurrent_pulls_keep_all_tags() {
    let (registry, names) = tagged(8).await;
    let cli = Cli::new();
    let pulls = join_all(names.iter().map(|name| cli.run(std::slice::from_ref(name)))).await;
    for output in pulls {
        output.expect(0, "");
    }
    let listed = cli.json(&["images", "--json"]).await;
    let mut listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|row| row["reference"].as_str().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
    let base = app(2).layers[0].digest().to_string();
    assert_eq!(registry.server.count(&base), 1, "the base of all travels once");

    // The same for names alone.
    let tags: Vec<String> = (0..8).map(|n| format!("mine:{n}")).collect();
    let tagging = tags.iter().map(async |new| cli.run(&["tag", &names[0], new]).await);
    for output in join_all(tagging).await {
        output.expect(0, "tagged ");
    }
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_tasks_share_one_store() {
    let (registry, names) = tagged(5).await;
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(&folder.path().join("s"), LayoutOptions::default()).unwrap();
    let target: Arc<dyn Target> = Arc::new(layout.clone());
    let client = Arc::new(Client::new(RegistryOptions::default()));
    let pulls = (0..50).map(|n: usize| {
        let (target, client) = (Arc::clone(&target), Arc::clone(&client));
        let reference: Reference = names[n % names.len()].parse().unwrap();
        tokio::spawn(async move {
            let wanted = ImageRequest::new(
                Arc::new(client.repository(&reference).unwrap()),
                reference.name(),
            )
            .reference(reference.to_string())
            .target_name(ImageName::Layout(reference.store_name()))
            .platforms(PlatformSelection::Single(PlatformRequest::implicit(Platform::host())));
            transfer(&[wanted], &target, TransferOptions::default()).await.remove(0).error
        })
    });
    for error in join_all(pulls).await {
        assert!(error.unwrap().is_none());
    }
    assert_eq!(layout.entries().unwrap().len(), names.len());
    let blobs = names.len() * 2 + 1;
    assert_eq!(registry.server.count("GET /v2/team/app/blobs/"), blobs);
    assert!(layout.verify(&[], &Control::default()).unwrap().bad.is_empty());
}

#[tokio::test]
async fn waiting_pull_resumes_partial_of_killed_holder() {
    let (registry, names) = tagged(1).await;
    let base = app(2).layers[0].digest().to_string();
    registry.override_response(&base, 0..1, |reply| reply.fault(Fault::Stall(100_000)));
    let cli = Cli::new();
    let first = cli.spawn(&[&names[0]]);
    first.wait_for_partials(1, 100_000).await;
    let second = cli.spawn(&["--json", &names[0]]);
    let partial = cli.store().join("ingest").join(base.replace(':', "-"));
    let waits = async || second.open_files().contains(&partial);
    wait_until("the second does not open the partial", waits).await;
    first.signal(Signal::KILL);
    first.wait().await;
    let output = second.wait().await;
    let report = output.expect(0, "").report();
    assert_eq!(report["bytes"]["resumed"], 100_000, "nothing that had arrived is lost");
    assert_eq!(registry.server.count(&base), 2);
}

#[tokio::test]
async fn lock_timeout_names_stopped_holder() {
    let (registry, names) = tagged(1).await;
    let base = app(2).layers[0].descriptor.clone();
    registry
        .override_response(base.digest.as_str(), 0..1, |reply| reply.fault(Fault::Stall(100_000)));
    let cli = Cli::new();
    let holder = cli.spawn(&[&names[0]]);
    holder.wait_for_partials(1, 100_000).await;
    holder.signal(Signal::STOP);
    let waiter = cli.spawn_in_shell("exec \"$@\" 2>waiter.log", &[&names[0]]);
    let options = LayoutOptions::default().lock_timeout(Duration::from_secs(1));
    let layout = Layout::create(&cli.store(), options).unwrap();
    let error =
        begin(&layout).await.open_blob(&base, &OpenBlobOptions::default()).await.unwrap_err();
    let name = format!("process {} (rpull)", holder.id());
    assert!(error.to_string().contains(&format!("locked by {name}, no progress for 1 s")));
    // It keeps waiting and names the holder; no lock file outlives it.
    let warning = format!("warning: waiting for {name} to release blob {}", base.digest);
    let log = cli.dir().join("waiter.log");
    let warns = async || std::fs::read_to_string(&log).unwrap().contains(&warning);
    wait_until("the waiter does not say for whom it waits", warns).await;
    holder.signal(Signal::KILL);
    waiter.wait().await.expect(0, "");
    assert_eq!(std::fs::read_dir(cli.store().join("ingest")).unwrap().count(), 0);
}

#[tokio::test]
async fn lock_timeout_in_process_names_holder() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(100);
    let options = LayoutOptions::default().lock_timeout(patience);
    let layout = Layout::create(&folder.path().join("s"), options).unwrap();
    let blob = app(2).layers[0].descriptor.clone();
    let writer = begin(&layout).await;
    let _held = open(&*writer, &blob).await;
    let error = writer.open_blob(&blob, &OpenBlobOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn pull_waiting_for_store_lock_does_not_block_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s");
    drop(Layout::create(&root, LayoutOptions::default()).unwrap());
    let holder = std::fs::File::open(&root).unwrap();
    holder.lock().unwrap();
    // On one thread: a pull that kept the thread would end with an error before the timeout is looked at.
    let pull = Pull::new("127.0.0.1:1/a").to(format!("oci:{}", root.display()));
    assert!(tokio::time::timeout(Duration::from_millis(100), pull.into_future()).await.is_err());
    drop(holder);
}

#[tokio::test]
async fn prune_waits_for_running_pull() {
    let (registry, names) = tagged(1).await;
    let last = app(2).layers[1].digest().to_string();
    registry.override_response(&last, 0..1, |reply| {
        reply.fault(Fault::Slow(100, Duration::from_millis(50)))
    });
    let cli = Cli::new();
    let pull = cli.spawn(&["--jobs", "1", &names[0]]);
    pull.wait_for_partials(1, 100).await;
    // The running pull has written blobs that no name references yet.
    let pruned = cli.json(&["prune", "--json"]).await;
    assert_eq!(pruned["blobs"], 0);
    pull.wait().await.expect(0, "");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    cli.run(&[&names[0]]).await.expect(0, "(100 %)");
}
