//! `load` of archives of other tools, with duplicate names or with part of an index.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::images::{Blob, Family, Image, Index, image, index, layer};
use crate::support::samples::published;
use crate::support::tars::{Entry, classic, file, layout, manifest, tar};

#[tokio::test]
async fn load_archives_of_other_tools_uses_full_names() {
    let (_registry, images, _) = published().await;
    let (cli, held) = (Cli::new(), &images[0]);
    let write =
        |name: &str, entries: &[Entry]| std::fs::write(cli.dir().join(name), tar(entries)).unwrap();
    write("docker.tar", &classic(held, &["alpine", "ghcr.io/org/app:2"]));
    let loaded = cli.run(&["load", "docker.tar"]).await;
    let names: Vec<&str> =
        loaded.expect(0, "").stdout.lines().map(|line| line.split('@').next().unwrap()).collect();
    assert_eq!(names, ["docker.io/library/alpine:latest", "ghcr.io/org/app:2"]);
    write("named.tar", &layout(held, Some("team/app:1")));
    cli.run(&["load", "named.tar"]).await.expect(0, "docker.io/team/app:1");
    cli.run(&["copy", "oci-archive:named.tar:team/app:1", "oci:out"]).await.expect(0, "");
    // As containerd exports: the full name, and the tag alone.
    let mut tagged = layout(held, Some("1.0"));
    let Some(Entry::File(_, index)) = tagged.iter_mut().rev().nth(1) else { panic!("index.json") };
    let both = r#"{"io.containerd.image.name":"ghcr.io/org/app:1.0",""#;
    *index = String::from_utf8(index.clone())
        .unwrap()
        .replacen(r#"{"org"#, &format!("{both}org"), 1)
        .into();
    write("tagged.tar", &tagged);
    let loaded = cli.run(&["load", "tagged.tar"]).await;
    assert_eq!(loaded.expect(0, "").stdout.lines().count(), 1);
    assert!(loaded.stdout.starts_with("ghcr.io/org/app:1.0@"), "{}", loaded.stdout);
    cli.run(&["digest", "oci-archive:tagged.tar:1.0"]).await.expect(0, "");
    write("unnamed.tar", &layout(held, None));
    cli.run(&["load", "unnamed.tar"]).await.expect(0, "");
    cli.run(&["copy", "oci-archive:unnamed.tar", "store:given:1"]).await.expect(0, "");
    write("odd.tar", &layout(held, Some("No Name")));
    cli.run(&["load", "odd.tar"]).await.expect(0, "skipping the invalid name `No Name`");

    cli.run(&["inspect", "oci-archive:docker.tar"])
        .await
        .expect(7, "hint: if `docker save` wrote it");
    cli.run(&["load", "absent.tar"]).await.expect(3, "absent.tar: does not exist");
    cli.run(&["load", "-"]).await.expect(7, "standard input: is empty");
    cli.run(&["load", "."]).await.expect(7, "is a directory");
    write("none.tar", &[file("a", "b")]);
    cli.run(&["load", "none.tar"]).await.expect(7, "has no manifest.json");
    let mut wrong = classic(held, &["app:1"]);
    let Entry::File(_, bytes) = &mut wrong[1] else { panic!("a layer") };
    bytes[600] ^= 1;
    write("wrong.tar", &wrong);
    cli.run(&["--store", "empty", "load", "wrong.tar"]).await.expect(5, "digest mismatch: got");
}

#[tokio::test]
async fn load_and_save_without_file_use_stdin_and_stdout() {
    let images = [image(Family::Oci, "amd64", &[layer(&[("a", b"a")])])];
    let cli = Cli::new();
    std::fs::write(cli.dir().join("a.tar"), tar(&classic(&images[0], &["app:1"]))).unwrap();
    cli.run(&["load", "-i", "a.tar"]).await.expect(0, "docker.io/library/app:1: loading");
    let shell = async |line: &str, args: &[&str]| cli.spawn_in_shell(line, args).wait().await;
    shell("\"$@\" > b.tar", &["save", "app:1"]).await.expect(0, "");
    cli.run(&["rm", "-f", "app:1"]).await.expect(0, "");
    shell("\"$@\" < b.tar", &["load"]).await.expect(0, "docker.io/library/app:1: loading");
    cli.run(&["load", "-i", "a.tar", "b.tar"]).await.expect(2, "cannot be used with");
}

#[tokio::test]
async fn load_duplicate_name_keeps_last_image() {
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
    loaded.expect(0, "warning: twice.tar: several images are named app; using the last one");
    let name = format!("docker.io/library/app:latest@{}\n", images[1].manifest.digest());
    assert_eq!(loaded.stdout, name);
    // One that is selected by name is not guessed.
    let unpacked = cli.dir().join("twice");
    let archive = std::fs::File::open(cli.dir().join("twice.tar")).unwrap();
    tar::Archive::new(archive).unpack(&unpacked).unwrap();
    for place in ["oci-archive:twice.tar", "oci:twice"] {
        for name in [place.to_owned(), format!("{place}:app")] {
            let refused = cli.run(&["digest", &name]).await;
            refused.expect(2, "ambiguous: 2 images for linux/amd64 have this name");
            for image in &images {
                let choice = format!("{place}@{}", image.manifest.digest());
                refused.expect(2, &choice);
                let digest = cli.run(&["digest", &choice]).await.stdout;
                assert_eq!(digest.trim(), image.manifest.digest().as_str());
            }
        }
    }
    let newer = format!("oci:twice@{}", images[1].manifest.digest());
    cli.run(&["copy", &newer, "oci:twice:app"]).await.expect(0, "");
    let digest = cli.run(&["digest", "oci:twice:app"]).await;
    assert_eq!(digest.expect(0, "").stdout.trim(), images[1].manifest.digest().as_str());

    let mut moved = classic(&images[0], &["app", "app:1"]);
    let Some(Entry::File(_, items)) = moved.pop() else { panic!("manifest.json") };
    let items: Value = serde_json::from_slice(&items).unwrap();
    let mut again = items[0].clone();
    again["RepoTags"] = json!(["app", "app"]);
    moved.push(manifest(&json!([items[0], again])));
    std::fs::write(cli.dir().join("moved.tar"), tar(&moved)).unwrap();
    let loaded = cli.run(&["load", "moved.tar"]).await;
    assert_eq!(loaded.expect(0, "").stderr.matches("several images are named").count(), 1);
    assert_eq!(loaded.stdout.lines().count(), 2, "{}", loaded.stdout);
}

/// A layout of the index with these children, as docker saves what it pulled of an image.
fn partial(held: &Index, children: &[&Image]) -> Vec<Entry> {
    let blob = |piece: &Blob| {
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
async fn load_partial_index_keeps_present_platforms() {
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
    let missing = "linux/amd64, linux/s390x, 2 attestations; using linux/arm64";
    loaded.expect(0, missing);
    let report = loaded.report();
    assert_eq!(report["platforms"], json!(["linux/arm64"]));
    assert_eq!(report["digest"], json!(held.document.digest()));
    assert_eq!(report["manifest"], json!(arm.manifest.digest()));
    cli.run(&["copy", "store:team/app:1", "oci:one"]).await.expect(0, "");
    // `--all-platforms` fails, and the error lists the present platforms.
    let all = cli.run(&["load", "--all-platforms", "one.tar"]).await;
    all.expect(
        3,
        "manifests listed by its index are missing: linux/amd64, linux/s390x, 2 attestations",
    );
    all.expect(3, "hint: select an available platform");
    // Platforms that were loaded before count as present.
    write("two.tar", &[&amd]);
    let loaded = cli.report(&["load", "--json", "two.tar"]).await;
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
