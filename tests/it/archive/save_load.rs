//! `save` and `load`: what is in the archive, and that it is complete or absent.

use bytes::Bytes;
use rpull::descriptor::Descriptor;
use rustix::process::Signal;
use serde_json::json;

use super::{blobs, filled};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, assemble, image, index, layer, random_blob};
use crate::support::samples::published;

#[tokio::test]
async fn save_two_images_with_one_name_is_rejected() {
    let (_registry, _, name) = published().await;
    let cli = Cli::new();
    let [one, other] = ["1", "2"].map(|tag| format!("{name}:{tag}"));
    cli.run(&["pull", &one, &other]).await.expect(0, "");
    cli.run(&["copy", &format!("store:{other}"), &format!("oci:there:{one}")]).await.expect(0, "");
    let two = cli.run(&["save", &one, &format!("oci:there:{one}"), "-o", "a.tar"]).await;
    two.expect(2, "used by two images in this archive");
    assert!(!cli.dir().join("a.tar").exists());
}

#[tokio::test]
async fn save_inline_empty_blob_to_pipe_is_written_once() {
    let registry = FakeRegistry::start().await;
    let mut empty = Blob {
        descriptor: Descriptor::for_bytes("application/vnd.example.empty".into(), b""),
        bytes: Bytes::new(),
    };
    empty.descriptor.data = Some(String::new());
    let config = image(Family::Oci, "amd64", &[]).config;
    let after = layer(&[("data", b"1")]);
    let after = image(Family::Oci, "amd64", &[after]).layers.remove(0);
    let held = assemble(Family::Oci, config, vec![empty, after]);
    held.publish(&registry, "app", Some("1"));
    let (cli, name) = (Cli::new(), format!("docker://{}:1", registry.repository("app")));
    let save = ["save", &name, "-o", "-"];
    cli.spawn_in_shell("\"$@\" > a.tar", &save).wait().await.expect(0, "");
    cli.run(&["copy", "oci-archive:a.tar", "oci:out"]).await.expect(0, "");
}

#[tokio::test]
async fn copy_through_archives_keeps_digests() {
    let (registry, images, name) = published().await;
    let cli = Cli::new();
    let digest = json!(images[0].manifest.digest());
    cli.run(&["-o", "oci-archive:o.tar", &format!("{name}:1")]).await.expect(0, "");
    cli.run(&["copy", &format!("{name}:1"), "docker-archive:d.tar"]).await.expect(0, "");
    registry.server.forget();
    for verb in ["digest", "manifest", "config", "inspect", "history", "layers"] {
        for place in ["oci-archive:o.tar", "docker-archive:d.tar"] {
            cli.run(&[verb, place]).await.expect(0, "");
        }
    }
    let moved = cli.json(&["copy", "--json", "oci-archive:o.tar", "store:app:1"]).await;
    assert_eq!((&moved["digest"], &moved["platforms"]), (&digest, &json!(["linux/amd64"])));
    assert!(registry.server.requests().is_empty());
    let target = registry.repository("copied");
    let pushed = cli.report(&["push", "--json", "oci-archive:o.tar", &format!("{target}:1")]).await;
    assert_eq!(pushed["digest"], digest);

    cli.run(&["copy", "docker-archive:d.tar", "store:d:1"]).await.expect(0, "");
    cli.run(&["copy", "store:d:1", "docker-archive:again.tar:d:1"]).await.expect(0, "");
    for place in ["docker-archive:d.tar", "store:d:1", "docker-archive:again.tar"] {
        let config = cli.run(&["config", place]).await.stdout;
        assert_eq!(config.as_bytes(), images[0].config.bytes, "{place}");
    }
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
}

