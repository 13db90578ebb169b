//! Image layouts of build systems and other tools: with symlinks, or with content that is no image.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer};
use crate::support::tars::{layout, tar};

/// Creates an image in the layout `real`.
async fn real(cli: &Cli) -> Image {
    let held = image(Family::Oci, "amd64", &[layer(&[("a", b"1")]), layer(&[("b", b"2")])]);
    std::fs::write(cli.dir().join("real.tar"), tar(&layout(&held, Some("v1")))).unwrap();
    cli.run(&["copy", "oci-archive:real.tar", "oci:real:v1"]).await.expect(0, "");
    held
}

/// Creates a layout with the same index whose blobs are symlinks to those of `real`.
fn links(dir: &Path, name: &str) {
    let (from, to) = (dir.join("real"), dir.join(name));
    std::fs::create_dir_all(to.join("blobs/sha256")).unwrap();
    for file in ["index.json", "oci-layout"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    for blob in std::fs::read_dir(from.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        symlink(&blob, to.join("blobs/sha256").join(blob.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn layout_symlinked_blobs_are_read_and_verified() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let held = real(&cli).await;
    links(cli.dir(), "linked");
    let there = registry.repository("app") + ":1";
    cli.run(&["push", "oci:linked", &there]).await.expect(0, "");
    cli.run(&["copy", "oci:linked", "oci:out:v1"]).await.expect(0, "");
    cli.run(&["unpack", "oci:linked", "root"]).await.expect(0, "");
    cli.run(&["save", "oci:linked", "-o", "out.tar"]).await.expect(0, "");
    for place in ["oci:linked", "oci:out", "oci-archive:out.tar", &format!("docker://{there}")] {
        let digest = cli.run(&["digest", place]).await.stdout;
        assert_eq!(digest.trim(), held.manifest.digest().as_str(), "{place}");
    }
    let layer = held.layers[0].digest();
    let path = cli.dir().join("linked/blobs/sha256").join(layer.encoded());
    for (target, code, why) in [
        ("/etc/passwd", 5, "digest mismatch: got"),
        ("nowhere", 3, "is a dangling symbolic link"),
        ("/dev/zero", 7, "is not a regular file"),
        (layer.encoded(), 7, "Too many levels of symbolic links"),
    ] {
        std::fs::remove_file(&path).unwrap();
        symlink(target, &path).unwrap();
        cli.run(&["blob", &format!("oci:linked@{layer}")]).await.expect(code, why);
    }
}

#[tokio::test]
async fn layout_symlink_is_never_written_through() {
    let cli = Cli::new();
    real(&cli).await;
    links(cli.dir(), "linked");
    let read = |name: &str| std::fs::read(cli.dir().join(name)).unwrap();
    let before = read("real/index.json");
    let linked = cli.dir().join("linked");
    std::fs::rename(linked.join("index.json"), linked.join("i.json")).unwrap();
    symlink("i.json", linked.join("index.json")).unwrap();
    cli.run(&["copy", "oci:real:v1", "oci:linked:v2"]).await.expect(7, "is not a regular file");
    let other = image(Family::Oci, "amd64", &[layer(&[("c", b"3")])]);
    std::fs::write(cli.dir().join("other.tar"), tar(&layout(&other, Some("v3")))).unwrap();
    cli.run(&["copy", "oci-archive:other.tar", "oci:linked:v3"]).await.expect(0, "");
    assert!(!linked.join("index.json").is_symlink());
    assert_eq!(read("linked/i.json"), before);
    assert_eq!(read("real/index.json"), before);
    cli.run(&["digest", "oci:linked:v1"]).await.expect(0, "");
}

#[tokio::test]
async fn layout_index_symlink_out_of_layout_is_refused() {
    let cli = Cli::new();
    let held = real(&cli).await;
    let real = cli.dir().join("real");
    std::fs::create_dir(real.join("meta")).unwrap();
    for file in ["index.json", "oci-layout"] {
        std::fs::rename(real.join(file), real.join("meta").join(file)).unwrap();
    }
    // Relative and absolute symlinks inside the layout, also if the layout itself is a symlink.
    symlink("meta/index.json", real.join("index.json")).unwrap();
    symlink(real.canonicalize().unwrap().join("meta/oci-layout"), real.join("oci-layout")).unwrap();
    symlink("real", cli.dir().join("alias")).unwrap();
    for place in ["oci:real", "oci:alias:v1"] {
        let digest = cli.run(&["digest", place]).await;
        assert_eq!(digest.expect(0, "").stdout.trim(), held.manifest.digest().as_str());
    }
    for file in ["index.json", "oci-layout"] {
        std::fs::rename(real.join("meta").join(file), cli.dir().join(file)).unwrap();
        std::fs::remove_file(real.join(file)).unwrap();
        symlink(format!("../{file}"), real.join(file)).unwrap();
        let refused = cli.run(&["digest", "oci:real"]).await;
        refused.expect(7, "is a symbolic link that points outside the layout");
        refused.expect(7, "hint: copy the layout with `cp -rL`");
    }
}

#[tokio::test]
async fn layout_entry_of_other_media_type_is_ignored() {
    let cli = Cli::new();
    let held = real(&cli).await;
    let xml = b"<x/>";
    let digest = rpull::digest::Digest::sha256(xml);
    std::fs::write(cli.dir().join("real/blobs/sha256").join(digest.encoded()), xml).unwrap();
    let path = cli.dir().join("real/index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for annotations in [json!({}), json!({"org.opencontainers.image.ref.name": "v1"})] {
        let entry = json!({
            "mediaType": "application/xml", "digest": digest, "size": 4, "annotations": annotations,
        });
        index["manifests"].as_array_mut().unwrap().insert(0, entry);
    }
    std::fs::write(&path, index.to_string()).unwrap();
    let pack = std::process::Command::new("tar")
        .args(["-C", "real", "-cf", "xml.tar", "."])
        .current_dir(cli.dir())
        .status();
    assert!(pack.unwrap().success());
    for place in ["oci:real", "oci:real:v1", "oci-archive:xml.tar", "oci-archive:xml.tar:v1"] {
        let digest = cli.run(&["digest", place]).await;
        assert_eq!(digest.expect(0, "").stdout.trim(), held.manifest.digest().as_str(), "{place}");
    }
    let loaded = cli.run(&["load", "xml.tar"]).await;
    assert_eq!(loaded.expect(0, "").stdout.lines().count(), 1, "{}", loaded.stdout);
}

#[tokio::test]
async fn location_of_other_kind_hints_at_right_prefix() {
    let cli = Cli::new();
    real(&cli).await;
    for (args, code, why) in [
        (["digest", "oci:real.tar"], 7, "hint: use `oci-archive:FILE` for a tar"),
        (["digest", "oci-archive:real"], 7, "use `oci:PATH` for an image layout"),
        (["digest", "docker-archive:real"], 7, "use `oci:PATH` for an image layout"),
        (["load", "real"], 7, "run `rpull copy oci:real store:NAME`"),
    ] {
        cli.run(&args).await.expect(code, why);
    }
    cli.run(&["copy", "oci-archive:real.tar", "oci:real.tar"]).await.expect(7, "oci-archive:FILE");
}
