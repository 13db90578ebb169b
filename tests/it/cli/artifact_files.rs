//! `artifact push`, `pull` and `attach`: titles, types, directories, annotations, and titles that lead out.

use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Family, image, layer};
use crate::support::tar_item::{TarItem, tar};

const TITLE: &str = "org.opencontainers.image.title";

const KIND: &str = "application/vnd.example.thing";

fn write_files(cli: &Cli) {
    let docs = cli.dir().join("docs");
    std::fs::create_dir_all(docs.join("deep")).unwrap();
    std::fs::write(docs.join("deep/a.md"), "# a").unwrap();
    std::fs::write(docs.join("b.md"), "# b").unwrap();
    std::fs::write(cli.dir().join("notes.txt"), "some notes").unwrap();
}

#[tokio::test]
async fn artifact_round_trips_through_every_location() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    write_files(&cli);
    let name = registry.repository("notes:1");
    let absolute = format!("{}:text/markdown", cli.dir().join("docs/b.md").display());
    for (at, place) in [name.as_str(), "oci:l:notes", "oci-archive:n.tar:notes", "store:notes:1"]
        .into_iter()
        .enumerate()
    {
        let push = [
            "artifact",
            "push",
            "--json",
            "--artifact-type",
            KIND,
            place,
            "notes.txt:text/plain",
            "docs",
            &absolute,
        ];
        let report = cli.json(&push).await;
        assert_eq!(report["media_type"], MediaType::OCI_MANIFEST.as_str(), "{place}");
        let manifest = cli.json(&["manifest", place]).await;
        assert_eq!(manifest["artifactType"], KIND);
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
        let title = |at: usize| &manifest["layers"][at]["annotations"][TITLE];
        assert_eq!([title(0), title(1), title(2)], ["notes.txt", "docs", "b.md"]);
        let kind = |at: usize| &manifest["layers"][at]["mediaType"];
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!([kind(0), kind(1), kind(2)], ["text/plain", tar, "text/markdown"]);

        let out = format!("out{at}");
        let pulled = cli.json(&["artifact", "pull", "--json", place, "-o", &out]).await;
        assert_eq!(pulled["digest"], report["digest"]);
        assert_eq!(pulled["files"][0]["path"], format!("{out}/notes.txt"));
        let read = |path: &str| std::fs::read_to_string(cli.dir().join(&out).join(path)).unwrap();
        assert_eq!(read("notes.txt"), "some notes");
        assert_eq!((read("docs/deep/a.md"), read("docs/b.md")), ("# a".into(), "# b".into()));
        assert_eq!(read("b.md"), "# b");
        let names = std::fs::read_dir(cli.dir().join(&out)).unwrap().count();
        assert_eq!(names, 3, "nothing temporary is left");
    }
    let mistyped = ["artifact", "push", "--artifact-type", "sbom", &name, "notes.txt"];
    cli.run(&mistyped).await.expect(2, "expected TYPE/SUBTYPE");
}

