//! `prune`: what is deleted and what is kept.

use serde_json::json;

use super::{app, blob_path, filled, overwrite};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, index, layer};

#[tokio::test]
async fn prune_frees_planned_bytes_and_keeps_named_images() {
    let (registry, cli, held, name) = filled().await;
    let other = app(3);
    other.publish(&registry, "team/app", Some("2"));
    let second = format!("{}:2", registry.repository("team/app"));
    cli.run(&[&second]).await.expect(0, "");
    assert_eq!(cli.json(&["prune", "--json"]).await["blobs"], 0);

    cli.run(&["rm", &second]).await.expect(0, "");
    let plan = cli.json(&["prune", "--plan", "--json"]).await;
    let only = [&other.config, &other.layers[1], &other.manifest];
    let bytes: u64 = only.iter().map(|piece| piece.descriptor.size).sum();
    assert_eq!((&plan["blobs"], &plan["bytes"]), (&json!(3), &json!(bytes)));
    assert_eq!((&plan["partials"], &plan["layers"]), (&json!(0), &json!(0)));
    assert!(only.iter().all(|piece| blob_path(&cli, piece.digest()).exists()));
    assert_eq!(cli.json(&["prune", "--json"]).await, plan);
    assert!(only.iter().all(|piece| !blob_path(&cli, piece.digest()).exists()));
    registry.server.forget();
    cli.run(&[&name]).await.expect(0, "(100 %), 1 request");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));

    // What the manifest needs cannot be told any more, so nothing is deleted.
    overwrite(&blob_path(&cli, held.manifest.digest()), b"{}");
    cli.run(&["prune"]).await.expect(7, "nothing was deleted");
    assert!(held.blobs().all(|piece| blob_path(&cli, piece.digest()).exists()));
}

#[tokio::test]
async fn prune_keeps_index_of_platform_and_deletes_old_partials() {
    let registry = FakeRegistry::start().await;
    let of = |name: &str| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]);
    let both = index(Family::Oci, &[("amd64", of("amd64")), ("arm64", of("arm64"))]);
    both.publish(&registry, "a", "1");
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "");
    let ingest = cli.store().join("ingest");
    for (name, age) in [("sha256-old", 25), ("sha256-new", 1)] {
        let partial = std::fs::File::create(ingest.join(name)).unwrap();
        partial.set_len(10).unwrap();
        let ago = std::time::Duration::from_secs(age * 3600);
        partial.set_modified(std::time::SystemTime::now() - ago).unwrap();
    }
    let pruned = cli.json(&["prune", "--json"]).await;
    assert_eq!((&pruned["blobs"], &pruned["bytes"]), (&json!(0), &json!(0)));
    assert_eq!((&pruned["partials"], &pruned["partial_bytes"]), (&json!(1), &json!(10)));
    assert!(ingest.join("sha256-new").exists());
    registry.server.forget();
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "1 request");
}
