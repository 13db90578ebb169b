//! An update by deltas for a machine without a network: other tools and a signature find the image that was signed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::assertions::assert_digests_are_right;
use crate::support::cli::Cli;
use crate::support::live::needs;
use crate::support::real::RealImage;

const NEEDED: &[&str] = &["dpkg", "umoci", "skopeo", "openssl", "unshare"];

/// Two images of Debian's files: as they are, and as a rebuild with updates has them, in another order and with new times.
const IMAGES: &str = r#"
umoci unpack --rootless --image "$1" bundle
cd bundle/rootfs
tar --numeric-owner -cf ../../1.tar .
find . -type f -size +50k | sort | awk 'NR % 8 == 1' | while read -r file; do
    printf updated | dd of="$file" conv=notrunc bs=1 seek=20000 status=none
done
find . -exec touch -h -d @1700000000 {} +
tar --numeric-owner --sort=name -cf ../../2.tar .
cd ../..
umoci init --layout image
for version in 1 2; do
    umoci new --image image:$version
    umoci raw add-layer --image image:$version $version.tar
done
"#;

fn output(dir: &Path, command: &[&str]) -> Vec<u8> {
    let (program, args) = command.split_first().unwrap();
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    output.stdout
}

/// The digest of a manifest, by skopeo.
fn digest(dir: &Path, image: &str) -> String {
    rpull::Digest::sha256(&output(dir, &["skopeo", "inspect", "--raw", image])).to_string()
}

/// Signs the image as cosign does, with a new key.
fn sign(dir: &Path, image: &str) {
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": "docker.io/library/debian" },
            "image": { "docker-manifest-digest": digest(dir, image) },
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    std::fs::write(dir.join("payload.json"), payload.to_string()).unwrap();
    let key = ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "key.pem"];
    output(dir, &key);
    output(dir, &["openssl", "ec", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let sign = ["openssl", "dgst", "-sha256", "-sign", "key.pem", "-out", "signature"];
    output(dir, &[&sign[..], &["payload.json"]].concat());
}

/// Returns the digest of the image that was signed.
fn signed_digest(dir: &Path) -> String {
    let verify = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"];
    output(dir, &[&verify[..], &["payload.json"]].concat());
    let payload = std::fs::read(dir.join("payload.json")).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    payload["critical"]["image"]["docker-manifest-digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn signed_image_is_rebuilt_from_delta_without_network() {
    if !needs("signed_image_is_rebuilt_from_delta_without_network", NEEDED) {
        return;
    }
    let (here, there) = (Cli::new(), Cli::new());
    let first = format!("{}:v1", RealImage::get().layout().display());
    output(here.dir(), &["sh", "-euc", IMAGES, "sh", &first]);
    for version in [1, 2] {
        let [from, to] = [format!("oci:image:{version}"), format!("store:debian:{version}")];
        here.run(&["copy", &from, &to]).await.expect(0, "");
    }
    sign(here.dir(), "oci:image:2");

    let [old, update] = ["old.tar", "update.tar"].map(|name| there.dir().join(name));
    let [old, update] = [&old, &update].map(|path| path.to_str().unwrap());
    here.run(&["save", "debian:1", "-o", old]).await.expect(0, "");
    there.run(&["load", "old.tar"]).await.expect(0, "");
    let inventory = there.run(&["inventory"]).await.expect(0, "").stdout.clone();
    let save = ["save", "debian:2", "--since", "-", "--delta", "-o", update];
    here.run_on(&inventory, &save).await.expect(0, "deltas: ");
    for name in ["payload.json", "public.pem", "signature"] {
        std::fs::copy(here.dir().join(name), there.dir().join(name)).unwrap();
    }

    let load = ["load", "--json", "update.tar"];
    let loaded = there.spawn_under(&["unshare", "--net", "--map-root-user"], &load).wait().await;
    let report = loaded.expect(0, "rebuilt").report();
    let layer = report["bytes"]["rebuilt"].as_u64().unwrap();
    let archive = std::fs::metadata(update).unwrap().len();
    assert!(layer > 2_000_000 && archive * 10 < layer, "{archive} of {layer}");
    assert_digests_are_right(&there.store());
    assert_eq!(there.json(&["verify", "--json"]).await["bad"], json!([]));

    let signed = signed_digest(there.dir());
    assert_eq!(report["digest"], json!(signed));
    there.run(&["copy", "store:debian:2", "oci:out:2"]).await.expect(0, "");
    assert_eq!(digest(there.dir(), "oci:out:2"), signed);
    // It reads the layers, and compares them with the manifest and the config.
    output(there.dir(), &["skopeo", "--insecure-policy", "copy", "oci:out:2", "dir:checked"]);
}
