//! Archives for and from skopeo.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::live::needs;
use crate::support::real::RealImage;

const PROGRAMS: &[&str] = &["skopeo", "dpkg"];

fn skopeo(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("skopeo")
        .args(["--insecure-policy"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "skopeo {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn inspect(dir: &Path, place: &str) -> Value {
    serde_json::from_str(&skopeo(dir, &["inspect", place])).unwrap()
}

/// The digest of the config, which docker calls the image ID.
fn id(dir: &Path, place: &str) -> Value {
    let manifest = skopeo(dir, &["inspect", "--raw", place]);
    serde_json::from_str::<Value>(&manifest).unwrap()["config"]["digest"].clone()
}

#[tokio::test]
async fn archives_are_readable_by_skopeo() {
    if !needs("archives_are_readable_by_skopeo", PROGRAMS) {
        return;
    }
    let (image, cli) = (RealImage::get(), Cli::new());
    let source = format!("oci:{}:v1", image.layout().display());
    for place in ["oci-archive:o.tar:team/app:1", "docker-archive:d.tar:team/app:1", "store:app:1"]
    {
        cli.run(&["copy", &source, place]).await.expect(0, "");
    }
    cli.run(&["save", "app:1", "-o", "h.tar"]).await.expect(0, "");
    let digest = json!(image.v1.manifest.digest());
    assert_eq!(inspect(cli.dir(), "oci-archive:o.tar")["Digest"], digest);
    assert_eq!(inspect(cli.dir(), "oci-archive:h.tar")["Digest"], digest);
    let config = json!(image.v1.config.digest());
    for place in ["docker-archive:d.tar:team/app:1", "docker-archive:h.tar:app:1"] {
        assert_eq!(id(cli.dir(), place), config, "{place}");
        // skopeo hashes every layer.
        skopeo(cli.dir(), &["copy", "-q", place, &format!("dir:{}", place.len())]);
    }
}

#[tokio::test]
async fn archives_of_skopeo_are_read() {
    if !needs("archives_of_skopeo_are_read", PROGRAMS) {
        return;
    }
    let (image, cli) = (RealImage::get(), Cli::new());
    let source = format!("oci:{}:v1", image.layout().display());
    for place in ["oci-archive:o.tar:team/app:1", "docker-archive:d.tar:team/app:1"] {
        skopeo(cli.dir(), &["copy", "-q", &source, place]);
        let name = format!("{}:team/app:1", place.split(":team").next().unwrap());
        let loaded = cli.json(&["copy", "--json", &name, "store:app:1"]).await;
        assert_eq!(loaded["platforms"], json!(["linux/amd64"]));
        let config = cli.run(&["config", "store:app:1"]).await.stdout;
        assert_eq!(config.as_bytes(), image.v1.config.bytes, "{place}");
        if place.starts_with("oci") {
            assert_eq!(loaded["digest"], json!(image.v1.manifest.digest()));
        }
    }
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]));
    // With a name that docker would give it, too.
    cli.run(&["load", "d.tar"]).await.expect(0, "docker.io/team/app:1");
}