#[tokio::test]
async fn artifact_annotations_come_from_options_and_file() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    write_files(&cli);
    let annotations =
        json!({"$manifest": {"a": "1"}, "$config": {"d": "4"}, "notes.txt": {"b": "2"}});
    std::fs::write(cli.dir().join("annotations.json"), annotations.to_string()).unwrap();
    let name = registry.repository("notes:1");
    let push = async |file: &str| {
        cli.run(&[
            "artifact",
            "push",
            &name,
            "notes.txt",
            "--annotation",
            "c=3",
            "--annotation-file",
            file,
        ])
        .await
    };
    push("annotations.json").await.expect(0, "");
    let manifest = cli.json(&["manifest", &name]).await;
    assert_eq!(manifest["annotations"], json!({"a": "1", "c": "3"}));
    assert_eq!(manifest["layers"][0]["annotations"], json!({"b": "2", TITLE: "notes.txt"}));
    assert_eq!(manifest["config"]["annotations"], json!({"d": "4"}));
    assert_eq!(manifest["artifactType"], "application/vnd.unknown.artifact.v1");
    let renamed = json!({"notes.txt": {TITLE: "other/n.txt", "b": "2"}});
    std::fs::write(cli.dir().join("annotations.json"), renamed.to_string()).unwrap();
    push("annotations.json").await.expect(0, "");
    let manifest = cli.json(&["manifest", &name]).await;
    assert_eq!(manifest["layers"][0]["annotations"], json!({"b": "2", TITLE: "other/n.txt"}));
    for (text, reason) in [
        (r#"{"other.txt": {"b": "2"}}"#, "no file has the title `other.txt`"),
        (r#"{"notes.txt": 1}"#, "expected titles with annotations"),
        (r#"{"notes.txt": {"org.opencontainers.image.title": "../x"}}"#, "leads out of the dir"),
        ("{", "--annotation-file"),
    ] {
        std::fs::write(cli.dir().join("wrong.json"), text).unwrap();
        push("wrong.json").await.expect(2, reason);
    }
    let args = ["artifact", "push", &name, "notes.txt", "./notes.txt:x/y"];
    cli.run(&args).await.expect(2, "used by two files");
    cli.run(&["artifact", "push", &name, "absent"]).await.expect(3, "absent");
    let untyped = cli.run(&["artifact", "push", &name, "notes.txt:foo"]).await;
    untyped.expect(3, "hint: `foo` is not a type: write TYPE/SUBTYPE");
    let parameters = ["artifact", "push", &name, "notes.txt:text/plain; charset=utf-8"];
    cli.run(&parameters).await.expect(2, "type `text/plain; charset=utf-8`: expected TYPE/SUBTYPE");
    cli.run(&["artifact", "push", "docker-archive:x.tar:a", "notes.txt"])
        .await
        .expect(2, "only images");
}

/// Publishes an artifact of these titles, each with bytes.
fn publish(registry: &FakeRegistry, files: &[(&str, &[u8], &Value)]) {
    let config = Blob::new("application/vnd.oci.empty.v1+json".into(), "{}");
    registry.blob("a", config.bytes.clone());
    let layers: Vec<Value> = files
        .iter()
        .map(|(title, bytes, more)| {
            registry.blob("a", bytes.to_vec());
            let mut annotations = (*more).clone();
            annotations[TITLE] = json!(title);
            let digest = Digest::sha256(bytes);
            json!({"mediaType": "x/y", "digest": digest, "size": bytes.len(), "annotations": annotations})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": KIND,
        "config": config.descriptor, "layers": layers,
    });
    registry.document("a", Some("1"), MediaType::OCI_MANIFEST.as_str(), manifest.to_string());
}

#[tokio::test]
async fn artifact_title_leading_out_is_refused_before_any_write() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let name = registry.repository("a:1");
    let plain = json!({});
    let outside = "leads out of the directory";
    for (title, reason) in [
        ("../out", outside),
        ("/tmp/rpull-out", outside),
        ("a/../../out", outside),
        ("..", outside),
        ("\u{1b}[2J/..", outside),
        ("", "is not the name of a file"),
        (".", "is not the name of a file"),
        ("a\0b", "has a NUL character"),
        ("..\\b", "has a backslash"),
    ] {
        publish(&registry, &[("fine", b"fine", &plain), (title, b"x", &plain)]);
        let refused = cli.run(&["artifact", "pull", &name, "-o", "d"]).await;
        refused.expect(7, reason);
        assert_harmless(&refused);
        assert!(!cli.dir().join("d").exists(), "{title:?}");
    }
    publish(&registry, &[("a", b"1", &plain), ("./a", b"2", &plain)]);
    cli.run(&["artifact", "pull", &name, "-o", "d"])
        .await
        .expect(5, "two files have the title `a`");
}

#[tokio::test]
async fn artifact_link_of_an_earlier_file_leads_nowhere() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let name = registry.repository("a:1");
    let unpack = json!({"io.deis.oras.content.unpack": "true"});
    let outside = cli.dir().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let linked = tar(&[TarItem::symlink("d/link", outside.to_str().unwrap())]);
    publish(&registry, &[("d", &linked, &unpack), ("d/link/x", b"x", &json!({}))]);
    let refused = cli.run(&["artifact", "pull", &name, "-o", "out"]).await;
    refused.expect(7, "d/link/x");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);

    std::os::unix::fs::symlink(&outside, cli.dir().join("out/e")).unwrap();
    publish(&registry, &[("e", b"new", &json!({}))]);
    cli.run(&["artifact", "pull", &name, "-o", "out"]).await.expect(0, "");
    assert_eq!(std::fs::read_to_string(cli.dir().join("out/e")).unwrap(), "new", "replaced itself");
    let hostile = tar(&[TarItem::file("../../escaped", "x"), TarItem::file("f", "f")]);
    publish(&registry, &[("h", &hostile, &unpack)]);
    cli.run(&["artifact", "pull", &name, "-o", "out"]).await.expect(0, "");
    assert!(cli.dir().join("out/h/escaped").exists() && !cli.dir().join("escaped").exists());
}

#[tokio::test]
async fn artifact_pull_without_titles_is_refused() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]).publish(&registry, "i", Some("1"));
    let name = registry.repository("i:1");
    cli.run(&["artifact", "pull", &name]).await.expect(1, "none of its blobs has a title");
}

#[tokio::test]
async fn artifact_attached_is_a_referrer_at_every_location() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    write_files(&cli);
    let own = image(Family::Oci, "amd64", &[layer(&[("a", b"a")])]);
    own.publish(&registry, "app", Some("1"));
    let name = registry.repository("app:1");
    let args = [
        "artifact",
        "attach",
        "--json",
        "--artifact-type",
        "application/spdx+json",
        &name,
        "notes.txt:application/json",
    ];
    let report = cli.json(&args).await;
    let manifest = cli
        .json(&[
            "manifest",
            &format!("{}@{}", registry.repository("app"), report["digest"].as_str().unwrap()),
        ])
        .await;
    assert_eq!(manifest["subject"]["digest"], json!(own.manifest.digest()));
    for place in ["oci:l:app", "oci-archive:a.tar:app", "store:app:1"] {
        cli.run(&["copy", "--referrers", &name, place]).await.expect(0, "");
    }
    for place in [name.as_str(), "oci:l:app", "oci-archive:a.tar:app", "store:app:1"] {
        let listed = cli.json(&["referrers", "--json", place]).await;
        assert_eq!(listed["digest"], json!(own.manifest.digest()), "{place}");
        assert_eq!(listed["referrers"][0]["digest"], report["digest"], "{place}: {listed}");
        assert_eq!(listed["referrers"][0]["artifact_type"], "application/spdx+json");
        let none = ["referrers", "--json", "--artifact-type", "x/y", place];
        assert_eq!(cli.json(&none).await["referrers"], json!([]));
        let text = cli.run(&["referrers", place]).await.expect(0, "").stdout.clone();
        assert!(text.contains("└── application/spdx+json"), "{text}");
    }
    cli.run(&["artifact", "attach", &name, "notes.txt"]).await.expect(2, "--artifact-type");
    let in_layout = ["artifact", "attach", "--artifact-type", KIND, "oci:l:app", "notes.txt"];
    cli.run(&in_layout).await.expect(2, "hint: push the image and attach to it there");
}
