//! Layers of a foreign media type without `urls`: only the registry has them.

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, Image, assemble, image, layer};
use crate::support::live::{Access, Live, needs};
use crate::support::served_store::ServedStore;
use crate::support::tree::names;

const KINDS: [(Family, &str); 2] = [
    (Family::Oci, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    (Family::Docker, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
];

fn restricted(family: Family, kind: &str) -> Image {
    let plain = image(family, "amd64", &[layer(&[("a", b"1")]), layer(&[("b", b"2")])]);
    let [base, top] = [0, 1].map(|at| plain.layers[at].bytes.clone());
    let base = Blob::new(plain.layers[0].descriptor.media_type.clone(), base);
    assemble(family, plain.config, vec![base, Blob::new(kind.into(), top)])
}

#[tokio::test]
async fn foreign_layer_without_urls_is_ordinary_everywhere() {
    for (family, kind) in KINDS {
        let (from, to, cli) =
            (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
        let held = restricted(family, kind);
        held.publish(&from, "app", Some("1"));
        let (source, top) = (from.repository("app") + ":1", held.layers[1].digest());
        let plan = cli.json(&["copy", "--plan", "--json", &source, "oci:l"]).await;
        assert_eq!(plan["bytes"]["missing"], held.size());
        let copied = cli.run(&["copy", &source, &(to.repository("copied") + ":1")]).await;
        assert!(!copied.expect(0, "").stderr.contains("skipped"), "{}", copied.stderr);
        assert!(to.blob_bytes("copied", top).is_some());
        cli.run(&["pull", "--unpack", "root", &source]).await.expect(0, "unpacked 2 layers");
        assert_eq!(names(&cli.dir().join("root")), ["a", "b"]);
        cli.run(&["push", &source, &(to.repository("pushed") + ":1")]).await.expect(0, "");
        assert!(to.blob_bytes("pushed", top).is_some());
        cli.run(&["save", &source, "-o", "s.tar"]).await.expect(0, "");
        let saved = cli.dir().join("s.tar").display().to_string();
        let other = Cli::new();
        other.run(&["load", &saved]).await.expect(0, "");
        assert_eq!(other.json(&["verify", "--json"]).await["blobs"], 4);
        let layers = cli.json(&["layers", "--json", &source]).await;
        assert_ne!(layers[1]["kind"], "foreign");
        assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);
        std::fs::remove_file(cli.store().join("blobs/sha256").join(top.encoded())).unwrap();
        assert!(cli.run(&["verify"]).await.expect(5, "").stdout.contains("is missing"));
    }
}

#[tokio::test]
async fn foreign_layer_without_urls_is_required_by_serve() {
    let served = ServedStore::start().await;
    let (family, kind) = KINDS[0];
    let held = restricted(family, kind);
    for piece in [&held.config, &held.layers[0]] {
        served.blob("app", &piece.bytes).await;
    }
    served.put("app", "1", &held.manifest).await.expect(400, "MANIFEST_BLOB_UNKNOWN");
    served.blob("app", &held.layers[1].bytes).await;
    served.put("app", "1", &held.manifest).await.expect(201, "");
}

#[tokio::test]
async fn foreign_layer_without_urls_is_accepted_by_docker_registry() {
    if !needs("foreign_layer_without_urls_is_accepted_by_docker_registry", &["docker-registry"]) {
        return;
    }
    let (from, live, cli) = (FakeRegistry::start().await, Live::start(&Access::Open), Cli::new());
    // It rejects Docker's own media type without `urls` from every client.
    let (family, kind) = KINDS[0];
    restricted(family, kind).publish(&from, "app", Some("1"));
    let name = format!("{}/app:1", live.host());
    cli.run(&["copy", &(from.repository("app") + ":1"), &name]).await.expect(0, "");
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(0, "unpacked 2 layers");
}
