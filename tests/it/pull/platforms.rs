//! Selection of platforms: a requested platform is exact in copies; a fallback of pulls is reported.

use rpull::digest::Digest;
use rpull::media::MediaType;
use rpull::platform::Platform;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, index, layer};

const NOTICE: &str = "warning: ";

fn only(architecture: &str) -> Image {
    image(Family::Oci, architecture, &[layer(&[("a", architecture.as_bytes())])])
}

#[tokio::test]
async fn copy_platform_option_rejects_other_architecture() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    index(Family::Oci, &[("arm", only("arm"))]).publish(&from, "many", "1");
    only("arm").publish(&from, "one", Some("1"));
    let wanted = ["--platform", "linux/arm64"];
    for (name, there) in [("many", "available: linux/arm"), ("one", "available: linux/arm")] {
        let source = from.repository(name) + ":1";
        for target in [to.repository("x") + ":1", "oci:l:x".into(), "oci-archive:a.tar:x".into()] {
            cli.run(&[&["copy", &source, &target], &wanted[..]].concat()).await.expect(3, there);
        }
        // Nor is it accepted as one of several.
        let two = ["--platform", "linux/arm", "--platform", "linux/arm64"];
        cli.run(&[&["copy", &source, "oci:l:x"], &two[..]].concat()).await.expect(3, "");
        assert_eq!(to.tagged("x", "1"), None);
        // Variants of an architecture are accepted.
        let v7 = ["--platform", "linux/arm/v7"];
        let copied = cli.run(&[&["copy", &source, "oci:l:x"], &v7[..]].concat()).await;
        assert!(!copied.expect(0, "").stderr.contains(NOTICE), "{}", copied.stderr);
    }
}

#[tokio::test]
async fn pull_platform_fallback_to_other_architecture_warns() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    index(Family::Oci, &[("arm", only("arm"))]).publish(&registry, "many", "1");
    only("arm").publish(&registry, "one", Some("1"));
    let wanted = ["--platform", "linux/arm64"];
    for name in ["many", "one"] {
        let source = registry.repository(name) + ":1";
        let notice = format!("{NOTICE}{source}: no image for linux/arm64; using linux/arm");
        for words in
            [&["pull"][..], &["unpack", "--no-store"], &["history"], &["inspect"], &["config"]]
        {
            let root = if words[0] == "unpack" { vec!["root"] } else { vec![] };
            let words = [words, &wanted, &[&source], &root].concat();
            let output = cli.run(&words).await;
            output.expect(0, &notice);
            assert_eq!(output.stderr.matches(NOTICE).count(), 1, "{words:?}: {}", output.stderr);
            drop(std::fs::remove_dir_all(cli.dir().join("root")));
        }
        let environment = Cli::new().env("DOCKER_DEFAULT_PLATFORM", "linux/arm64");
        environment.run(&["pull", &source]).await.expect(0, &notice);
    }
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn host_platform_fallback_warns() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    index(Family::Oci, &[("386", only("386"))]).publish(&registry, "many", "1");
    only("386").publish(&registry, "one", Some("1"));
    for (name, told) in [
        ("many", "no image for linux/amd64; using linux/386"),
        ("one", "is a single-platform image for linux/386, not linux/amd64"),
    ] {
        let source = registry.repository(name) + ":1";
        for words in [&["pull", &source][..], &["copy", &source, "docker-archive:d.tar"]] {
            let output = cli.run(words).await;
            output.expect(0, told);
            assert_eq!(output.stderr.matches(NOTICE).count(), 1, "{words:?}: {}", output.stderr);
        }
    }
}

#[tokio::test]
async fn copy_one_platform_prints_digest_of_target_name() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let both = index(Family::Oci, &[("amd64", only("amd64")), ("arm64", only("arm64"))]);
    both.publish(&from, "app", "1");
    let (source, child) = (from.repository("app") + ":1", both.images[1].manifest.digest());
    let wanted = ["--platform", "linux/arm64"];
    let names = [
        to.repository("app") + ":1",
        "oci:l:x".into(),
        "oci-archive:a.tar:x".into(),
        "store:x".into(),
    ];
    for target in &names {
        let report = cli.json(&[&["copy", "--json", &source, target], &wanted[..]].concat()).await;
        assert_eq!(
            (&report["digest"], &report["manifest"]),
            (&json!(child), &json!(child)),
            "{target}"
        );
        let printed = cli.run(&[&["copy", &source, target], &wanted[..]].concat()).await;
        let line = printed.expect(0, "").stdout.trim_end().to_owned();
        assert!(line.ends_with(&format!("@{child}")), "{target}: {line}");
        let found = cli.run(&["digest", target]).await;
        assert_eq!(found.expect(0, "").stdout.trim_end(), child.as_str(), "{target}");
    }
    let listed = std::fs::read_to_string(cli.dir().join("l/index.json")).unwrap();
    assert!(listed.contains(child.as_str()) && !listed.contains(both.document.digest().as_str()));
}

