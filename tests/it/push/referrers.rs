//! `copy --referrers` and `--digest-tags`: referrers and digest tags are copied with an image.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Blob, Image, referrer_to};
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::samples::published;

const BOTH: [&str; 4] = ["copy", "--json", "--referrers", "--digest-tags"];

fn signature_tag(of: &Blob) -> String {
    format!("{}.sig", of.digest().as_str().replace(':', "-"))
}

/// `a/sbom` on the image, `a/signature` on that, and a signature of cosign's kind on the image.
struct Scene {
    from: FakeRegistry,
    image: Image,
    sbom: Image,
    signature: Image,
    cli: Cli,
}

impl Scene {
    async fn new() -> Self {
        let (from, [image, other], _) = published().await;
        let sbom = referrer_to(&image.manifest, "a/sbom");
        let signature = referrer_to(&sbom.manifest, "a/signature");
        let (scene, tag) = (FakeRegistry::start().await, signature_tag(&image.manifest));
        let cli = Cli::new();
        for (held, name) in [(&sbom, "sbom"), (&signature, "signature")] {
            held.publish(&scene, "app", Some(name));
            let (source, target) =
                (scene.repository(&format!("app:{name}")), from.repository("team/app:part"));
            cli.run(&["copy", &source, &target]).await.expect(0, "");
        }
        other.publish(&from, "team/app", Some(&tag));
        Self { from, image, sbom, signature, cli }
    }

    fn source(&self) -> String {
        self.from.repository("team/app:1")
    }

    async fn copy(&self, source: &str, target: &str) -> Value {
        let report = self.cli.json(&[&BOTH[..], &[source, target]].concat()).await;
        assert_eq!(report["digest"], json!(self.image.manifest.digest()), "{target}");
        assert_eq!((&report["referrers"], &report["digest_tags"]), (&json!(2), &json!(1)));
        report
    }

    async fn assert_tree(&self, image: &str) {
        let tree = self.cli.json(&["referrers", "--json", image]).await;
        let sbom = &tree["referrers"][0];
        assert_eq!(sbom["digest"], json!(self.sbom.manifest.digest()), "{tree}");
        assert_eq!(sbom["referrers"][0]["digest"], json!(self.signature.manifest.digest()));
    }
}

#[tokio::test]
async fn copy_referrers_keeps_tree_at_every_location() {
    let (scene, to) = (Scene::new().await, FakeRegistry::start().await);
    let there = to.repository("mine/app:1");
    let report = scene.copy(&scene.source(), "oci:out").await;
    let blobs = report["blobs"].as_array().unwrap().len();
    assert!(blobs > scene.image.blobs().count() + 2, "their blobs are told");
    scene.copy("oci:out", "oci-archive:app.tar").await;
    scene.copy("oci-archive:app.tar", "store:localhost/app:1").await;
    scene.copy("store:localhost/app:1", "oci:short:v1").await;
    scene.copy("oci:short:v1", &there).await;
    scene.assert_tree(&there).await;
    let tag = signature_tag(&scene.image.manifest);
    let at_source = scene.from.tagged("team/app", &tag);
    assert_eq!(to.tagged("mine/app", &tag), at_source);
    // Everything is present: only the manifests are offered again.
    to.server.forget();
    let again = scene.copy(&scene.source(), &there).await;
    assert_eq!(again["bytes"]["transferred"], 0);
    assert_eq!(to.server.count("PUT"), 2, "{:?}", to.server.lines());
}

#[tokio::test]
async fn copy_referrers_added_later_are_copied() {
    let (scene, to) = (Scene::new().await, FakeRegistry::start().await);
    let there = to.repository("team/app:1");
    scene.cli.run(&["copy", &scene.source(), &there]).await.expect(0, "");
    let options = ["copy", "--json", "--plan", "--referrers"];
    let plan = scene.cli.json(&[&options[..], &[&scene.source(), &there]].concat()).await;
    assert_eq!(plan["referrers"], 2);
    let output = scene.cli.run(&["copy", "--referrers", &scene.source(), &there]).await;
    output.expect(0, "included 2 referrers");
    assert!(!output.stderr.contains("digest tag"));
    scene.assert_tree(&there).await;
}

#[tokio::test]
async fn prune_keeps_referrers_with_their_image() {
    let scene = Scene::new().await;
    scene.copy(&scene.source(), "store:localhost/app:1").await;
    let prune = async || {
        let report = scene.cli.json(&["prune", "--json"]).await;
        report["blobs"].as_u64().unwrap()
    };
    assert_eq!(prune().await, 0);
    let sbom = format!("localhost/app@{}", scene.sbom.manifest.digest());
    scene.cli.run(&["tag", &sbom, "localhost/kept:1"]).await.expect(0, "");
    scene.cli.run(&["rm", "localhost/app:1"]).await.expect(0, "");
    let planned = scene.cli.json(&["prune", "--plan", "--json"]).await;
    assert_eq!(planned["blobs"], prune().await);
    // A referrer with its own name stays, and so do its referrers.
    let left = scene.cli.json(&["images", "--json"]).await;
    let names: Vec<&str> =
        left.as_array().unwrap().iter().map(|image| image["reference"].as_str().unwrap()).collect();
    let signature = format!("localhost/app@{}", scene.signature.manifest.digest());
    let cosign = format!("localhost/app:{}", signature_tag(&scene.image.manifest));
    assert_eq!(names, [cosign.as_str(), signature.as_str(), "localhost/kept:1"]);
    scene.cli.run(&["verify"]).await.expect(0, "");
}

