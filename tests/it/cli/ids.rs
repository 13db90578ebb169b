//! Image ids, as commands print them, in place of names of the store.

use rpull::digest::Digest;
use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::http::{Reply, Server};
use crate::support::images::{Family, Image, image, index, layer};
use crate::support::samples::published;

/// A store with two images, and a proxy that no command may send a request to.
async fn stocked() -> (Cli, Server, FakeRegistry, [Image; 2], String) {
    let proxy = Server::start(|_| Reply::error(404, "NAME_UNKNOWN", "said the proxy")).await;
    let url = format!("http://{}", proxy.host());
    let cli = Cli::new().env("HTTP_PROXY", &url).env("HTTPS_PROXY", &url);
    let (registry, images, repository) = published().await;
    for tag in ["1", "2"] {
        cli.run(&[format!("{repository}:{tag}")]).await.expect(0, "");
    }
    (cli, proxy, registry, images, repository)
}

/// A digest as tables show it, and in full.
fn spellings(digest: &str) -> [String; 4] {
    let hex = digest.strip_prefix("sha256:").unwrap();
    [hex[..12].to_owned(), hex.to_owned(), digest.to_owned(), format!("store:{}", &hex[..12])]
}

#[tokio::test]
async fn id_selects_store_image_in_every_command() {
    let (cli, proxy, registry, [held, _], repository) = stocked().await;
    let name = format!("{repository}:1");
    let [history, layers, inspect] = [
        cli.run(&["history", &name]).await.stdout,
        cli.run(&["layers", &name]).await.stdout,
        cli.run(&["inspect", &name]).await.stdout,
    ];
    let shown = cli.run(&["images"]).await.stdout + &history;
    for digest in [held.manifest.digest(), held.config.digest()] {
        assert!(shown.contains(digest.short()), "{shown}");
        for (at, id) in spellings(digest.as_str()).iter().enumerate() {
            assert_eq!(cli.run(&["history", id]).await.expect(0, "").stdout, history);
            assert_eq!(cli.run(&["layers", id]).await.expect(0, "").stdout, layers);
            assert_eq!(cli.run(&["inspect", id]).await.expect(0, "").stdout, inspect);
            cli.run(&["verify", id]).await.expect(0, "");
            cli.run(&["unpack", id, &format!("root-{at}")]).await.expect(0, "");
            cli.run(&["export", id, "-o", "root.tar"]).await.expect(0, "");
            let file = format!("image-{at}.tar");
            cli.run(&["save", id, "-o", &file]).await.expect(0, "");
            let saved = cli.run(&["digest", &format!("oci-archive:{file}:{name}")]).await;
            assert_eq!(saved.expect(0, "").stdout.trim_end(), held.manifest.digest().as_str());
            let pushed = registry.repository(&format!("pushed:{at}"));
            cli.run(&["push", id, &pushed]).await.expect(0, "");
            assert_eq!(cli.run(&["tag", id, &format!("tagged:{at}")]).await.code(), Some(0));
            cli.run(&["rm", &format!("tagged:{at}")]).await.expect(0, "");
            if id.starts_with("store:") {
                let digest = cli.run(&["digest", id]).await.expect(0, "").stdout.clone();
                assert_eq!(digest.trim_end(), held.manifest.digest().as_str());
                cli.run(&["copy", id, &format!("oci:layout-{at}")]).await.expect(0, "");
            }
        }
        for at in 0..4 {
            std::fs::remove_dir_all(cli.dir().join(format!("root-{at}"))).unwrap();
        }
    }
    assert_eq!(cli.run(&["rm", held.config.digest().short()]).await.stdout, format!("{name}\n"));
    cli.run(&["history", &name, "--offline"]).await.expect(3, "not in the store");
    assert_eq!(proxy.lines(), [""; 0]);
}

#[tokio::test]
async fn id_not_in_store_sends_no_request() {
    let (cli, proxy, registry, [held, _], _) = stocked().await;
    registry.server.forget();
    let layer = held.layers[0].digest();
    for id in [
        "0123456789ab",
        &"f".repeat(64),
        &format!("sha256:{}", "0".repeat(64)),
        "sha256:0000000",
        layer.short(),
    ] {
        for words in [
            &["history", id][..],
            &["layers", id],
            &["inspect", id],
            &["verify", id],
            &["rm", id],
            &["tag", id, "new:1"],
            &["save", id, "-o", "a.tar"],
            &["push", id, &registry.repository("pushed:1")],
            &["unpack", id, "root"],
            &["export", id, "-o", "root.tar"],
            &["digest", &format!("store:{id}")],
            &["copy", &format!("store:{id}"), "oci:layout"],
        ] {
            cli.run(words).await.expect(3, &format!("{id}: not in the store"));
        }
    }
    let digest = held.manifest.digest().as_str();
    for words in [&["pull", digest][..], &["digest", digest], &["copy", digest, "oci:layout"]] {
        cli.run(words).await.expect(2, &format!("hint: write `NAME@{digest}"));
    }
    assert_eq!((proxy.lines(), registry.server.lines()), (vec![], vec![]));
}

