//! What `rebase` and `flatten` say about the base of an image.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, index, layer, random_blob};

const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";

fn of(architecture: &str, files: &[&str]) -> Image {
    let file = |name: &&str| layer(&[(*name, &random_blob(300, name.len() as u64))]);
    image(Family::Oci, architecture, &files.iter().map(file).collect::<Vec<_>>())
}

async fn annotations(cli: &Cli, place: &str) -> Value {
    cli.json(&["manifest", place]).await["annotations"].clone()
}

#[tokio::test]
async fn rebase_names_the_base_only_by_a_tag_of_a_registry() {
    let registry = FakeRegistry::start().await;
    of("amd64", &["a"]).publish(&registry, "old", Some("1"));
    of("amd64", &["new"]).publish(&registry, "new", Some("1.1"));
    of("amd64", &["a", "app1"]).publish(&registry, "app", Some("1"));
    let cli = Cli::new();
    let [app, old, new] = ["app:1", "old:1", "new:1.1"].map(|name| registry.repository(name));
    let full = format!("oci:l:{new}");
    let places = ["oci:l:1.1", "oci-archive:a.tar:new", full.as_str(), new.as_str()];
    let digest = of("amd64", &["new"]).manifest.digest().to_string();
    for (at, place) in places.into_iter().enumerate() {
        if place != new {
            cli.run(&["copy", &new, place]).await.expect(0, "");
        }
        let to = format!("oci:out:{at}");
        let rebase = ["rebase", &app, "--old-base", &old, "--new-base", place, "-t", &to];
        cli.run(&rebase).await.expect(0, "");
        let expected = match at {
            0 | 1 => json!({DIGEST: digest}),
            _ => json!({NAME: new, DIGEST: digest}),
        };
        assert_eq!(annotations(&cli, &to).await, expected, "{place}");
    }
    // Another rebase replaces the name too.
    let again = ["rebase", "oci:out:3", "--old-base", &new, "--new-base", "oci:l:1.1"];
    cli.run(&[&again[..], &["-t", "oci:out:again"]].concat()).await.expect(0, "");
    assert_eq!(annotations(&cli, "oci:out:again").await, json!({DIGEST: digest}));
}

#[tokio::test]
async fn flatten_removes_the_base_of_manifest_and_entry() {
    let registry = FakeRegistry::start().await;
    let own = index(Family::Oci, &[("amd64", of("amd64", &["a", "app1"]))]);
    own.publish(&registry, "app", "1");
    let mut document: Value = serde_json::from_slice(&own.document.bytes).unwrap();
    document["manifests"][0]["annotations"] =
        json!({NAME: "docker.io/library/debian:12", DIGEST: "sha256:0", "kept": "1"});
    let kind = own.document.descriptor.media_type.as_str();
    registry.document("app", Some("1"), kind, document.to_string());
    let cli = Cli::new();
    let app = registry.repository("app:1");
    let base = format!("{NAME}=r.example/base:1");
    let based = ["--annotation", &base, "--annotation", "kept=1"];
    let mutate = [&["mutate", "--all-platforms", &app][..], &based, &["-t", "oci:l:1"]].concat();
    cli.run(&mutate).await.expect(0, "");
    let entry = async |place: &str| {
        cli.json(&["manifest", place]).await["manifests"][0]["annotations"].clone()
    };
    assert_eq!(entry("oci:l:1").await, document["manifests"][0]["annotations"]);
    let flatten = ["flatten", "--all-platforms", "oci:l:1", "-t", "oci:l:2"];
    cli.run(&flatten).await.expect(0, "");
    assert_eq!(entry("oci:l:2").await, json!({"kept": "1"}));
    let manifest = cli.json(&["manifest", "--platform", "linux/amd64", "oci:l:2"]).await;
    assert_eq!(manifest["annotations"], json!({"kept": "1"}));
    cli.run(&["check-base", "oci:l:2"]).await.expect(1, "does not name its base");
}
