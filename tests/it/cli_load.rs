//! `load` of archives that say the same thing twice, or name more than they hold.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::Image;
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