#[tokio::test]
async fn save_is_reproducible() {
    let (_registry, cli, _, names) = filled().await;
    let save = ["save", &names[0], &names[1], "-o"];
    cli.run(&[&save[..], &["a.tar"]].concat()).await.expect(0, "");
    cli.run(&[&save[..], &["b.tar", "--jobs", "64"]].concat()).await.expect(0, "");
    let piped = cli.spawn_in_shell("\"$@\" > c.tar", &[&save[..], &["-"]].concat()).wait().await;
    assert_eq!(piped.expect(0, "transferred").stdout, "");
    let read = |name: &str| std::fs::read(cli.dir().join(name)).unwrap();
    assert!(read("a.tar") == read("b.tar") && read("a.tar") == read("c.tar"));
    let dated = Cli::new().env("SOURCE_DATE_EPOCH", "soon");
    dated
        .run(&["save", "a", "-o", "x.tar"])
        .await
        .expect(2, "expected seconds since the Unix epoch");
    let dated = Cli::new().env("SOURCE_DATE_EPOCH", "86400");
    let from = format!("oci-archive:{}:{}", cli.dir().join("a.tar").display(), names[0]);
    for form in ["oci-archive", "docker-archive"] {
        dated.run(&["copy", &from, &format!("{form}:x.tar")]).await.expect(0, "");
        let file = std::fs::File::open(dated.dir().join("x.tar")).unwrap();
        let modified =
            |entry: std::io::Result<tar::Entry<'_, _>>| entry.unwrap().header().mtime().unwrap();
        assert!(tar::Archive::new(file).entries().unwrap().map(modified).all(|time| time == 86400));
    }
    for form in ["oci-archive", "docker-archive"] {
        for file in ["d.tar", "e.tar"] {
            let place = format!("{form}:{file}");
            cli.run(&["copy", &format!("store:{}", names[0]), &place]).await.expect(0, "");
        }
        assert!(read("d.tar") == read("e.tar"), "{form}");
    }
}

#[tokio::test]
async fn save_piped_into_load_keeps_images() {
    let (_registry, cli, images, names) = filled().await;
    let rpull = env!("CARGO_BIN_EXE_rpull");
    let line = format!("set -e; \"$@\" | {rpull} --store other load --json -");
    let output = cli.spawn_in_shell(&line, &["save", &names[0], &names[1], "-o", "-"]).wait().await;
    let loaded: serde_json::Value = serde_json::from_str(&output.expect(0, "").stdout).unwrap();
    for (at, image) in images.iter().enumerate() {
        assert_eq!(loaded[at]["digest"], json!(image.manifest.digest()));
        assert_eq!(loaded[at]["reference"], names[at]);
    }
    let verified = cli.json(&["verify", "--store", "other", "--json"]).await;
    assert_eq!(verified["bad"], json!([]));
    assert_eq!(std::fs::read_dir(cli.dir().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn save_and_load_keep_platforms() {
    let registry = FakeRegistry::start().await;
    let [amd, arm] = ["amd64", "arm64"]
        .map(|name| (name, image(Family::Oci, name, &[layer(&[("a", name.as_bytes())])])));
    let held = index(Family::Oci, &[amd.clone(), arm.clone()]);
    held.publish(&registry, "app", "1");
    let (cli, name) = (
        Cli::new().env("DOCKER_DEFAULT_PLATFORM", "linux/amd64"),
        registry.repository("app") + ":1",
    );
    cli.run(&["pull", "--all-platforms", &name]).await.expect(0, "");
    cli.run(&["save", &name, "-o", "all.tar"]).await.expect(0, "");
    let loaded = cli.report(&["load", "--store", "other", "--json", "all.tar"]).await;
    assert_eq!(loaded["digest"], json!(held.document.digest()));
    assert_eq!(loaded["platforms"], json!(["linux/amd64", "linux/arm64"]));
    cli.run(&["save", "--platform", "linux/arm64", &name, "-o", "arm.tar"]).await.expect(0, "");
    let digest = cli.run(&["digest", "oci-archive:arm.tar"]).await.stdout;
    assert_eq!(digest.trim(), arm.1.manifest.digest().as_str());

    let store = format!("store:{name}");
    cli.run(&["copy", &store, "docker-archive:d.tar"]).await.expect(0, "");
    let config = cli.run(&["config", "docker-archive:d.tar"]).await.stdout;
    assert_eq!(config.as_bytes(), amd.1.config.bytes, "the host's");
    for flags in
        [&["--all-platforms"][..], &["--platform", "linux/arm64", "--platform", "linux/amd64"]]
    {
        let copy = ["copy", &store, "docker-archive:x.tar"];
        cli.run(&[&copy[..], flags].concat()).await.expect(2, "a docker-archive can hold only one");
    }
    assert!(!cli.dir().join("x.tar").exists());
}

#[tokio::test]
async fn save_failed_leaves_no_archive() {
    let (_registry, cli, images, names) = filled().await;
    cli.run(&["save", &names[0], "nobody", "-o", "a.tar"]).await.expect(3, "nobody:latest");
    assert!(!cli.dir().join("a.tar").exists());
    std::fs::write(cli.dir().join("a.tar"), "as it was").unwrap();
    let layer = images[0].layers[1].digest();
    let path = cli.store().join("blobs/sha256").join(layer.encoded());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0; images[0].layers[1].bytes.len()]).unwrap();
    for place in ["-o", "docker"] {
        let args = match place {
            "-o" => vec!["save", &names[0], "-o", "a.tar"],
            _ => vec!["copy", "store:app", "docker-archive:a.tar"],
        };
        cli.run(&["tag", &names[0], "app"]).await.expect(0, "");
        cli.run(&args).await.expect(5, "digest mismatch: got");
    }
    assert_eq!(std::fs::read(cli.dir().join("a.tar")).unwrap(), b"as it was");
    let piped =
        cli.spawn_in_shell("\"$@\" > half.tar", &["save", &names[0], "-o", "-"]).wait().await;
    piped.expect(5, "digest mismatch: got");
    cli.run(&["load", "half.tar"]).await.expect(7, "");
    cli.run(&["save", &names[1], "-o", "/dev/null"]).await.expect(2, "is not a regular file");
    cli.run(&["save", &names[1], "-o", "absent/a.tar"]).await.expect(7, "absent/a.tar");
    cli.run(&["save", "--json", &names[1], "-o", "-"])
        .await
        .expect(2, "cannot write both the archive and JSON");
    let listed = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".rpull");
    assert!(
        !std::fs::read_dir(cli.dir()).unwrap().any(|entry| listed(&entry.unwrap().file_name()))
    );
}

