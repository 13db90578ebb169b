//! Power failures: the order in which a pull makes things durable, and what the next boot checks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rpull::control::Control;
use rpull::digest::Digest;
use rpull::error::ErrorKind;
use rpull::layout::{Layout, LayoutOptions};
use rpull::progress::{Event, Phase, Progress};
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::Blob;
use crate::support::live::needs;
use crate::support::samples::published;
use crate::support::strace::{Call, trace};

/// The id of an earlier boot.
const OTHER_BOOT: &str = "00000000000000000000000000000000";

fn blob(cli: &Cli, piece: &Blob) -> PathBuf {
    cli.store().join("blobs/sha256").join(piece.digest().encoded())
}

/// Replaces a blob by other bytes.
fn damage(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn plant(cli: &Cli, journal: &str, digests: &[&Digest]) -> PathBuf {
    let lines: Vec<&str> = digests.iter().map(|digest| digest.as_str()).collect();
    let path = cli.store().join("unsynced").join(journal);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

fn at(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<usize> {
    let found = calls.iter().enumerate().filter(|(_, call)| wanted(call));
    found.map(|(at, _)| at).collect()
}

fn is(name: &str, path: &str) -> impl Fn(&Call) -> bool {
    move |call: &Call| call.name == name && call.path == path
}

fn commits(call: &Call) -> bool {
    call.name.starts_with("rename") && call.to.starts_with("/blobs/")
}

fn names(call: &Call) -> bool {
    call.name.starts_with("rename") && call.to == "/index.json"
}

#[tokio::test]
async fn journal_is_synced_before_first_blob() {
    if !needs("journal_is_synced_before_first_blob", &["strace"]) {
        return;
    }
    let (_registry, [held, _], name) = published().await;
    let cli = Cli::new();
    let (output, calls) = trace(&cli, &[&format!("{name}:1")]).await;
    output.expect(0, "");
    let renames = at(&calls, commits);
    assert_eq!(renames.len(), 4, "config, two layers and the manifest");
    let written = at(&calls, |call| call.name == "write" && call.path.starts_with("/unsynced/"));
    let synced = at(&calls, |call| call.name == "fdatasync" && call.path.starts_with("/unsynced/"));
    let [written, synced, dir] = [&written, &synced, &at(&calls, is("fsync", "/unsynced"))]
        .map(|found| found.first().copied().unwrap());
    let root = at(&calls, is("fsync", "")).into_iter().find(|at| *at > dir).unwrap();
    assert!(written < synced && synced < root && dir < root && root < renames[0]);
    // Only the journal is synced, no blob.
    assert_eq!(at(&calls, |call| call.name == "fdatasync").len(), 1);
    let paid = at(&calls, |call| call.name == "fsync" && call.path.starts_with("/ingest/"));
    assert_eq!(paid.len(), 0);

    let journals: Vec<_> = std::fs::read_dir(cli.store().join("unsynced")).unwrap().collect();
    let [Ok(journal)] = journals.as_slice() else { panic!("{journals:?}") };
    let text = std::fs::read_to_string(journal.path()).unwrap();
    for piece in held.blobs().chain([&held.manifest]) {
        assert!(text.contains(piece.digest().as_str()), "{} is not in it", piece.digest());
    }
    let index = *at(&calls, names).last().unwrap();
    let index_synced = *at(&calls, is("fsync", "/index.json.new")).last().unwrap();
    assert!(renames.iter().all(|at| *at < index_synced) && index_synced < index);
}

#[tokio::test]
async fn sync_makes_blobs_durable_before_name() {
    let test = "sync_makes_blobs_durable_before_name";
    if !needs(test, &["strace"]) {
        return;
    }
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let (output, calls) = trace(&cli, &["--sync", &format!("{name}:1")]).await;
    output.expect(0, "");
    let renames = at(&calls, commits);
    assert_eq!(renames.len(), 4);
    for rename in &renames {
        let partial = &calls[*rename].path;
        let last = *at(&calls, is("pwrite64", partial)).last().unwrap();
        let synced = at(&calls, is("fsync", partial));
        assert!(synced.iter().any(|at| last < *at && at < rename), "{partial}: {calls:#?}");
    }
    let index = *at(&calls, names).last().unwrap();
    let dirs = at(&calls, is("fsync", "/blobs/sha256"));
    for rename in &renames {
        assert!(dirs.iter().any(|at| rename < at && *at < index), "the directory comes before");
    }
    // A directory that is lost takes its files with it.
    let made = at(&calls, |call| call.name.starts_with("mkdir") && call.path == "/blobs/sha256")[0];
    assert!(at(&calls, is("fsync", "/blobs")).iter().any(|at| made < *at && *at < index));
    assert!(at(&calls, is("fsync", "")).iter().any(|at| *at > index), "the name comes last");
    assert!(!cli.store().join("unsynced").exists(), "nothing is in doubt");
}

#[tokio::test]
async fn journal_of_other_boot_rehashes_blobs() {
    let (registry, [held, _], name) = published().await;
    let name = format!("{name}:1");
    for bytes in [vec![], vec![0; held.layers[0].bytes.len()]] {
        let cli = Cli::new();
        cli.run(&[&name]).await.expect(0, "");
        let [base, app] = held.layers.as_slice() else { panic!("two layers") };
        damage(&blob(&cli, base), &bytes);
        let absent = Digest::sha256(b"never arrived");
        let every = [held.manifest.digest(), base.digest(), app.digest(), &absent];
        let journal = plant(&cli, &format!("{OTHER_BOOT}.1"), &every);
        registry.server.forget();
        let report = cli.report(&["--json", &name]).await;
        assert_eq!(report["bytes"]["transferred"], base.descriptor.size);
        assert_eq!(registry.server.count("/blobs/"), 1, "the whole ones are not fetched");
        assert_eq!(std::fs::read(blob(&cli, base)).unwrap(), base.bytes);
        assert!(!journal.exists(), "nothing is in doubt any more");
        assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    }
}

/// How much of how much was told of.
#[derive(Default)]
struct Rechecked(Mutex<Vec<(u64, u64)>>);

impl Progress for Rechecked {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::PhaseAdvanced { phase: Phase::Recheck, done, total, .. } = event {
            self.0.lock().unwrap().push((*done, *total));
        }
    }
}

#[tokio::test]
async fn journal_check_reports_progress_and_can_be_interrupted() {
    let (_registry, [held, _], name) = published().await;
    let cli = Cli::new();
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    let layers: Vec<&Digest> = held.layers.iter().map(Blob::digest).collect();
    let total: u64 = held.layers.iter().map(|layer| layer.descriptor.size).sum();
    let journal = plant(&cli, &format!("{OTHER_BOOT}.1"), &layers);
    let told = Arc::new(Rechecked::default());
    let control = Control::default().progress(Arc::clone(&told));
    let open = |control: &Control| {
        Layout::create_with_control(&cli.store(), LayoutOptions::default(), control)
    };
    let cancelled = control.child();
    cancelled.cancel.cancel();
    let stopped = open(&cancelled).unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::Interrupted);
    assert!(journal.exists(), "what was not checked stays in doubt");
    open(&control).unwrap();
    assert_eq!(told.0.lock().unwrap().iter().max(), Some(&(total, total)));
    assert!(!journal.exists());
}

#[tokio::test]
async fn journal_manifest_lost_by_other_boot_is_fetched_again() {
    let (registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    damage(&blob(&cli, &held.manifest), &vec![0; held.manifest.bytes.len()]);
    plant(&cli, &format!("{OTHER_BOOT}.1"), &[held.manifest.digest()]);
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "(100 %)");
    assert_eq!(registry.server.lines(), ["GET /v2/team/app/manifests/1"]);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn journal_of_same_boot_is_not_checked() {
    let (registry, [held, _], name) = published().await;
    let (cli, name) = (Cli::new(), format!("{name}:1"));
    cli.run(&[&name]).await.expect(0, "");
    let own = std::fs::read_dir(cli.store().join("unsynced")).unwrap().next().unwrap().unwrap();
    let boot = own.file_name().into_string().unwrap();
    let boot = boot.split('.').next().unwrap();
    let base = &held.layers[0];
    damage(&blob(&cli, base), &vec![0; base.bytes.len()]);
    // The page cache of this boot is intact, so this damage has another cause.
    let journal = plant(&cli, &format!("{boot}.1"), &[base.digest()]);
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "(100 %), 1 request");
    assert!(journal.exists());

    let unsynced = cli.store().join("unsynced");
    let torn = &base.digest().as_str()[..40];
    for (journal, text) in [
        ("1", ""),
        ("2", torn),
        ("3", "../../../../etc/passwd\nsha256:../../../x\n\0\u{1b}[2J\n"),
        ("4", "md5:d41d8cd98f00b204e9800998ecf8427e\n"),
    ] {
        std::fs::write(unsynced.join(format!("{OTHER_BOOT}.{journal}")), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", unsynced.join(format!("{OTHER_BOOT}.5"))).unwrap();
    cli.run(&[&name]).await.expect(0, "");
    for journal in ["1", "2", "3", "4"] {
        assert!(!unsynced.join(format!("{OTHER_BOOT}.{journal}")).exists(), "{journal}");
    }
    assert!(Path::new("/etc/passwd").exists());
}

#[tokio::test]
async fn sync_clears_journals_of_earlier_runs() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    cli.run(&[&format!("{name}:1")]).await.expect(0, "");
    let journals = || std::fs::read_dir(cli.store().join("unsynced")).unwrap().count();
    assert_eq!(journals(), 1);
    cli.run(&["--sync", &format!("{name}:2")]).await.expect(0, "");
    assert_eq!(journals(), 0);
}
