//! A name with a digest, or with a platform, where the store has something else under that name.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, Index, image, index, layer};

fn app(text: &str) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", text.as_bytes())])])
}

/// A registry that has `a:1` and, by digest alone, another image; and a store that holds `a:1`.
async fn two_images() -> (FakeRegistry, Cli, String, Image, Image) {
    let (registry, held, other) = (FakeRegistry::start().await, app("held"), app("other"));
    held.publish(&registry, "a", Some("1"));
    other.publish(&registry, "a", None);
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    cli.run(&[&name]).await.expect(0, "");
    (registry, cli, name, held, other)
}

#[tokio::test]
async fn pin_other_digest_than_stored_tag_is_not_found() {
    let (registry, cli, name, held, other) = two_images().await;
    let pinned = format!("{name}@{}", other.manifest.digest());
    registry.server.forget();
    let refused: [&[&str]; 9] = [
        &["pull", "--offline", &pinned],
        &["pull", "--offline", "--plan", &pinned],
        &["history", "--offline", &pinned],
        &["manifest", &format!("store:{pinned}")],
        &["rm", &pinned],
        &["tag", &pinned, "b"],
        &["verify", &pinned],
        &["push", &pinned, &registry.repository("b:1")],
        &["copy", &format!("store:{pinned}"), "oci:x"],
    ];
    for words in refused {
        assert_eq!(cli.run(words).await.expect(3, "not in the store").stdout, "");
    }
    assert!(registry.server.requests().is_empty());
    for verb in ["inspect", "history", "layers"] {
        registry.server.forget();
        cli.run(&[verb, &pinned]).await.expect(0, "");
        assert!(registry.server.count(other.manifest.digest().as_str()) > 0, "{verb}");
    }
    let right = format!("{name}@{}", held.manifest.digest());
    let output = cli.run(&["--offline", &right]).await;
    assert_eq!(output.expect(0, "").stdout, format!("{right}\n"));
    assert_eq!(cli.run(&["rm", &right]).await.expect(0, "").stdout, format!("{right}\n"));
    assert_eq!(cli.json(&["images", "--json"]).await, json!([]));
}

#[tokio::test]
async fn pin_in_layout_selects_exact_digest() {
    let (_registry, cli, name, held, other) = two_images().await;
    cli.run(&["-o", "oci:layout", &name]).await.expect(0, "");
    let place = |image: &Image| format!("oci:layout:{name}@{}", image.manifest.digest());
    cli.run(&["manifest", &place(&other)]).await.expect(3, "not in the layout");
    let found = cli.run(&["manifest", &place(&held)]).await;
    assert_eq!(found.expect(0, "").stdout.as_bytes(), held.manifest.bytes);
    cli.run(&["copy", &place(&held), "oci:second"]).await.expect(0, "");
    cli.run(&["digest", &format!("oci:second:{name}")]).await.expect(0, "");
}

#[tokio::test]
async fn tag_with_other_digest_is_rejected() {
    let (_registry, cli, name, held, other) = two_images().await;
    let new = |image: &Image| format!("bar@{}", image.manifest.digest());
    cli.run(&["tag", &name, &new(&other)]).await.expect(2, held.manifest.digest().as_str());
    cli.run(&["tag", &name, &new(&held)]).await.expect(0, "as docker.io/library/bar@");
    for place in ["store:", "oci:x:"] {
        let copy = cli.run(&["copy", &name, &format!("{place}{}", new(&other))]).await;
        copy.expect(2, "a destination cannot contain a digest");
    }
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 2);
}

/// A registry with an index over two platforms, of which the store has one.
async fn one_of_two() -> (FakeRegistry, Cli, String, Index) {
    let registry = FakeRegistry::start().await;
    let of = |name: &str| image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])]);
    let both = index(Family::Oci, &[("amd64", of("amd64")), ("arm64", of("arm64"))]);
    both.publish(&registry, "multi", "1");
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("multi")));
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "");
    registry.server.forget();
    (registry, cli, name, both)
}

#[tokio::test]
async fn platform_missing_in_store_is_fetched_from_registry() {
    let (registry, cli, name, both) = one_of_two().await;
    let arm64 = both.images[1].manifest.digest();
    for verb in ["inspect", "history", "layers"] {
        registry.server.forget();
        let output = cli.run(&[verb, "--platform", "linux/arm64", &name]).await;
        assert_eq!(output.expect(0, "").stderr, "");
        assert_eq!(registry.server.count(arm64.as_str()), 1, "{verb}");
        cli.run(&[verb, "--platform", "linux/arm64", "--offline", &name])
            .await
            .expect(3, "available: linux/amd64");
        registry.server.forget();
        cli.run(&[verb, "--platform", "linux/amd64", &name]).await.expect(0, "");
        cli.run(&[verb, &name]).await.expect(0, "");
        assert!(registry.server.requests().is_empty());
    }
    let shown = cli.json(&["inspect", "--json", "--platform", "linux/arm64", &name]).await;
    assert_eq!((&shown["platform"], &shown["manifest"]), (&json!("linux/arm64"), &json!(arm64)));
    registry.server.forget();
    let offline = async |words: &[&str]| cli.run(&[&["--offline", &name], words].concat()).await;
    offline(&["--platform", "linux/arm64"]).await.expect(3, "available: linux/amd64");
    offline(&["--platform", "linux/arm64", "--platform", "linux/amd64"])
        .await
        .expect(3, "available: linux/amd64");
    offline(&["--all-platforms"])
        .await
        .expect(3, "manifests listed by its index are missing: linux/arm64");
    offline(&["--platform", "linux/amd64"]).await.expect(0, "");
    offline(&[]).await.expect(0, "");
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn platform_mismatch_of_single_image_is_not_found() {
    let (registry, cli, name, held, _) = two_images().await;
    let other = ["--platform", "linux/s390x"];
    for verb in ["digest", "manifest", "config", "pull", "history"] {
        let output = cli.run(&[&[verb], &other[..], &[&format!("docker://{name}")]].concat()).await;
        assert_eq!(output.expect(3, "available: linux/amd64").stdout, "");
    }
    let output = cli.run(&["copy", other[0], other[1], &name, "oci:x"]).await;
    output.expect(3, "available: linux/amd64");
    registry.server.forget();
    cli.run(&["--platform", "linux/amd64", &name]).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), 1, "the store has the config");
    let environment = Cli::new().env("DOCKER_DEFAULT_PLATFORM", other[1]);
    environment.run(&[&name]).await.expect(3, "available: linux/amd64");
    registry.server.forget();
    Cli::new().run(&[&name]).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), 1 + held.blobs().count());
}

