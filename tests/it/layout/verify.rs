//! `verify`: damage is found at every location, and the next pull repairs the store.

use rpull::digest::Digest;
use serde_json::{Value, json};

use super::{blob_path, filled, overwrite};
use crate::support::cli::Cli;
use crate::support::samples::published;

#[tokio::test]
async fn verify_checks_blobs_at_every_location() {
    let (registry, [first, _], name) = published().await;
    let (cli, name) = (Cli::new(), name + ":1");
    for target in ["oci:l:x", "oci-archive:a.tar:x", "docker-archive:d.tar:x"] {
        cli.run(&["copy", &name, target]).await.expect(0, "");
    }
    let remote = format!("docker://{name}");
    let places = [remote.as_str(), "oci:l", "oci:l:x", "oci-archive:a.tar", "docker-archive:d.tar"];
    for place in places {
        let report = cli.json(&["verify", "--json", place]).await;
        assert_eq!((&report["blobs"], &report["bad"]), (&json!(4), &json!([])), "{place}");
    }
    assert!(!cli.store().join("index.json").exists(), "nothing is brought into the store");
    assert_eq!(cli.json(&[&["validate", "--json"], &places[..]].concat()).await["blobs"], 20);
    // The same blob is damaged in each of them.
    let digest = first.layers[0].digest();
    registry.blob_as("team/app", digest, vec![0; first.layers[0].bytes.len()]);
    let file = cli.dir().join("l/blobs/sha256").join(digest.encoded());
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "wrong").unwrap();
    let archive = cli.dir().join("a.tar");
    let mut bytes = std::fs::read(&archive).unwrap();
    let layer = &first.layers[0].bytes[..];
    let at = bytes.windows(layer.len()).position(|window| window == layer).unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    for place in &places[..4] {
        let found = cli.run(&["verify", "--json", place]).await;
        found.expect(5, "1 corrupt or missing blob");
        let report: Value = serde_json::from_str(&found.stdout).unwrap();
        assert_eq!(report["bad"][0]["digest"], json!(digest), "{place}");
    }
    cli.run(&["verify", "oci:absent"]).await.expect(3, "absent");
    let nowhere = Digest::sha256(b"nowhere");
    cli.run(&["verify", &format!("docker://{}@{nowhere}", registry.repository("team/app"))])
        .await
        .expect(3, "");
}

#[tokio::test]
async fn verify_damage_is_repaired_by_next_pull() {
    let (registry, cli, held, name) = filled().await;
    let clean = cli.json(&["verify", "--json"]).await;
    assert_eq!((&clean["blobs"], &clean["bad"]), (&json!(4), &json!([])));

    let [base, app] = held.layers.as_slice() else { panic!("two layers") };
    // The right size with other bytes, which no look at the size can find.
    overwrite(&blob_path(&cli, base.digest()), &vec![0; base.bytes.len()]);
    std::fs::remove_file(blob_path(&cli, app.digest())).unwrap();
    let output = cli.run(&["verify", "--json", &name]).await;
    let report: Value =
        serde_json::from_str(&output.expect(5, "2 corrupt or missing").stdout).unwrap();
    let bad = report["bad"].as_array().unwrap();
    assert_eq!(bad.len(), 2);
    for row in bad {
        let expected = if row["digest"] == json!(base.digest()) {
            "digest mismatch: got"
        } else {
            "is missing"
        };
        assert!(row["why"].as_str().unwrap().contains(expected));
        assert_eq!((&row["images"], &row["repaired"]), (&json!([name]), &json!(false)));
    }
    let text = cli.run(&["verify"]).await;
    assert!(text.expect(5, "").stdout.contains(&format!("(needed by {name})")));

    let report = cli.report(&["--json", &name]).await;
    assert_eq!(report["bytes"]["transferred"], base.descriptor.size + app.descriptor.size);
    assert_eq!(registry.server.count(base.digest().as_str()), 2);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    assert_eq!(
        std::fs::read_dir(cli.store().join("unsynced")).unwrap().count(),
        2,
        "no doubt is left"
    );
}

#[tokio::test]
async fn pull_damaged_manifest_fetches_it_again() {
    let (_registry, cli, held, name) = filled().await;
    overwrite(&blob_path(&cli, held.manifest.digest()), b"{\"schemaVersion\":2}");
    cli.run(&[&name]).await.expect(0, "treating it as missing");
    let bytes = std::fs::read(blob_path(&cli, held.manifest.digest())).unwrap();
    assert_eq!(bytes, held.manifest.bytes);
}