#[tokio::test]
async fn id_prefix_of_several_images_is_ambiguous() {
    let (cli, _proxy, registry, [first, _], repository) = stocked().await;
    let name = format!("{repository}:1");
    let start = &first.manifest.digest().encoded()[..1];
    let other = (10..=255)
        .map(|seed| image(Family::Oci, "amd64", &[layer(&[("a", &[seed])])]))
        .find(|other| other.manifest.digest().encoded().starts_with(start))
        .unwrap();
    other.publish(&registry, "other", Some("1"));
    cli.run(&[registry.repository("other:1")]).await.expect(0, "");
    for verb in ["history", "verify", "rm", "unpack"] {
        let id = format!("sha256:{start}");
        let words = [verb, &id, "root"];
        let refused = cli.run(if verb == "unpack" { &words[..] } else { &words[..2] }).await;
        refused.expect(2, &format!("id `{id}`: ambiguous, matches several images: "));
        for (image, name) in [(&first, &name), (&other, &registry.repository("other:1"))] {
            refused.expect(2, &format!("{name} ({})", image.manifest.digest().short()));
        }
    }
}

#[tokio::test]
async fn id_of_image_with_several_names_cannot_be_removed() {
    let (cli, _proxy, _registry, [held, _], repository) = stocked().await;
    let (name, id) = (format!("{repository}:1"), held.manifest.digest().short());
    cli.run(&["tag", id, "another:1"]).await.expect(0, "");
    for words in [&["history", id][..], &["verify", id], &["tag", id, "third:1"]] {
        cli.run(words).await.expect(0, "");
    }
    let refused = cli.run(&["rm", id]).await;
    for name in [&name, "docker.io/library/another:1", "docker.io/library/third:1"] {
        refused.expect(2, "ambiguous, matches several images: ").expect(2, name);
    }
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn name_like_id_wins_over_id() {
    let (cli, _proxy, _registry, [first, second], repository) = stocked().await;
    let id = first.manifest.digest().short();
    cli.run(&["tag", &format!("{repository}:2"), id]).await.expect(0, "");
    let shown = cli.json(&["inspect", "--json", id]).await;
    assert_eq!(shown["manifest"], second.manifest.digest().as_str());
    cli.run(&["rm", id]).await.expect(0, "");
    let shown = cli.json(&["inspect", "--json", id]).await;
    assert_eq!(shown["manifest"], first.manifest.digest().as_str());
}

#[tokio::test]
async fn id_of_platform_manifest_selects_platform() {
    let (cli, _proxy, registry, _, _) = stocked().await;
    let images = ["amd64", "arm64"].map(|architecture| {
        (
            architecture,
            image(Family::Oci, architecture, &[layer(&[("a", architecture.as_bytes())])]),
        )
    });
    let both = index(Family::Oci, &images);
    both.publish(&registry, "multi", "1");
    let name = registry.repository("multi:1");
    cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    for (architecture, held) in &images {
        for id in [held.manifest.digest(), held.config.digest()].map(Digest::short) {
            let shown = cli.json(&["inspect", "--json", id]).await;
            assert_eq!(shown["platform"], format!("linux/{architecture}"));
            cli.run(&["history", id]).await.expect(0, "");
            cli.run(&["verify", id]).await.expect(0, "");
            cli.run(&["rm", id]).await.expect(2, &format!("refers to one platform of {name}"));
            cli.run(&["tag", id, "one:1"]).await.expect(0, "");
            let digest = cli.run(&["digest", "store:one:1"]).await.stdout;
            assert_eq!(digest.trim_end(), held.manifest.digest().as_str());
            cli.run(&["rm", "one:1"]).await.expect(0, "");
        }
    }
    let shown = cli.json(&["inspect", "--json", both.document.digest().short()]).await;
    assert_eq!(shown["digest"], both.document.digest().as_str());
    assert_eq!(cli.run(&["rm", both.document.digest().short()]).await.stdout, format!("{name}\n"));
}

#[tokio::test]
async fn id_selects_image_without_name() {
    let (cli, _proxy, _registry, [first, second], repository) = stocked().await;
    let path = cli.store().join("index.json");
    let mut listed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for entry in listed["manifests"].as_array_mut().unwrap() {
        if entry["digest"] == first.manifest.digest().as_str() {
            entry["annotations"] = json!({});
        }
    }
    std::fs::write(&path, listed.to_string()).unwrap();
    let id = first.manifest.digest().short();
    assert!(cli.run(&["images"]).await.stdout.contains("<none>"));
    cli.run(&["history", id]).await.expect(0, "");
    cli.run(&["verify", id]).await.expect(0, "");
    cli.run(&["unpack", id, "root"]).await.expect(0, "");
    cli.run(&["tag", id, "found:1"]).await.expect(0, "");
    cli.run(&["history", "found:1", "--offline"]).await.expect(0, "");
    cli.run(&["rm", "found:1"]).await.expect(0, "");
    cli.run(&["rm", id]).await.expect(0, "");
    cli.run(&["history", id]).await.expect(3, "not in the store");
    let left = cli.json(&["images", "--json"]).await;
    assert_eq!(left[0]["reference"], format!("{repository}:2"));
    assert_eq!(left[0]["digest"], second.manifest.digest().as_str());
}
