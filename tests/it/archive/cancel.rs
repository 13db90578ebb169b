//! Scans of archives report progress, and end when they are cancelled or dropped.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::Source as _;
use rpull::control::Control;
use rpull::error::ErrorKind;
use rpull::name::ImageName;
use rpull::progress::{Event, Phase, Progress};
use tempfile::TempDir;

use super::gzip;
use super::limits::docker;
use crate::support::images::random_blob;
use crate::support::tars::file;

/// The time in which a scan that ends must have ended.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a scan told: its position and the total, or that it has ended.
type Told = Option<(u64, u64)>;

/// Holds a scan at each of its events until the test has received it.
struct Held(Mutex<SyncSender<Told>>);

impl Progress for Held {
    fn on_event(&self, event: &Event<'_>) {
        let told = match event {
            Event::PhaseAdvanced { phase: Phase::Scan, done, total, .. } => Some((*done, *total)),
            Event::PhaseFinished { phase: Phase::Scan, .. } => None,
            _ => return,
        };
        // Without a receiver nothing is held.
        _ = self.0.lock().unwrap().send(told).is_ok();
    }
}

fn held() -> (Control, Receiver<Told>) {
    let (sender, receiver) = sync_channel(0);
    (Control::default().progress(Held(Mutex::new(sender))), receiver)
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(DEADLINE).expect("the scan goes on or ends")
}

/// The last position of a scan that is let go on, and its total.
fn end(told: &Receiver<Told>, first: Told) -> (u64, u64) {
    let mut last = first.expect("there is something to scan");
    while let Some(position) = next(told) {
        last = position;
    }
    last
}

/// A docker archive with one compressed layer.
fn compressed_layer() -> (TempDir, PathBuf) {
    docker(&[("l", 1)], &[file("l", gzip(&random_blob(8 << 20, 1)))])
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_scan_of_layer_ends_when_its_future_is_dropped() {
    let (_dir, path) = compressed_layer();
    let (control, told) = held();
    let archive = Archive::open_with_control(&path, None, &control).unwrap();
    let scan = tokio::spawn({
        let archive = archive.clone();
        async move { archive.resolve(&ImageName::Only).await.is_ok() }
    });
    let first = next(&told);
    scan.abort();
    assert!(scan.await.unwrap_err().is_cancelled());
    let (done, total) = end(&told, first);
    assert!(done < total, "{done} of {total}");
    drop(told);
    // Neither the archive nor its control was cancelled.
    archive.resolve(&ImageName::Only).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_scan_of_layer_is_interrupted_when_its_control_is_cancelled() {
    let (_dir, path) = compressed_layer();
    let (control, told) = held();
    let archive = Archive::open_with_control(&path, None, &control).unwrap();
    let scan = tokio::spawn(async move { archive.resolve(&ImageName::Only).await });
    let first = next(&told);
    control.cancel.cancel();
    let (done, total) = end(&told, first);
    assert!(done < total, "{done} of {total}");
    assert_eq!(scan.await.unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
    // One archive's cancellation leaves another one's scan alone.
    let other = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    other.resolve(&ImageName::Only).await.unwrap();
}

#[test]
fn opening_compressed_archive_reports_its_size_and_can_be_cancelled() {
    let (dir, path) = compressed_layer();
    let bytes = gzip(&std::fs::read(path).unwrap());
    let path = dir.path().join("a.tar.gz");
    std::fs::write(&path, &bytes).unwrap();
    let (control, told) = held();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Archive::open_with_control(&path, None, &control));
        let size = bytes.len() as u64;
        assert_eq!(end(&told, next(&told)), (size, size));
        opening.join().unwrap().unwrap();
        let opening = scope.spawn(|| Archive::open_with_control(&path, None, &control));
        let first = next(&told);
        control.cancel.cancel();
        assert!(end(&told, first).0 < size);
        assert_eq!(opening.join().unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
    });
}
