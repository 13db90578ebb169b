//! Registries that redirect the bytes of an upload.

use crate::support::http::Reply;
use crate::support::recorder;
use crate::support::samples::stored;

#[tokio::test]
async fn upload_redirect_drops_credential() {
    for (status, size, options, patches) in [
        (307, 1_000_000, &[][..], 0),
        (308, 1_000, &[], 0),
        (307, 1_000_000, &["--chunk-size", "400k"], 2),
    ] {
        let (cli, name, to, held) = stored(size).await;
        let front = recorder::sends_bytes_on(&to.server.host(), status).await;
        let target = format!("{}/app:1", front.host());
        let always = ["push", "--json", "--retries", "0", "--creds", "user:pass", &name, &target];
        let report = cli.report(&[&always, options].concat()).await;
        for blob in held.blobs() {
            assert_eq!(to.blob_bytes("app", blob.digest()).as_ref(), Some(&blob.bytes));
        }
        assert_eq!(to.tagged("app", "1"), Some(held.manifest.digest().to_string()));
        let brought = to.server.requests().into_iter().filter(|request| {
            request.path.contains("/uploads/") && matches!(request.method.as_str(), "PUT" | "PATCH")
        });
        for request in brought {
            assert_eq!(request.header("authorization"), None, "{}", request.line());
        }
        assert_eq!(to.server.count("PATCH"), patches);
        assert!(report["bytes"]["resent"].as_u64() > Some(0), "what was sent in vain is told");
    }
}

#[tokio::test]
async fn upload_redirect_loop_or_forbidden_target_fails() {
    for (location, words) in [
        ("/v2/app/blobs/uploads/again", "more than 10 redirects"),
        ("http://169.254.169.254/", "sent http://169.254.169.254/"),
        ("ftp://127.0.0.1/", "not an http or https URL"),
    ] {
        let (cli, name, to, _) = stored(300_000).await;
        to.fail_requests(
            "PUT /v2/app/blobs/",
            0..999,
            Reply::new(307, "").header("Location", location),
        );
        let target = to.repository("app:1");
        let push = ["push", "--jobs", "1", "--retries", "0", &name, &target];
        cli.run(&push).await.expect(6, words);
        assert!(to.server.count("PUT") <= 22, "{:?}", to.server.lines());
        assert_eq!(to.tagged("app", "1"), None);
    }
    let (cli, name, to, _) = stored(1_000).await;
    let reply = Reply::new(302, "").header("Location", "/v2/app/blobs/uploads/again");
    to.fail_requests("PUT /v2/app/blobs/", 0..99, reply);
    let push = ["push", "--retries", "0", &name, &to.repository("app:1")];
    cli.run(&push).await.expect(6, "302");
}
