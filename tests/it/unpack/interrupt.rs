//! The first Ctrl-C ends an unpack, whatever it waits for, and leaves nothing next to the target.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::cli::{Cli, Running};
use crate::support::entries::{TarItem, layer_of};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply};
use crate::support::images::{Family, Image, image};
use crate::support::tars;
use crate::support::wait::wait_until;
use crate::unpack::faults::{WAYS, args, assert_nothing_beside, sample};

async fn published(held: &Image) -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    held.publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    (registry, name)
}

async fn assert_interrupted(running: Running, cli: &Cli, way: &[&str], point: &str) {
    let output = running.stop(Signal::INT).await;
    output.expect(130, "interrupted");
    assert!(!output.stderr.contains("panicked"), "{way:?}: {point}: {}", output.stderr);
    assert_nothing_beside(cli.dir(), way, point);
}

#[tokio::test]
async fn interrupt_while_download_stalls_ends_unpack() {
    let stalls: [fn(Reply) -> Reply; 2] =
        [|reply| reply.fault(Fault::Stall(100_000)), |reply| reply.fault(Fault::Silence)];
    for (layer, stall) in (0..3).flat_map(|layer| stalls.map(|stall| (layer, stall))) {
        let held = sample();
        let (registry, name) = published(&held).await;
        let line = format!("GET /v2/team/app/blobs/{}", held.layers[layer].digest());
        registry.override_response(&line, 0..usize::MAX, stall);
        for way in WAYS {
            let cli = Cli::new();
            registry.server.forget();
            let running = cli.spawn(&args(way, &name));
            wait_until("the layer is not asked for", async || registry.server.count(&line) > 0)
                .await;
            assert_interrupted(running, &cli, way, &line).await;
        }
    }
}

/// Returns an image with a layer of many small files.
fn many_files() -> Image {
    let items: Vec<_> = (0..60_000).map(|n| TarItem::file(format!("d/{n}"), "content")).collect();
    image(Family::Oci, "amd64", &[layer_of(&items), layer_of(&[TarItem::file("last", "1")])])
}

fn trees_in(dir: &Path) -> Option<PathBuf> {
    let made = std::fs::read_dir(dir).ok()?.flatten();
    made.map(|entry| entry.path().join(entry.file_name()))
        .find(|path| path.to_string_lossy().contains(".rpull-unpack-"))
}

#[tokio::test]
async fn interrupt_while_files_are_written_ends_unpack() {
    let held = many_files();
    let (_registry, name) = published(&held).await;
    for way in &WAYS[..3] {
        let cli = Cli::new();
        let running = cli.spawn(&args(way, &name));
        wait_until("no file is made", async || {
            trees_in(cli.dir()).is_some_and(|tree| tree.join("d/100").exists())
        })
        .await;
        assert_interrupted(running, &cli, way, "while files are made").await;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &held);
    let running = cli.spawn(&["unpack", &archive, "root"]);
    wait_until("no file is made", async || {
        trees_in(cli.dir()).is_some_and(|tree| tree.join("d/100").exists())
    })
    .await;
    std::fs::remove_file(cli.dir().join("image.tar")).unwrap();
    assert_interrupted(running, &cli, &[], "from an archive").await;
}

/// Creates a store with this file locked, as by another process.
fn locked(cli: &Cli, path: &str) -> std::fs::File {
    for dir in ["blobs/sha256", "ingest"] {
        std::fs::create_dir_all(cli.store().join(dir)).unwrap();
    }
    let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
    std::fs::write(cli.store().join("oci-layout"), version).unwrap();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    std::fs::write(cli.store().join("index.json"), index).unwrap();
    let path = cli.store().join(path);
    let file = if path.is_dir() {
        std::fs::File::open(path)
    } else {
        std::fs::File::options().create(true).append(true).open(path)
    };
    let file = file.unwrap();
    file.lock().unwrap();
    file
}

#[tokio::test]
async fn interrupt_while_waiting_for_lock_ends_unpack() {
    let held = sample();
    let (registry, name) = published(&held).await;
    let partial = |layer: usize| format!("ingest/sha256-{}", held.layers[layer].digest().encoded());
    for (lock, requests) in
        [(String::new(), 0), (partial(0), 3), (partial(2), 3), ("oci-layout".to_owned(), 5)]
    {
        for way in [WAYS[0], WAYS[1], WAYS[3], WAYS[4]] {
            let cli = Cli::new();
            let _lock = locked(&cli, &lock);
            registry.server.forget();
            let running = cli.spawn(&args(way, &name));
            let (path, begun) = (cli.store().join(&lock), || registry.server.requests().len());
            wait_until("it does not wait for the lock", async || {
                begun() >= requests && running.open_files().contains(&path)
            })
            .await;
            assert_interrupted(running, &cli, way, &lock).await;
        }
    }
}

#[tokio::test]
async fn interrupt_while_waiting_for_overlay_lock_ends_unpack() {
    let (_registry, name) = published(&sample()).await;
    let cli = Cli::new();
    let root = cli.dir().join("root");
    std::fs::create_dir(&root).unwrap();
    let holder = std::fs::File::open(&root).unwrap();
    holder.lock().unwrap();
    let running = cli.spawn(&args(WAYS[3], &name));
    let waits = async || running.open_files().contains(&root);
    wait_until("it does not wait for the directory", waits).await;
    assert_interrupted(running, &cli, WAYS[3], "the directory").await;
}
