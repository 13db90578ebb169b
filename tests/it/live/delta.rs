//! Deltas at Debian's docker-registry and at `rpull serve`, of layers that skopeo compressed.

use std::process::Command;

use serde_json::json;

use crate::support::assertions::assert_digests_are_right;
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, image, layer, random_blob, uncompressed};
use crate::support::live::{Access, Live, needs};
use crate::support::peers::unpack_with_podman;
use crate::support::tree::nodes;

const NEEDED: &[&str] = &["docker-registry", "skopeo", "podman"];

/// Numbers as text, from which a version differs in one place.
fn text(version: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text: Vec<u8> =
        (0..800_000).flat_map(|_| random.u32(..).to_string().into_bytes()).collect();
    text.splice(2_000_000..2_000_010, format!("version {version}").into_bytes());
    text
}

fn skopeo(args: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Pushes both versions to the registry; skopeo compresses them.
async fn publish(cli: &Cli, registry: &str) {
    let from = FakeRegistry::start().await;
    for version in [1, 2] {
        let files = [("large", &text(version)[..]), ("small", &random_blob(50_000, 3))];
        let plain = uncompressed(&image(Family::Oci, "amd64", &[layer(&files)]));
        plain.publish(&from, "app", Some(&version.to_string()));
        let (source, layout) =
            (from.repository(&format!("app:{version}")), format!("oci:plain:{version}"));
        cli.run(&["copy", &source, &layout]).await.expect(0, "");
        let layout = format!("oci:{}:{version}", cli.dir().join("plain").display());
        let target = format!("docker://{registry}/app:{version}");
        skopeo(&["copy", "--dest-tls-verify=false", "--format=oci", &layout, &target]);
    }
}

#[tokio::test]
async fn delta_of_skopeo_layer_at_docker_registry_is_rebuilt() {
    if !needs("delta_of_skopeo_layer_at_docker_registry_is_rebuilt", NEEDED) {
        return;
    }
    let (registry, cli) = (Live::start(&Access::Open), Cli::new());
    publish(&cli, registry.host()).await;
    let [old, new] = [1, 2].map(|version| format!("{}/app:{version}", registry.host()));
    let made = cli.json(&["delta", "--json", &old, &new, "--push"]).await;
    let layer = &made["layers"][0];
    assert_eq!(layer["encoder"], json!({"family": "b", "level": 5, "piece": 1 << 20}), "{made}");
    let delta = layer["delta_bytes"].as_u64().unwrap();
    assert!(delta < layer["size"].as_u64().unwrap() / 50, "{made}");

    cli.run(&["pull", &old]).await.expect(0, "");
    let report = cli.report(&["pull", "--json", "--limit-rate", "1M", &new]).await;
    assert_eq!(report["bytes"]["rebuilt"], layer["size"], "{report}");
    assert_eq!(report["bytes"]["delta_bytes"], json!(delta));
    assert_digests_are_right(&cli.store());
    cli.run(&["verify"]).await.expect(0, "");

    // The image beside its deltas is what it was, and so is what was rebuilt.
    let raw =
        ["inspect", "--raw", "--tls-verify=false", &format!("docker://{new}")].map(str::to_owned);
    let raw = skopeo(&raw.each_ref().map(String::as_str));
    assert_eq!(rpull::Digest::sha256(&raw).as_str(), report["digest"]);
    let target = format!("oci:{}:app", cli.dir().join("rebuilt").display());
    cli.run(&["copy", &format!("store:{new}"), "oci:rebuilt:app"]).await.expect(0, "");
    let inspected = skopeo(&["inspect", "--raw", &target]);
    assert_eq!(inspected, raw);
    let tree = unpack_with_podman(&cli.dir().join("rebuilt"), "app");
    cli.run(&["unpack", &new, "root"]).await.expect(0, "");
    assert_eq!(tree.len(), nodes(&cli.dir().join("root"), &[]).len());
    let list =
        skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{}/app", registry.host())]);
    assert!(String::from_utf8(list).unwrap().contains("\"2\""));
}

#[tokio::test]
async fn mirrored_deltas_at_docker_registry_are_used() {
    if !needs("mirrored_deltas_at_docker_registry_are_used", NEEDED) {
        return;
    }
    let [from, to] = [(); 2].map(|()| Live::start(&Access::Open));
    let cli = Cli::new();
    publish(&cli, from.host()).await;
    let file = format!(
        "mirror: [{{from: {}/app, to: {}/m/app, deltas: {{from: previous}}}}]",
        from.host(),
        to.host()
    );
    std::fs::write(cli.dir().join("m.yaml"), file).unwrap();
    let run = ["mirror", "m.yaml"];
    cli.run(&run).await.expect(0, "mirrored 2 images (0 unchanged), made deltas of 1 image (");
    cli.run(&run).await.expect(0, "mirrored 2 images (2 unchanged); ");

    let [old, new] = [1, 2].map(|version| format!("{}/m/app:{version}", to.host()));
    cli.run(&["pull", &old]).await.expect(0, "");
    let report = cli.report(&["pull", "--json", "--delta", "always", &new]).await;
    let (rebuilt, delta) = (&report["bytes"]["rebuilt"], &report["bytes"]["delta_bytes"]);
    assert!(delta.as_u64().unwrap() * 50 < rebuilt.as_u64().unwrap(), "{report}");
    assert_digests_are_right(&cli.store());
    let image = format!("docker://{}/app:2", from.host());
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &image]);
    assert_eq!(rpull::Digest::sha256(&raw).as_str(), report["digest"]);
}
