//! Which encoder wrote the layers that other tools push, by the first bytes of each.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::images::random_blob;
use crate::support::live::{Access, Live, is_root, needs};
use crate::support::peers::buildah;

/// Runs a script in a directory, with the address of the registry as its argument.
fn run(dir: &Path, host: &str, script: &str) {
    let status =
        Command::new("sh").args(["-euc", script, "sh", host]).current_dir(dir).status().unwrap();
    assert!(status.success(), "{script}");
}

const SKOPEO: &str = "
skopeo --insecure-policy copy -q --dest-tls-verify=false oci:plain:1 docker://$1/a:skopeo
";
const PODMAN: &str = "
podman --root root --runroot run --storage-driver vfs push -q --tls-verify=false image docker://$1/a:podman
";
const UMOCI: &str = "
umoci init --layout umoci
umoci new --image umoci:1
umoci insert --image umoci:1 files /files
skopeo --insecure-policy copy -q --dest-tls-verify=false oci:umoci:1 docker://$1/a:umoci
";

#[tokio::test]
async fn encoder_of_pushed_layers_costs_one_range_each() {
    let test = "encoder_of_pushed_layers_costs_one_range_each";
    if !needs(test, &["buildah", "docker-registry", "podman", "skopeo", "umoci"]) || !is_root(test)
    {
        return;
    }
    let (dir, live) = (tempfile::tempdir().unwrap(), Live::start(&Access::Open));
    std::fs::create_dir(dir.path().join("files")).unwrap();
    for seed in 0..3 {
        let bytes = random_blob(150_000, seed).repeat(2);
        std::fs::write(dir.path().join(format!("files/random-{seed}")), bytes).unwrap();
    }
    let lines: Vec<u8> = (0..200_000_u32)
        .flat_map(|line| format!("{:x}\n", u64::from(line).pow(2) / 3).into_bytes())
        .collect();
    std::fs::write(dir.path().join("files/lines"), lines).unwrap();
    let container = buildah(dir.path(), &["from", "scratch"]);
    buildah(dir.path(), &["copy", "-q", &container, "files", "/"]);
    buildah(dir.path(), &["commit", "-q", &container, "image"]);
    buildah(dir.path(), &["push", "-q", "image", "oci:plain:1"]);
    let to = format!("docker://{}/a:buildah", live.host());
    buildah(dir.path(), &["push", "-q", "--tls-verify=false", "image", &to]);
    for script in [SKOPEO, PODMAN, UMOCI] {
        run(dir.path(), live.host(), script);
    }
    for (tag, piece) in
        [("buildah", 1 << 20), ("skopeo", 1 << 20), ("podman", 1 << 20), ("umoci", 256 << 10)]
    {
        let (cli, before) = (Cli::new(), live.access_log().len());
        let name = format!("{}/a:{tag}", live.host());
        let images = cli.json(&["inspect", "--encoder", "--json", &name]).await;
        let layers = images[0]["layers"].as_array().unwrap();
        let layer = layers.last().unwrap();
        assert_eq!(layer["family"], "b", "{tag}: {layer}");
        assert_eq!((&layer["level"], &layer["piece"]), (&json!(5), &json!(piece)), "{tag}");
        assert_eq!((&layer["wrong"], &layer["ambiguous"]), (&json!(0), &json!(false)), "{tag}");
        let requests = &live.access_log()[before..];
        let ranges = requests.iter().filter(|line| line.bytes == 256 << 10 && line.status == 206);
        // The last request may not be logged yet.
        assert!(ranges.count() <= 1 && requests.len() <= 1 + layers.len(), "{requests:?}");
        assert!(requests.iter().all(|line| line.bytes <= 256 << 10), "{requests:?}");
    }
}
