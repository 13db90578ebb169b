//! One image that fails stops no other.

use super::{Fleet, app, names};
use crate::support::http::Reply;

#[tokio::test]
async fn failed_image_is_listed_and_others_are_mirrored() {
    let fleet = Fleet::start().await;
    let broken = app("arm64", 7);
    broken.publish(&fleet.from, "team/a", Some("1.1"));
    fleet.from.delete_blob("team/a", broken.layers[1].digest());
    fleet.write(
        "defaults: { to: 'TO/m/{{name}}' }
mirror:
- from: FROM/team/a
- from: FROM/team/gone
- from: FROM/team/b
",
    );
    let output = fleet.run(&["--retries", "0"]).await;
    output.expect(3, "mirrored 3 of 5 images (0 unchanged)");
    assert_eq!(names(&output), ["m/a:1.0", "m/a:latest", "m/b:1.0"]);
    let errors: Vec<&str> =
        output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{}", output.stderr);
    assert!(errors[0].contains("/m/a:1.1: ") && errors[1].contains("/team/gone: "), "{errors:?}");
    let json = fleet.run(&["--retries", "0", "--json"]).await;
    assert_eq!(json.stdout.matches("\"outcome\":\"failed\"").count(), 2, "{}", json.stdout);
    assert_eq!(json.stdout.matches("\"outcome\":\"unchanged\"").count(), 3, "{}", json.stdout);
}

#[tokio::test]
async fn throttling_target_is_waited_for() {
    let fleet = Fleet::start().await;
    fleet.write_usual();
    let throttled = Reply::error(429, "TOOMANYREQUESTS", "slow down").header("Retry-After", "0");
    fleet.to.fail_requests("POST /v2/m/a/blobs/uploads/", 0..2, throttled);
    fleet.run(&[]).await.expect(0, "mirrored 4 images");
}

#[tokio::test]
async fn tag_moved_during_run_is_mirrored_as_resolved() {
    let fleet = Fleet::start().await;
    fleet.write("mirror: [{from: FROM/team/b, to: 'TO/m/b', tags: ['1.0']}]");
    fleet.run(&[]).await.expect(0, "");
    app("amd64", 5).publish(&fleet.from, "team/b", Some("1.0"));
    let (resolved, later) = (app("amd64", 6), app("amd64", 6).manifest.bytes);
    resolved.publish(&fleet.from, "team/b", None);
    let digest = resolved.manifest.digest().to_string();
    // Between the HEAD, which tells that the tag has changed, and the GET it moves again.
    fleet.from.override_response("GET /v2/team/b/manifests/1.0", 0..1, move |_| {
        Reply::new(200, later.clone())
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
    });
    fleet.run(&[]).await.expect(0, "mirrored 1 image (0 unchanged)");
    assert_eq!(fleet.to.tagged("m/b", "1.0"), Some(digest));
}
