//! `save --since` and `inventory`: archives with only the blobs that the other side is missing.

use serde_json::json;

use super::{blobs, filled};

#[tokio::test]
async fn save_since_contains_only_missing_blobs() {
    let (_registry, cli, images, names) = filled().await;
    let save = |since: &'static str, to: &'static str| {
        ["save", &names[1], "--since", since, "-o", to].map(str::to_owned)
    };
    cli.run(&["save", &names[0], "-o", "first.tar"]).await.expect(0, "");
    let other = ["--store", "other"];
    cli.run(&[&other[..], &["load", "first.tar"]].concat()).await.expect(0, "");
    let inventory = cli.run(&[&other[..], &["inventory"]].concat()).await.stdout;
    let mut held: Vec<&str> = images[0].blobs().map(|piece| piece.digest().as_str()).collect();
    held.push(images[0].manifest.digest().as_str());
    held.sort_unstable();
    assert_eq!(inventory, held.join("\n") + "\n");
    std::fs::write(cli.dir().join("inventory"), &inventory).unwrap();

    for since in ["inventory", "first.tar", "other/index.json"] {
        cli.run(&save(since, "update.tar")).await.expect(0, "shared");
        let needed = [&images[1].manifest, &images[1].config, &images[1].layers[1]];
        let needed = needed.map(|piece| piece.digest().encoded().to_owned());
        assert_eq!(blobs(&cli.dir().join("update.tar")), needed, "{since}");
    }
    // Docker would look for the missing blobs.
    let listed =
        cli.spawn_in_shell("tar xOf update.tar manifest.json", &["--version"]).wait().await;
    assert_eq!(listed.stdout, "[]");
    let base = images[0].layers[0].digest();
    let refused = cli.run(&["--store", "empty", "load", "update.tar"]).await;
    refused.expect(3, &format!("update.tar: missing at the source and at oci:empty: {base}"));
    refused.expect(3, "hint: load the earlier archives first");
    assert_eq!(cli.run(&["--store", "empty", "images", "--json"]).await.stdout, "[]\n");
    let loaded = cli.report(&[&other[..], &["load", "--json", "update.tar"]].concat()).await;
    assert_eq!(loaded["digest"], json!(images[1].manifest.digest()));
    assert_eq!(cli.json(&[&other[..], &["verify", "--json"]].concat()).await["bad"], json!([]));
    // An update lists all blobs of its images, so a store that loaded it has them.
    cli.run(&save("update.tar", "nothing.tar")).await.expect(0, "(100 %)");
    let piped = cli.spawn_in_shell("cat first.tar | \"$@\"", &save("-", "x.tar")).wait().await;
    piped.expect(2, "an archive must be a file, not a pipe");
    std::fs::write(cli.dir().join("inventory"), "alpine:3.14\n").unwrap();
    cli.run(&save("inventory", "x.tar")).await.expect(2, "line 1 is not a digest");
    cli.run(&save("absent", "x.tar")).await.expect(3, "absent");
}
