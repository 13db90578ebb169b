//! A copy of content that the target has already: the source, which may be rate-limited, gets the fewest requests.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::Reply;
use crate::support::images::{Family, image, index, layer};

#[tokio::test]
async fn warm_copy_of_index_reads_manifests_at_target() {
    let (from, to) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let images = ["amd64", "arm64"]
        .map(|name| (name, image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])])));
    index(Family::Oci, &images).publish(&from, "app", "1");
    let (source, target) = (from.repository("app") + ":1", to.repository("copied") + ":1");
    let (cli, copy) = (Cli::new(), ["copy", &source, &target]);
    cli.run(&copy).await.expect(0, "");
    from.server.forget();
    to.server.forget();
    cli.run(&copy).await.expect(0, "(100 %), 6 requests");
    assert_eq!(from.server.lines(), ["GET /v2/app/manifests/1"]);
    let lines = to.server.lines();
    assert_eq!(lines[0], "HEAD /v2/copied/manifests/1");
    assert_eq!(lines.iter().filter(|line| line.starts_with("GET ")).count(), 4, "{lines:?}");

    // The credential may allow writing but not reading.
    to.fail_requests(
        "GET /v2/copied/manifests/",
        0..99,
        Reply::error(404, "MANIFEST_UNKNOWN", "no"),
    );
    from.server.forget();
    cli.run(&copy).await.expect(0, "(100 %)");
    assert_eq!(from.server.count("GET /v2/app/manifests/"), 5);
}
