//! What a name with a digest, or one asked for with a platform, means where the store holds something else.

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, image, layer};
use crate::support::registry::Registry;

fn app(text: &str) -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", text.as_bytes())])])
}

/// A registry that has `a:1` and, by digest alone, another image; and a store that holds `a:1`.
async fn two_images() -> (Registry, Cli, String, Image, Image) {
    let (registry, held, other) = (Registry::start().await, app("held"), app("other"));
    held.publish(&registry, "a", Some("1"));
    other.publish(&registry, "a", None);
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("a")));
    cli.run(&[&name]).await.expect(0, "");
    (registry, cli, name, held, other)
}

#[tokio::test]
async fn a_pin_is_not_answered_with_what_the_store_has_under_the_tag() {
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
async fn a_pin_holds_in_a_layout_too() {
    let (_registry, cli, name, held, other) = two_images().await;
    cli.run(&["-o", "oci:layout", &name]).await.expect(0, "");
    let place = |image: &Image| format!("oci:layout:{name}@{}", image.manifest.digest());
    cli.run(&["manifest", &place(&other)]).await.expect(3, "not in the store");
    let found = cli.run(&["manifest", &place(&held)]).await;
    assert_eq!(found.expect(0, "").stdout.as_bytes(), held.manifest.bytes);
    cli.run(&["copy", &place(&held), "oci:second"]).await.expect(0, "");
    cli.run(&["digest", &format!("oci:second:{name}")]).await.expect(0, "");
}

#[tokio::test]
async fn no_name_lies_about_its_digest() {
    let (_registry, cli, name, held, other) = two_images().await;
    let new = |image: &Image| format!("bar@{}", image.manifest.digest());
    cli.run(&["tag", &name, &new(&other)]).await.expect(2, held.manifest.digest().as_str());
    cli.run(&["tag", &name, &new(&held)]).await.expect(0, "is also docker.io/library/bar@");
    let copy = cli.run(&["copy", &name, &format!("store:{}", new(&other))]).await;
    copy.expect(2, "the image decides its digest");
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 2);
}
