//! `delta -o` and `save --since --delta`: archives with deltas in place of layers.

use serde_json::json;

use super::Versions;
use crate::support::assertions::assert_digests_are_right;
use crate::support::cli::{Cli, Output};
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob};

#[tokio::test]
async fn delta_archive_is_loaded_where_the_old_image_is() {
    let versions = Versions::new().await;
    let (cli, new) = (&versions.cli, versions.name(2));
    let made = cli.json(&["delta", "--json", &versions.name(1), &new, "-o", "update.tar"]).await;
    assert_eq!(made["manifest"], json!(versions.new.manifest.digest()));
    let layer = &made["layers"][0];
    assert_eq!(layer["digest"], json!(versions.new.layers[1].digest()));
    let delta = layer["delta_bytes"].as_u64().unwrap();
    assert!(delta < versions.layer_size() / 20, "{made}");
    assert_eq!(made["layers"].as_array().unwrap().len(), 1);
    let archive = cli.dir().join("update.tar").metadata().unwrap().len();
    assert!(archive < delta + 20_000, "{archive}");

    // The limit is for bytes of a network: an archive has no layer to continue with.
    let load = ["load", "--json", "--max-bytes", "1G", "update.tar"];
    let report = cli.report(&load).await;
    assert_eq!(report["digest"], json!(versions.new.manifest.digest()));
    let bytes = &report["bytes"];
    assert_eq!(bytes["rebuilt"], json!(versions.layer_size()), "{report}");
    assert_eq!(bytes["delta_bytes"], json!(delta));
    assert_eq!(bytes["delta_saved"], json!(versions.layer_size() - delta));
    assert_eq!(bytes["delta_wasted"], json!(null));
    let parts = ["transferred", "shared", "rebuilt"].map(|part| bytes[part].as_u64().unwrap());
    assert_eq!(parts.iter().sum::<u64>(), bytes["total"].as_u64().unwrap());
    assert_digests_are_right(&cli.store());
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    // Deltas are used, and not kept as images.
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 2);
    let again = cli.report(&["load", "--json", "update.tar"]).await;
    assert_eq!(again["bytes"]["shared"], again["bytes"]["total"]);
}

#[tokio::test]
async fn delta_archive_without_the_old_image_is_refused() {
    let versions = Versions::new().await;
    let (cli, new) = (&versions.cli, versions.name(2));
    cli.run(&["delta", &versions.name(1), &new, "-o", "update.tar"]).await.expect(0, "");
    let loaded = cli.run(&["--store", "other", "load", "update.tar"]).await;
    loaded.expect(3, &versions.new.layers[1].digest().to_string());
    loaded.expect(3, "hint: load the earlier archives first");
    // Another image is there.
    let other = versions.registry.repository("app:other");
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(
        &versions.registry,
        "app",
        Some("other"),
    );
    cli.run(&["--store", "with-other", "pull", &other]).await.expect(0, "");
    let loaded = cli.run(&["--store", "with-other", "load", "update.tar"]).await;
    loaded.expect(3, "an old layer that is missing: its diff_id is sha256:");
    assert_eq!(cli.run(&["--store", "other", "images", "--json"]).await.stdout, "[]\n");
}