#[tokio::test]
async fn copy_unnamed_referrers_of_layout_are_found() {
    let (scene, to) = (Scene::new().await, FakeRegistry::start().await);
    scene.copy(&scene.source(), "oci:out:v1").await;
    let path = scene.cli.dir().join("out/index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for entry in index["manifests"].as_array_mut().unwrap() {
        let name = entry["annotations"]["org.opencontainers.image.ref.name"].clone();
        if name.as_str().is_some_and(|name| name.contains('@')) {
            entry.as_object_mut().unwrap().remove("annotations");
        }
    }
    std::fs::write(&path, index.to_string()).unwrap();
    let there = to.repository("mine/app:1");
    scene.copy("oci:out", &there).await;
    scene.assert_tree(&there).await;
}

#[tokio::test]
async fn copy_referrers_tag_with_false_entries_warns() {
    let (scene, to) = (Scene::new().await, FakeRegistry::start().await);
    let [_, other] = crate::support::samples::versions();
    let gone = referrer_to(&scene.image.manifest, "a/gone");
    let entry = |image: &Image| serde_json::to_value(&image.manifest.descriptor).unwrap();
    let list =
        json!({"schemaVersion": 2, "manifests": [entry(&scene.sbom), entry(&other), entry(&gone)]});
    let tag = scene.image.manifest.digest().as_str().replace(':', "-");
    let media_type = "application/vnd.oci.image.index.v1+json";
    scene.from.document("team/app", Some(&tag), media_type, list.to_string());
    let there = to.repository("team/app:1");
    let output = scene.cli.run(&["copy", "--referrers", &scene.source(), &there]).await;
    output.expect(0, "but its subject is another manifest").expect(0, "but is missing");
    scene.assert_tree(&there).await;
}

#[tokio::test]
async fn copy_referrers_to_docker_archive_is_usage_error() {
    let scene = Scene::new().await;
    for option in ["--referrers", "--digest-tags"] {
        let args = ["copy", option, &scene.source(), "docker-archive:app.tar"];
        scene.cli.run(&args).await.expect(2, "use an `oci-archive:FILE`");
    }
}

#[tokio::test]
async fn copy_referrers_through_docker_registry_keeps_digests() {
    let test = "copy_referrers_through_docker_registry_keeps_digests";
    if !needs(test, &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (real, cli, held) = (RealImage::get(), Cli::new(), FakeRegistry::start().await);
    let (one, two) = (Live::start(&Access::Open), Live::start(&Access::Open));
    let source = format!("{}/real:multi", one.host());
    real.push("multi", &source, &["--dest-tls-verify=false"]);
    let (index, child) = (&real.multi.document, &real.multi.images[0].manifest);
    let sbom = referrer_to(index, "a/sbom");
    let parts = [
        (referrer_to(index, "a/signature"), "x".to_owned()),
        (referrer_to(child, "a/signature"), "x".to_owned()),
        (referrer_to(&sbom.manifest, "a/signature"), "x".to_owned()),
        (sbom, "x".to_owned()),
        (referrer_to(child, "cosign"), signature_tag(child)),
    ];
    for (part, tag) in &parts {
        part.publish(&held, "app", Some(tag));
        let (from, to) =
            (held.repository(&format!("app:{tag}")), format!("{}/real:{tag}", one.host()));
        cli.run(&["copy", &from, &to]).await.expect(0, "");
    }
    let there = format!("{}/team/real:multi", two.host());
    let other = ["--store", "other"];
    for (from, to, options) in [
        (source.as_str(), "store:localhost/real:1", &[][..]),
        ("store:localhost/real:1", there.as_str(), &[]),
        (there.as_str(), "oci-archive:real.tar", &[]),
        ("oci-archive:real.tar", "store:localhost/real:1", &other),
    ] {
        let report = cli.json(&[&BOTH[..], options, &[from, to]].concat()).await;
        assert_eq!(report["digest"], json!(index.digest()), "{to}");
        // Here the cosign signature is a referrer too.
        assert_eq!((&report["referrers"], &report["digest_tags"]), (&json!(5), &json!(1)), "{to}");
    }
    let tree = cli.json(&["referrers", "--json", &there]).await;
    assert_eq!(tree["referrers"].as_array().unwrap().len(), 2, "{tree}");
    let kept = cli.json(&["images", "--json", "--store", "other"]).await;
    assert_eq!(kept.as_array().unwrap().len(), 1 + 5 + 1, "{kept}");
    cli.run(&["verify", "--store", "other"]).await.expect(0, "");
}
