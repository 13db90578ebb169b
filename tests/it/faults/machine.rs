//! The machine fails while a layer arrives over several slow connections: killed at any system call, disk full at any byte,
//! power cut at any time. Each time the store has another image, which stays as it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::assertions::kept_bytes;
use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Fault;
use crate::support::images::{Family, Image, image, layer, random_blob};
use crate::support::live::needs;
use crate::support::loop_disk::LoopDisk;
use crate::support::small::{Small, leave_free};
use crate::support::strace::{self, distinct, trace};

/// Bytes that may be received in vain at the ends of bodies that are cut: some socket buffers.
const MAX_CUT: u64 = 1 << 20;

/// A registry whose connections are so slow that a layer is requested by ranges, too.
struct Capped {
    registry: FakeRegistry,
    held: Image,
    /// Its name.
    name: String,
    /// The name of a small image beside it.
    other: String,
}

impl Capped {
    async fn new() -> Self {
        let registry = FakeRegistry::start().await;
        let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(12 << 20, 1))])]);
        held.publish(&registry, "app", Some("1"));
        image(Family::Oci, "amd64", &[layer(&[("b", &random_blob(3000, 2))])]).publish(
            &registry,
            "other",
            Some("1"),
        );
        registry.override_response(held.layers[0].digest().as_str(), 0..usize::MAX, |reply| {
            reply.fault(Fault::Slow(64 << 10, Duration::from_millis(15)))
        });
        let [name, other] = ["app:1", "other:1"].map(|name| registry.repository(name));
        Self { registry, held, name, other }
    }

    /// The path of the layer in the store, below a directory.
    fn path(&self, directory: &str) -> String {
        let digest = self.held.layers[0].digest();
        match directory {
            "blobs" => format!("/blobs/sha256/{}", digest.encoded()),
            _ => format!("/ingest/sha256-{}", digest.encoded()),
        }
    }

    /// Puts the other image into the store.
    async fn prepare(&self, cli: &Cli) {
        cli.run(&["pull", "-q", "--sync", &self.other]).await.expect(0, "");
    }

    /// Asserts that the store has nothing wrong and names nothing that is not there.
    async fn assert_clean(&self, cli: &Cli, point: &str) {
        let verified = cli.json(&["verify", "--json"]).await;
        assert_eq!(verified["bad"], json!([]), "after {point}");
        let listed = cli.json(&["images", "--json"]).await;
        let names: Vec<&Value> =
            listed.as_array().unwrap().iter().map(|row| &row["reference"]).collect();
        assert!(names.contains(&&json!(self.other)), "after {point}: {names:?}");
    }

    /// Runs without faults, and checks what is fetched again; `args` come before the name.
    async fn complete(&self, cli: &Cli, kept: u64, point: &str) {
        let report = cli.report(&["pull", "--json", &self.name]).await;
        self.assert_completed(&report, kept, point);
        self.assert_clean(cli, point).await;
        assert_eq!(kept_bytes(cli).await, 0, "a partial is left after {point}");
    }

    fn assert_completed(&self, report: &Value, kept: u64, point: &str) {
        let bytes = &report["bytes"];
        let parts = ["transferred", "resumed", "shared"].map(|part| bytes[part].as_u64().unwrap());
        assert_eq!(parts.iter().sum::<u64>(), self.held.size(), "after {point}: {bytes}");
        assert_eq!(bytes["resumed"], json!(kept), "{point}");
        // On a busy machine a body may have sent more than the range that it was cut to.
        assert!(bytes["resent"].as_u64() < Some(MAX_CUT), "{point}: {bytes}");
    }
}

#[tokio::test]
async fn ranges_killed_at_any_step_are_completed_by_next_run() {
    let test = "ranges_killed_at_any_step_are_completed_by_next_run";
    if !needs(test, &["strace", "setpriv"]) {
        return;
    }
    let capped = Capped::new().await;
    let args = ["pull", &capped.name];
    let cli = Cli::new().without_privileges();
    capped.prepare(&cli).await;
    let (output, calls) = trace(&cli, &args).await;
    output.expect(0, "");
    let digest = capped.held.layers[0].digest();
    assert!(capped.registry.server.count(digest.as_str()) > 1, "no ranges are requested");
    let points: BTreeSet<_> = distinct(&calls);
    let mut points: Vec<_> =
        points.into_iter().filter(|(_, path)| path.contains(digest.encoded())).collect();
    assert!(points.iter().any(|(call, _)| call == "pwrite64"), "{points:?}");
    // In the middle, too. Each thread has its own count, so that the last ones may not be reached.
    let later = ["pwrite64:when=3", "pwrite64:when=9", "pwrite64:when=27", "pwrite64:when=60"];
    points.extend(later.map(|call| (call.to_owned(), capped.path("ingest"))));
    let killed = stream::iter(points).map(|(call, path)| kill_at(&capped, call, path));
    let killed: Vec<bool> = killed.buffer_unordered(4).collect().await;
    assert!(killed.into_iter().filter(|killed| *killed).count() >= 4);
}

