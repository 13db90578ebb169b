//! Images that do not fit on the disk.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::small::Small;

#[tokio::test]
async fn disk_too_small_fails_before_any_blob() {
    let (cli, registry) = (Cli::new(), FakeRegistry::start().await);
    let layers = [1, 2, 3].map(|seed| layer(&[("data", &random_blob(1_000_000, seed))]));
    image(Family::Oci, "amd64", &layers).publish(&registry, "large", Some("1"));
    let first = image(Family::Oci, "amd64", &layers[..1]);
    first.publish(&registry, "small", Some("1"));
    let disk = cli.dir().join("disk");
    let Some(small) = Small::mount("disk_too_small_fails_before_any_blob", &disk, "size=2500k")
    else {
        return;
    };
    let [large, fits] = ["large:1", "small:1"].map(|name| registry.repository(name));
    for words in [
        &["pull", "--store", "disk/store", &large][..],
        &["pull", "-o", "oci:disk/layout", &large],
        &["copy", &large, "oci:disk/layout"],
        &["unpack", "--store", "disk/store", &large, "root"],
        &["pull", "--json", "--store", "disk/store", &fits, &large],
    ] {
        registry.server.forget();
        let refused = cli.run(words).await;
        refused.expect(7, " free").expect(7, "hint: free disk space");
        assert_eq!(
            registry.server.count("/blobs/"),
            registry.server.count(first.config.digest().as_str())
        );
    }
    // Existing blobs and partials need no further space.
    cli.run(&["pull", "--store", "disk/store", &fits]).await.expect(0, "");
    cli.run(&["pull", "--store", "disk/store", &large]).await.expect(7, " free");
    let words = ["pull", "--max-bytes", "100k", "--store", "disk/store", &large];
    cli.run(&words).await.expect(1, "stopped after 100.0 kB");
    small.remount("size=6m");
    cli.run(&["pull", "--store", "disk/store", &large]).await.expect(0, "");
}