#[tokio::test]
async fn save_to_closed_pipe_ends_quietly() {
    let registry = FakeRegistry::start().await;
    let held = image(Family::Oci, "amd64", &[layer(&[("a", &random_blob(2_000_000, 1))])]);
    held.publish(&registry, "a", Some("1"));
    let (cli, name) = (Cli::new(), registry.repository("a") + ":1");
    cli.run(&[&name]).await.expect(0, "");
    let save = ["-q", "save", &name, "-o", "-"];
    let output = cli.spawn_in_shell("\"$@\" | head -c 10 > out", &save).wait().await;
    assert_eq!((output.code(), output.stderr.as_str()), (Some(0), ""));

    // A signal ends a writer whose output is not read.
    let running = cli.spawn(&["save", &name, "-o", "-"]);
    running.wait_for_output().await;
    running.signal(Signal::INT);
    running.wait_unread().await;
}

#[tokio::test]
async fn save_two_names_of_one_image_stores_it_once() {
    let (_registry, cli, images, names) = filled().await;
    cli.run(&["tag", &names[0], "alpine:3.14"]).await.expect(0, "");
    cli.run(&["save", &names[0], "alpine:3.14", "-o", "a.tar"]).await.expect(0, "");
    assert_eq!(blobs(&cli.dir().join("a.tar")).len(), images[0].blobs().count() + 1);
    let text =
        cli.spawn_in_shell("tar xOf a.tar manifest.json", &["--version"]).wait().await.stdout;
    let items: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(items.as_array().unwrap().len(), 1);
    assert_eq!(items[0]["RepoTags"], json!([names[0], "alpine:3.14"]));
    cli.run(&["digest", "oci-archive:a.tar:alpine:3.14"]).await.expect(0, "");
    cli.run(&["digest", "oci-archive:a.tar"]).await.expect(2, "contains several images: ");
}
