//! `load` of archives that say the same thing twice, or name more than they hold.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::{Family, Image, Index, Piece, image, index, layer};
use crate::support::samples::published;
use crate::support::tars::{Entry, classic, file, layout, manifest, tar};

#[tokio::test]
async fn of_images_of_one_name_in_an_archive_the_last_is_loaded() {
    let (_registry, images, _) = published().await;
    let cli = Cli::new();
    let entry = |image: &Image| {
        let mut entry = serde_json::to_value(&image.manifest.descriptor).unwrap();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "app"});
        entry
    };
    let mut entries = [layout(&images[0], None), layout(&images[1], None)].concat();
    entries.retain(|entry| !matches!(entry, Entry::File(name, _) if !name.starts_with("blobs")));
    let listed = json!({"schemaVersion": 2, "manifests": [entry(&images[0]), entry(&images[1])]});
    entries.push(file("index.json", listed.to_string()));
    entries.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    std::fs::write(cli.dir().join("twice.tar"), tar(&entries)).unwrap();
    let loaded = cli.run(&["load", "twice.tar"]).await;
    loaded.expect(0, "warning: twice.tar: several images are called app; the last one is it");
    let name = format!("docker.io/library/app:latest@{}\n", images[1].manifest.digest());
    assert_eq!(loaded.stdout, name);
    let digest = cli.run(&["digest", "oci-archive:twice.tar:app"]).await.stdout;
    assert_eq!(digest.trim(), images[1].manifest.digest().as_str());

    let mut moved = classic(&images[0], &["app", "app:1"]);
    let Some(Entry::File(_, items)) = moved.pop() else { panic!("manifest.json") };
    let items: Value = serde_json::from_slice(&items).unwrap();
    let mut again = items[0].clone();
    again["RepoTags"] = json!(["app", "app"]);
    moved.push(manifest(&json!([items[0], again])));
    std::fs::write(cli.dir().join("moved.tar"), tar(&moved)).unwrap();
    let loaded = cli.run(&["load", "moved.tar"]).await;
    assert_eq!(loaded.expect(0, "").stderr.matches("several images are called").count(), 1);
    assert_eq!(loaded.stdout.lines().count(), 2, "{}", loaded.stdout);
}

/// A layout of the index with these children, as docker saves what it pulled of an image.
fn partial(held: &Index, children: &[&Image]) -> Vec<Entry> {
    let blob = |piece: &Piece| {
        file(&format!("blobs/sha256/{}", piece.digest().encoded()), &piece.bytes[..])
    };
    let mut entries = vec![blob(&held.document)];
    for child in children {
        entries.extend(child.blobs().chain([&child.manifest]).map(blob));
    }
    let mut root = serde_json::to_value(&held.document.descriptor).unwrap();
    root["annotations"] = json!({"io.containerd.image.name": "docker.io/team/app:1"});
    entries.push(file("index.json", json!({"schemaVersion": 2, "manifests": [root]}).to_string()));
    entries.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    entries
}

#[tokio::test]
async fn of_an_index_whose_platforms_are_not_all_there_those_are_loaded_that_are() {
    let images = ["amd64", "arm64", "s390x"]
        .map(|name| (name, image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])])));
    let held = index(Family::Oci, &images);
    let [amd, arm, s390x] = images.map(|(_, image)| image);
    let cli = Cli::new();
    let write = |name: &str, children: &[&Image]| {
        std::fs::write(cli.dir().join(name), tar(&partial(&held, children))).unwrap();
    };
    // One: as after a pull of that platform.
    write("one.tar", &[&arm, &held.attestations[1]]);
    let loaded = cli.run(&["load", "--json", "one.tar"]).await;
    let missing = "linux/amd64, linux/s390x, 2 attestations; what is there is linux/arm64";
    loaded.expect(0, missing);
    let report: Value = serde_json::from_str(&loaded.stdout).unwrap();
    assert_eq!(report["platforms"], json!(["linux/arm64"]));
    assert_eq!(report["digest"], json!(held.document.digest()));
    assert_eq!(report["manifest"], json!(arm.manifest.digest()));
    cli.run(&["copy", "store:team/app:1", "oci:one"]).await.expect(0, "");
    // Whoever wants everything is told what there is to choose from.
    let all = cli.run(&["load", "--all-platforms", "one.tar"]).await;
    all.expect(3, "names what is not there: linux/amd64, linux/s390x, 2 attestations");
    all.expect(3, "hint: choose what is there with --platform");
    // Several, and what was loaded before counts as there.
    write("two.tar", &[&amd]);
    let loaded = cli.json(&["load", "--json", "two.tar"]).await;
    assert_eq!(loaded["platforms"], json!(["linux/amd64", "linux/arm64"]));
    let attestations: Vec<&Image> = held.attestations.iter().collect();
    write("rest.tar", &[&[&s390x], &attestations[..]].concat());
    let loaded = cli.run(&["load", "rest.tar"]).await;
    assert!(!loaded.expect(0, "").stderr.contains("warning"), "{}", loaded.stderr);
    cli.run(&["copy", "store:team/app:1", "oci:out"]).await.expect(0, "");
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    write("none.tar", &[]);
    let none = cli.run(&["--store", "empty", "load", "none.tar"]).await;
    none.expect(3, "linux/amd64, linux/arm64, linux/s390x, 3 attestations");
}