#[tokio::test]
async fn store_name_keeps_index_digest() {
    let (registry, cli, name, both) = one_of_two().await;
    let (root, child) = (both.document.digest(), both.images[0].manifest.digest());
    let pulled = async |words: &[&str]| {
        let report: Value = cli.report(&[&["--json", "--offline", &name], words].concat()).await;
        assert_eq!((&report["digest"], &report["manifest"]), (&json!(root), &json!(child)));
    };
    pulled(&[]).await;
    pulled(&["-o", "oci:layout"]).await;
    pulled(&["--plan"]).await;
    for place in [format!("store:{name}"), format!("oci:layout:{name}@{root}")] {
        let digest = cli.run(&["digest", &place]).await;
        assert_eq!(digest.expect(0, "").stdout, format!("{root}\n"), "{place}");
        let manifest = cli.run(&["manifest", &place]).await;
        assert_eq!(manifest.expect(0, "").stdout.as_bytes(), both.images[0].manifest.bytes);
        let shown = cli.json(&["inspect", "--json", &place]).await;
        assert_eq!((&shown["digest"], &shown["manifest"]), (&json!(root), &json!(child)));
        assert_eq!(shown["media_type"], json!(both.document.descriptor.media_type));
    }
    assert_eq!(cli.json(&["images", "--json"]).await[0]["digest"], json!(root));
    assert!(registry.server.requests().is_empty());

    // At a registry the name resolves to the manifest, because the index is not pushed.
    let there = registry.repository("there:1");
    let pushed = cli.report(&["push", "--json", &name, &there]).await;
    let copied = cli.json(&["copy", "--json", &format!("store:{name}"), &there]).await;
    assert_eq!((&pushed["digest"], &copied["digest"]), (&json!(child), &json!(child)));
    let copied = cli.json(&["copy", "--json", "--platform", "linux/arm64", &name, &there]).await;
    assert_eq!(copied["digest"], json!(both.images[1].manifest.digest()));
}

#[tokio::test]
async fn pin_is_not_satisfied_by_annotation_alone() {
    let (_registry, cli, name, _, other) = two_images().await;
    cli.run(&["-o", "oci:layout", &name]).await.expect(0, "");
    let file = cli.dir().join("layout/index.json");
    let mut layout: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    layout["manifests"][0]["annotations"]["rpull.index"] = json!(other.manifest.digest());
    std::fs::write(&file, layout.to_string()).unwrap();
    let place = format!("oci:layout:{name}@{}", other.manifest.digest());
    cli.run(&["manifest", &place]).await.expect(3, "not in the layout");
}

#[tokio::test]
async fn history_of_stored_artifact_is_not_store_damage() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let held = app("artifact");
    let text = String::from_utf8(held.manifest.bytes.to_vec()).unwrap();
    let text = text.replace("vnd.oci.image.config.v1", "vnd.example.config");
    held.publish(&registry, "a", None);
    registry.document("a", Some("1"), held.manifest.descriptor.media_type.as_str(), text);
    let name = format!("{}:1", registry.repository("a"));
    cli.run(&[&name]).await.expect(0, "");
    registry.server.forget();
    let output = cli.run(&["history", &name]).await;
    assert!(!output.expect(1, "is not an image").stderr.contains("falling back to the registry"));
    assert!(registry.server.requests().is_empty());
}

#[tokio::test]
async fn damaged_store_falls_back_to_registry() {
    let (registry, cli, name, held, _) = two_images().await;
    let pinned = format!("{}@{}", registry.repository("a"), held.config.digest());
    let manifest = cli.store().join("blobs/sha256").join(held.manifest.digest().encoded());
    for (file, text) in [(manifest, "{}"), (cli.store().join("index.json"), "garbage")] {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, text).unwrap();
        for verb in ["inspect", "history", "layers"] {
            cli.run(&[verb, &name]).await.expect(0, "; falling back to the registry");
            let output = cli.run(&[verb, "--offline", &name]).await;
            assert!(matches!(output.code(), Some(5 | 7)), "{}", output.stderr);
        }
    }
    std::fs::write(cli.store().join("oci-layout"), "garbage").unwrap();
    cli.run(&["blob", &pinned]).await.expect(0, "; falling back to the registry");
}
