//! Pushes that were interrupted and resume their upload sessions.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Fault, Reply, Server};
use crate::support::images::Image;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::recorder;
use crate::support::samples::stored;
use crate::support::wait::wait_until;

#[track_caller]
pub(super) fn assert_arrived(to: &FakeRegistry, held: &Image) {
    assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
    for blob in held.blobs() {
        assert_eq!(to.blob_bytes("app", blob.digest()).as_ref(), Some(&blob.bytes));
    }
}

/// Returns the `Content-Range` of the chunks so far.
pub(super) fn chunks(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let ranges = requests.iter().filter_map(|request| request.header("content-range"));
    ranges.map(str::to_owned).collect()
}

#[tokio::test]
async fn upload_resume_rejected_by_registry_restarts() {
    for status in [400, 404, 416] {
        let (cli, name, to, held) = stored(2_000_000).await;
        let target = to.repository("app:1");
        to.fail_requests("PATCH", 1..9, Reply::new(405, "no more"));
        // One job: a session of the config that is opened while the push ends would stay open.
        let words = ["push", "--jobs", "1", "--chunk-size", "500k", &name, &target];
        cli.run(&words).await.expect(4, "no more");
        let line = format!("digest=sha256%3A{}", held.layers[0].digest().encoded());
        to.fail_requests(&line, 0..1, Reply::new(status, "not what it should be"));
        to.server.forget();
        cli.run(&["push", &name, &target]).await.expect(0, "");
        assert_eq!(chunks(&to.server).len(), 1, "it went on first: {status}");
        assert_eq!(to.open_uploads(), usize::from(status == 404), "what was wrong is cancelled");
        assert_arrived(&to, &held);
    }
}

#[tokio::test]
async fn upload_chunk_with_lost_response_completes() {
    let (cli, name, to, held) = stored(2_000_000).await;
    to.override_response("PATCH", 1..2, |reply| reply.fault(Fault::HangUp));
    let words = ["push", "--json", "--chunk-size", "500k", &name, &to.repository("app:1")];
    let report = cli.report(&words).await;
    // The known URL is that before the chunk: a registry that rejects it makes the upload start over.
    assert_arrived(&to, &held);
    let bytes = &report["bytes"];
    let moved = bytes["transferred"].as_u64().unwrap() + bytes["resumed"].as_u64().unwrap();
    assert_eq!(bytes["total"], held.size());
    assert_eq!(moved, held.size());
}

/// Returns the upload URLs kept in the store.
fn kept(uploads: &Path) -> String {
    let files = std::fs::read_dir(uploads).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
}

#[tokio::test]
async fn upload_killed_resumes_after_last_chunk() {
    let (cli, name, to, held) = stored(3_000_000).await;
    let target = to.repository("app:1");
    // The fourth chunk is never answered, and the registry keeps nothing of it.
    to.fail_requests("PATCH", 3..4, Reply::new(202, "").fault(Fault::Silence));
    let running = cli.spawn(&["push", "--chunk-size", "500k", &name, &target]);
    let uploads = cli.store().join("uploads");
    wait_until("no fourth chunk comes", async || to.server.count("PATCH") == 4).await;
    assert!(kept(&uploads).contains("state=1500000"), "{}", kept(&uploads));
    running.signal(Signal::KILL);
    running.wait().await;
    to.server.forget();
    let report = cli.report(&["push", "--json", "--chunk-size", "500k", &name, &target]).await;
    assert_arrived(&to, &held);
    let kept = report["bytes"]["resumed"].as_u64().unwrap();
    assert_eq!(kept, 1_500_000, "{report}");
    assert!(chunks(&to.server)[0].starts_with(&format!("{kept}-")));
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "nothing is left of it");
}

#[tokio::test]
async fn upload_resume_with_unknown_session_restarts() {
    for answer in [
        Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "gone"),
        Reply::new(204, "")
            .header("Range", "0-0")
            .header("Location", "/v2/app/blobs/uploads/x?state=0"),
        Reply::new(204, "")
            .header("Range", "0-99999999")
            .header("Location", "/v2/app/blobs/uploads/x"),
        Reply::new(204, "").header("Range", "0-99"),
        Reply::new(200, "<html>"),
        Reply::new(500, ""),
    ] {
        let (cli, name, to, held) = stored(2_000_000).await;
        let target = to.repository("app:1");
        to.fail_requests("PATCH", 1..9, Reply::new(400, "no more"));
        let words = ["push", "--chunk-size", "500k", &name, &target];
        cli.run(&words).await.expect(6, "no more");
        to.fail_requests("GET /v2/app/blobs/uploads/", 0..9, answer);
        cli.run(&["push", &name, &target]).await.expect(0, "");
        assert_arrived(&to, &held);
    }
}

#[tokio::test]
async fn upload_killed_resumes_at_docker_registry() {
    let test = "upload_killed_resumes_at_docker_registry";
    if !needs(test, &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (image, cli, registry) = (RealImage::get(), Cli::new(), Live::start(&Access::Open));
    // A request truncated in its body ends the session at distribution; here it receives nothing of the request.
    let front = recorder::silent_at(registry.host(), "PATCH", 4).await;
    let layout = format!("oci:{}:v1", image.layout().display());
    cli.run(&["copy", &layout, "store:app:1"]).await.expect(0, "");
    let target = format!("{}/team/app:1", front.host());
    let running = cli.spawn(&["push", "--chunk-size", "1M", "app:1", &target]);
    wait_until("no fifth chunk comes", async || chunks(&front).len() >= 5).await;
    running.signal(Signal::KILL);
    running.wait().await;
    front.forget();
    let report: Value =
        cli.report(&["push", "--json", "--chunk-size", "1M", "app:1", &target]).await;
    assert_eq!(report["digest"], json!(image.v1.manifest.digest()));
    let bytes = &report["bytes"];
    assert_eq!(bytes["resumed"], 4_000_000, "{bytes}");
    assert!(chunks(&front)[0].starts_with("4000000-"));
    let moved = bytes["transferred"].as_u64().unwrap() + bytes["resumed"].as_u64().unwrap();
    let shared = bytes["shared"].as_u64().unwrap();
    assert!(shared > 0, "blobs that were committed are not sent again");
    assert_eq!(moved + shared, image.v1.size());
}