/// Kills a pull at a call, and runs it again; returns whether it came to that call.
async fn kill_at(capped: &Capped, call: String, path: String) -> bool {
    let point = format!("{call} of {path}");
    let cli = Cli::new().without_privileges();
    capped.prepare(&cli).await;
    let args = ["pull", &capped.name];
    let output = strace::kill_at(&cli, &call, &path, &args).await;
    let is_killed = output.signal() == Some(9);
    assert!(is_killed || (output.code() == Some(0) && call.contains(':')), "{point}: {output:?}");
    capped.assert_clean(&cli, &point).await;
    let kept = kept_bytes(&cli).await;
    capped.complete(&cli, kept, &point).await;
    is_killed
}

#[tokio::test]
async fn ranges_on_disk_full_at_any_byte_are_resumed() {
    let test = "ranges_on_disk_full_at_any_byte_are_resumed";
    if !needs(test, &["mount", "umount"]) {
        return;
    }
    let size = Capped::new().await.held.layers[0].descriptor.size;
    let page = |pages: u64| size.next_multiple_of(4096) + pages * 4096;
    // The last ones are enough for the layer, and not for the documents after it.
    for space in [0, 100_000, 1 << 20, 5 << 20, size - 5000, page(0), page(1), page(2), page(3)] {
        let (capped, cli) = (Capped::new().await, Cli::new());
        let Some(_small) = Small::mount(test, &cli.store(), "size=24m") else { return };
        capped.prepare(&cli).await;
        // Others take the space when the pull has seen that there is enough.
        let (store, taken) = (cli.store(), cli.store().join("taken"));
        let digest = capped.held.layers[0].digest().to_string();
        let take = taken.clone();
        capped.registry.override_response(&digest, 0..1, move |reply| {
            leave_free(&store, &take, space);
            reply
        });
        let output = cli.run(&["pull", &capped.name]).await;
        let point = format!("{space} bytes: {}", output.stderr);
        if output.code() != Some(0) || space < size {
            output.expect(7, "No space left on device").expect(7, "hint: free disk space");
        }
        capped.assert_clean(&cli, &point).await;
        let kept = kept_bytes(&cli).await;
        assert!(kept <= space && (kept > 0 || space == 0 || space > size), "{kept} of {point}");
        std::fs::remove_file(taken).unwrap();
        capped.complete(&cli, kept, &point).await;
    }
}

/// Runs a command in what looks like another boot.
async fn rebooted(cli: &Cli, args: &[&str]) -> Output {
    let id = cli.dir().join("boot_id");
    std::fs::write(&id, "00000000-0000-4000-8000-000000000000\n").unwrap();
    let mount = "mount --bind boot_id /proc/sys/kernel/random/boot_id && exec \"$@\"";
    cli.spawn_under(&["unshare", "--mount", "sh", "-c", mount, "sh"], args).wait().await
}

/// A store on a disk of its own, with the other image durable in it.
async fn on_disk(test: &str) -> Option<(Capped, Cli, LoopDisk)> {
    if !needs(test, &[LoopDisk::PROGRAMS, &["unshare"]].concat()) {
        return None;
    }
    let (capped, cli) = (Capped::new().await, Cli::new());
    let disk = LoopDisk::mount(test, &cli.store())?;
    capped.prepare(&cli).await;
    Some((capped, cli, disk))
}

#[tokio::test]
async fn power_cut_during_ranges_leaves_other_images() {
    let test = "power_cut_during_ranges_leaves_other_images";
    // At the first request of the layer, and at a range when a part has been written.
    for request in [0, 1, 2] {
        let Some((capped, cli, disk)) = on_disk(test).await else { return };
        let (cut, is_cut) = (disk.cutter(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&is_cut);
        let digest = capped.held.layers[0].digest().to_string();
        capped.registry.override_response(&digest, request..request + 1, move |reply| {
            if !told.swap(true, Ordering::Relaxed) {
                cut();
            }
            reply
        });
        let output = cli.run(&["pull", &capped.name]).await;
        if is_cut.swap(true, Ordering::Relaxed) {
            output.expect(7, "/store");
        } else {
            assert!(request > 1, "ranges are requested");
            disk.cutter()();
        }
        disk.reattach();
        let point = format!("power cut at request {request}");
        let output = rebooted(&cli, &["pull", "--json", &capped.name]).await;
        let report = output.expect(0, "").report();
        // What was not synced may be gone.
        let resumed = report["bytes"]["resumed"].as_u64().unwrap();
        capped.assert_completed(&report, resumed, &point);
        capped.assert_clean(&cli, &point).await;
    }
}

#[tokio::test]
async fn power_cut_after_pull_is_noticed_by_next_boot() {
    let test = "power_cut_after_pull_is_noticed_by_next_boot";
    for sync in [false, true] {
        let Some((capped, cli, disk)) = on_disk(test).await else { return };
        let flags: &[&str] = if sync { &["--sync"] } else { &[] };
        cli.run(&[&["pull", &capped.name], flags].concat()).await.expect(0, "");
        disk.cutter()();
        disk.reattach();
        let point = format!("power cut after exit, synced: {sync}");
        if sync {
            capped.assert_clean(&cli, &point).await;
        }
        capped.registry.server.forget();
        let output = rebooted(&cli, &["pull", "--json", &capped.name]).await;
        let report = output.expect(0, "").report();
        capped.assert_completed(&report, 0, &point);
        let fetched = capped.registry.server.count("/blobs/");
        assert_eq!(fetched == 0, sync, "{point}: {:?}", capped.registry.server.lines());
        capped.assert_clean(&cli, &point).await;
    }
}