#[tokio::test]
async fn delta_of_images_without_new_layers_is_empty() {
    let versions = Versions::new().await;
    let (cli, old) = (&versions.cli, versions.name(1));
    let output = cli.run(&["delta", &old, &old, "-o", "same.tar"]).await;
    output.expect(0, "");
    assert_eq!(output.stdout, "no new layers\n");
    cli.run(&["load", "same.tar"]).await.expect(0, "(100 %)");
    let nowhere = cli.run(&["delta", &old, &old, "-o", "absent/x.tar"]).await;
    nowhere.expect(7, "its directory does not exist");
    for wrong in [&["delta", &old, &old][..], &["delta", &old, "oci:./x", "--push"]] {
        assert_eq!(cli.run(wrong).await.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn save_with_deltas_is_loaded_by_inventory_or_image() {
    let versions = Versions::new().await;
    let (cli, new) = (&versions.cli, versions.name(2));
    let there = ["--store", "there"];
    cli.run(&["save", &versions.name(1), "-o", "first.tar"]).await.expect(0, "");
    cli.run(&[&there[..], &["load", "first.tar"]].concat()).await.expect(0, "");
    let inventory = cli.run(&[&there[..], &["inventory"]].concat()).await.stdout;
    std::fs::write(cli.dir().join("inventory"), inventory).unwrap();
    cli.run(&["pull", &new]).await.expect(0, "");
    for since in ["inventory", "first.tar", &versions.name(1)] {
        let save = ["save", &new, "--since", since, "--delta", "-o", "update.tar"];
        cli.run(&save).await.expect(0, "deltas: ");
        let size = cli.dir().join("update.tar").metadata().unwrap().len();
        assert!(size < versions.layer_size() / 5, "{since}: {size}");
    }
    let report = cli.report(&[&there[..], &["load", "--json", "update.tar"]].concat()).await;
    assert_eq!(report["digest"], json!(versions.new.manifest.digest()));
    assert_eq!(report["bytes"]["rebuilt"], json!(versions.layer_size()), "{report}");
    assert_eq!(cli.json(&[&there[..], &["verify", "--json"]].concat()).await["bad"], json!([]));
    // Nothing that the recipient has helps: all of it is sent.
    std::fs::write(cli.dir().join("inventory"), "").unwrap();
    let save = ["save", &new, "--since", "inventory", "--delta", "-o", "whole.tar"];
    cli.run(&save).await.expect(0, "");
    cli.run(&["--store", "empty", "load", "whole.tar"]).await.expect(0, "");
    cli.run(&["save", &new, "--delta", "-o", "x.tar"]).await.expect(2, "--since");
}

#[tokio::test]
async fn save_with_deltas_of_several_platforms_is_loaded() {
    let cli = Cli::new();
    let blob = random_blob(40_000, 6);
    for version in ["1", "2"] {
        for architecture in ["amd64", "arm64"] {
            let directory = cli.dir().join(format!("{architecture}{version}"));
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("data"), &blob).unwrap();
            std::fs::write(directory.join("name"), format!("{architecture} {version}")).unwrap();
        }
    }
    let held =
        |architecture: &str| image(Family::Oci, architecture, &[layer(&[("base", b"base")])]);
    let registry = FakeRegistry::start().await;
    for architecture in ["amd64", "arm64"] {
        held(architecture).publish(&registry, architecture, Some("1"));
        for version in ["1", "2"] {
            let to = format!("oci:made:{architecture}-{version}");
            let directory = format!("{architecture}{version}");
            let base = registry.repository(&format!("{architecture}:1"));
            let platform = format!("linux/{architecture}");
            let args = [
                "append",
                "--platform",
                &platform,
                &format!("docker://{base}"),
                &directory,
                "-t",
                &to,
            ];
            cli.run(&args).await.expect(0, "");
        }
    }
    for version in ["1", "2"] {
        let of = |architecture: &str| format!("oci:made:{architecture}-{version}");
        let name = format!("app:{version}");
        cli.run(&["index", "create", &name, &of("amd64"), &of("arm64")]).await.expect(0, "");
    }
    cli.run(&["save", "app:1", "-o", "first.tar"]).await.expect(0, "");
    let save = ["save", "app:2", "--since", "app:1", "--delta", "-o", "update.tar"];
    cli.run(&save).await.expect(0, "deltas: ");
    let there = ["--store", "there"];
    cli.run(&[&there[..], &["load", "first.tar"]].concat()).await.expect(0, "");
    let report = cli.report(&[&there[..], &["load", "--json", "update.tar"]].concat()).await;
    let rebuilt = report["blobs"].as_array().unwrap().iter();
    assert_eq!(rebuilt.filter(|blob| blob["outcome"] == "rebuilt").count(), 2, "{report}");
    assert_eq!(cli.json(&[&there[..], &["verify", "--json"]].concat()).await["bad"], json!([]));
}

#[tokio::test]
async fn small_layer_in_delta_archive_is_rebuilt() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let names = [1, 2].map(|version: u8| {
        let mut bytes = random_blob(30_000, 4);
        bytes[20_000] = version;
        let image = image(Family::Docker, "amd64", &[layer(&[("small", &bytes)])]);
        let tag = version.to_string();
        image.publish(&registry, "small", Some(&tag));
        registry.repository(&format!("small:{tag}"))
    });
    cli.run(&["pull", &names[0]]).await.expect(0, "");
    cli.run(&["delta", &names[0], &names[1], "-o", "update.tar"]).await.expect(0, "");
    let report = cli.report(&["load", "--json", "update.tar"]).await;
    assert_eq!(report["blobs"][1]["outcome"], json!("rebuilt"), "{report}");
    cli.run(&["verify"]).await.expect(0, "");
}

/// Loads an archive that has a delta, after a change of the archive or the store. The archive has nothing else to make the layer of.
async fn load_damaged(damage: impl FnOnce(&Versions, &std::path::Path)) -> (Versions, Output) {
    let versions = Versions::new().await;
    let cli = &versions.cli;
    let names = [1, 2].map(|number| versions.name(number));
    let made = cli.run(&["delta", &names[0], &names[1], "-o", "update.tar"]).await;
    made.expect(0, &format!("deltas of {}: saving", names[1]));
    damage(&versions, &cli.dir().join("update.tar"));
    let loaded = cli.run(&["load", "update.tar"]).await;
    assert!(!loaded.stderr.contains("transferring the layer"), "{}", loaded.stderr);
    (versions, loaded)
}

/// The same after a change of the byte of the archive whose place is returned.
async fn load_with_changed_byte(place: impl FnOnce(&[u8]) -> usize) -> (Versions, Output) {
    let change = |_: &Versions, archive: &std::path::Path| {
        let mut bytes = std::fs::read(archive).unwrap();
        let at = place(&bytes);
        bytes[at] ^= 1;
        std::fs::write(archive, bytes).unwrap();
    };
    load_damaged(change).await
}

/// Damage was reported as a missing layer, with exit code 3.
#[tokio::test]
async fn damaged_delta_in_archive_is_named() {
    let (versions, loaded) = load_with_changed_byte(|bytes| {
        let zstd = bytes.windows(4).rposition(|bytes| bytes == [0x28, 0xb5, 0x2f, 0xfd]);
        zstd.unwrap() + 20
    })
    .await;
    let layer = versions.new.layers[1].digest();
    loaded.expect(5, &format!("error: delta for {layer}: content sha256:"));
    loaded.expect(5, "update.tar: digest mismatch");
    assert_digests_are_right(&versions.cli.store());
}

#[tokio::test]
async fn damaged_manifest_of_deltas_in_archive_is_named() {
    let (versions, loaded) = load_with_changed_byte(|bytes| {
        let subject = br#""subject":"#;
        bytes.windows(subject.len()).position(|window| window == subject).unwrap() + 1
    })
    .await;
    let layer = versions.new.layers[1].digest();
    loaded.expect(5, &format!("delta for {layer}: "));
    loaded.expect(5, "digest mismatch");
    // It said "from 0 B".
    loaded.expect(5, "; 1 to rebuild\n");
    let plan = versions.cli.run(&["load", "--plan", "update.tar"]).await;
    assert!(plan.stdout.contains("rebuild ") && !plan.stdout.contains(" from "), "{}", plan.stdout);
}

#[tokio::test]
async fn damaged_old_layer_of_delta_in_archive_is_named() {
    let (versions, loaded) = load_damaged(|versions, _| {
        let mut bytes = std::fs::read(versions.old_layer_path()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(versions.old_layer_path(), bytes).unwrap();
    })
    .await;
    let (new, old) = (versions.new.layers[1].digest(), versions.old.layers[1].digest());
    loaded.expect(loaded.code().unwrap(), &format!("error: delta for {new}: old layer {old}: "));
    assert!([5, 7].contains(&loaded.code().unwrap()), "{}", loaded.stderr);
}
