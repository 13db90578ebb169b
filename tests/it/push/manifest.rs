//! Manifests and tags that a registry refuses.

use super::Pair;
use crate::support::http::Reply;

#[tokio::test]
async fn manifest_blob_unknown_is_retried_once() {
    let pair = Pair::new().await;
    let lacks = || Reply::error(400, "MANIFEST_BLOB_UNKNOWN", "not yet");
    pair.to.fail_requests("PUT /v2/team/app/manifests/1", 0..1, lacks());
    pair.arrives(&[]).await;
    for status in [400, 500] {
        let pair = Pair::new().await;
        let lacks = Reply::error(status, "MANIFEST_BLOB_UNKNOWN", "never");
        pair.to.fail_requests("PUT /v2/team/app/manifests/1", 0..9, lacks);
        let output = pair.copy(&[]).await;
        assert_eq!(output.code(), Some(6), "{}", output.stderr);
        assert_eq!(pair.to.server.count("PUT /v2/team/app/manifests/1"), 2);
    }
}

#[tokio::test]
async fn manifest_refused_creates_no_tag() {
    for (status, code) in [(400, 6), (413, 6), (401, 4), (403, 4), (429, 0), (500, 0)] {
        let pair = Pair::new().await;
        pair.to.fail_requests("PUT /v2/team/app/manifests/1", 0..1, Reply::new(status, "no"));
        let output = pair.copy(&[]).await;
        assert_eq!(output.code(), Some(code), "{status}: {}", output.stderr);
        assert_eq!(pair.to.tagged("team/app", "1").is_some(), code == 0);
    }
    let pair = Pair::new().await;
    let other = format!("sha256:{}", "0".repeat(64));
    pair.to.override_response("PUT /v2/team/app/manifests/1", 0..1, move |reply| {
        reply.without("Docker-Content-Digest").header("Docker-Content-Digest", other.as_str())
    });
    pair.copy(&[]).await.expect(5, "the registry stored sha256:0000");
}

#[tokio::test]
async fn immutable_tag_same_digest_succeeds() {
    let pair = Pair::new().await;
    pair.arrives(&[]).await;
    pair.to.override_response("HEAD /v2/team/app/manifests/1", 0..1, |_| Reply::new(404, ""));
    pair.to.override_response("PUT /v2/team/app/manifests/1", 0..1, |_| {
        Reply::error(400, "TAG_INVALID", "The image tag '1' already exists and is immutable")
    });
    pair.arrives(&[]).await;
}