#[tokio::test]
async fn copy_index_with_missing_manifest_hints_at_platform() {
    let (from, to, cli) = (FakeRegistry::start().await, FakeRegistry::start().await, Cli::new());
    let both = index(Family::Oci, &[("amd64", only("amd64")), ("arm64", only("arm64"))]);
    // One index lacks one manifest, as after a cleanup; the other lacks all.
    both.images[0].publish(&from, "some", None);
    both.attestations.iter().for_each(|one| one.publish(&from, "some", None));
    both.document.publish(&from, "some", Some("1"));
    both.document.publish(&from, "none", Some("1"));
    let target = to.repository("x") + ":1";
    let some = cli.run(&["copy", &(from.repository("some") + ":1"), &target]).await;
    some.expect(3, "manifests listed by its index are missing: linux/arm64");
    some.expect(3, "hint: select an available platform");
    assert!(!some.stderr.contains("--all-platforms"), "{}", some.stderr);
    let none = cli.run(&["copy", &(from.repository("none") + ":1"), &target]).await;
    assert!(!none.expect(3, "linux/amd64, linux/arm64").stderr.contains("hint"), "{}", none.stderr);
    // Missing manifests in the store can be pulled.
    from.document(
        "some",
        Some("2"),
        "application/vnd.oci.image.index.v1+json",
        both.document.bytes.clone(),
    );
    let name = from.repository("some") + ":2";
    cli.run(&["pull", "--platform", "linux/amd64", "--platform", "linux/amd64", &name])
        .await
        .expect(0, "");
    cli.run(&["push", &name, &target])
        .await
        .expect(3, "pull the others with `--all-platforms` first");
}

#[tokio::test]
async fn image_of_other_platform_is_named_once_unless_requested() {
    let registry = FakeRegistry::start().await;
    let one = |architecture| image(Family::Oci, architecture, &[layer(&[("a", b"a")])]);
    let host = Platform::host().architecture;
    let other = ["arm64", "s390x"].into_iter().find(|other| *other != host).unwrap();
    let images = [(&*host, one(&host)), (other, one(other))];
    index(Family::Oci, &images).publish(&registry, "app", "1");
    one(&host).publish(&registry, "app", Some("2"));
    let [name, fits] = ["app:1", "app:2"].map(|name| registry.repository(name));
    let cli = Cli::new();
    let platform = format!("linux/{other}");
    cli.run(&["pull", "--platform", &platform, &name]).await.expect(0, "");
    cli.run(&["pull", &fits]).await.expect(0, "");
    drop(registry);
    let warning = format!("warning: {name}: is for {platform}, which this host (linux/{host}");
    for (verb, rest) in [
        (&["history"][..], &[][..]),
        (&["layers"], &[]),
        (&["files"], &[]),
        (&["cat"], &["/a"]),
        (&["analyze"], &[]),
        (&["unpack"], &["root"]),
        (&["unpack", "--overlay"], &["layers"]),
        (&["diff"], &[&name]),
        (&["diff", "--files"], &[&name]),
    ] {
        let output = cli.run(&[verb, &[&name], rest].concat()).await;
        output.expect(0, &warning);
        let images = if verb[0] == "diff" { 2 } else { 1 };
        assert_eq!(output.stderr.matches("is for linux/").count(), images, "{}", output.stderr);
        if verb[0] != "unpack" {
            let options = ["--platform", &platform];
            let output = cli.run(&[verb, &options, &[&name], rest].concat()).await;
            assert!(!output.expect(0, "").stderr.contains("is for linux/"), "{}", output.stderr);
        }
    }
    assert_eq!(cli.run(&["history", &fits]).await.expect(0, "").stderr, "");
}

#[tokio::test]
async fn index_with_manifests_beyond_byte_limit_is_refused_before_they_are_fetched() {
    let (from, cli) = (FakeRegistry::start().await, Cli::new());
    let images = ["amd64", "arm64"].map(only);
    for image in &images {
        image.publish(&from, "many", None);
    }
    let entry = |image: &Image, architecture: &str| {
        let mut entry = json!(image.manifest.descriptor);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let mut entries = vec![entry(&images[0], "amd64"), entry(&images[1], "arm64")];
    // The most that one manifest may have, 17 times: more than 64 MiB.
    let about = images[0].manifest.digest();
    entries.extend((0..17).map(|number| {
        json!({"mediaType": MediaType::OCI_MANIFEST, "digest": Digest::sha256(&[number]), "size": 4 << 20,
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.digest": about, "vnd.docker.reference.type": "attestation-manifest"}})
    }));
    let index =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
    from.document("many", Some("1"), MediaType::OCI_INDEX.as_str(), index.to_string());
    let name = from.repository("many:1");
    let both = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
    for options in [&["--all-platforms"][..], &both] {
        let copy = [&["copy"], options, &[&name, "oci:out"]].concat();
        cli.run(&copy).await.expect(5, "more than 64 MiB in total");
    }
    let requested = |image: &Image| {
        let path = format!("/manifests/{}", image.manifest.digest());
        from.server.lines().iter().filter(|line| line.contains(&path)).count()
    };
    let documents = from.server.lines();
    let documents = documents.iter().filter(|line| line.contains("/manifests/sha256:")).count();
    assert_eq!(documents, images.iter().map(requested).sum::<usize>(), "only the selected ones");
}
