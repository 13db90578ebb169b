//! Against Debian's containerd: content, names and snapshots.

use serde_json::json;

use crate::support::cli::Cli;
use crate::support::live::{is_root, needs};
use crate::support::mounted::can_mount;
use crate::support::peers::Containerd;
use crate::support::real::RealImage;

#[tokio::test(flavor = "multi_thread")]
async fn containerd_root_names_content_and_snapshots_are_read() {
    let test = "containerd_root_names_content_and_snapshots_are_read";
    if !is_root(test) || !needs(test, &["containerd", "ctr", "dpkg"]) || !can_mount(test) {
        return;
    }
    let (real, cli, containerd) = (RealImage::get(), Cli::new(), Containerd::start());
    containerd.import(real.layout(), &[]);
    let place = |name: &str| format!("containerd-root:{}:{name}", containerd.root().display());
    for (name, digest) in [
        ("v1", real.v1.manifest.digest()),
        ("v2", real.v2.manifest.digest()),
        ("multi", real.multi.document.digest()),
    ] {
        let image = place(&format!("example.com/app:{name}"));
        assert_eq!(cli.run(&["digest", &image]).await.stdout, format!("{digest}\n"), "{name}");
        let out = format!("oci:out:{name}");
        cli.run(&["copy", &image, &out]).await.expect(0, "");
        assert_eq!(cli.run(&["digest", &out]).await.stdout, format!("{digest}\n"), "{name}");
    }
    cli.run(&["verify", "oci:out"]).await.expect(0, "");
    // Each layer's directory, as the snapshotter would mount it.
    let image = place("example.com/app:v1");
    let layers = cli.json(&["layers", "--json", &image]).await;
    for layer in layers.as_array().unwrap() {
        let chain_id = layer["chain_id"].as_str().unwrap();
        let directory = layer["directory"].as_str().unwrap();
        let listed = containerd.run(&["snapshots", "usage", "-b", chain_id]);
        assert!(listed.contains(&layer["unpacked_size"].to_string()), "{listed}: {layer}");
        assert!(std::path::Path::new(directory).is_dir(), "{directory}");
    }
    // Another namespace has snapshots of its own.
    let archive = cli.dir().join("v1.tar").display().to_string();
    containerd.run(&["images", "export", &archive, "example.com/app:v1"]);
    containerd.run(&["--namespace", "k8s.io", "images", "import", &archive]);
    let df = format!("containerd-root:{}", containerd.root().display());
    let df = cli.json(&["df", "--json", &df]).await;
    assert!(!df["shares"].to_string().contains("or leftovers"), "{}", df["shares"]);
    for layer in layers.as_array().unwrap() {
        let rows = df["layers"].as_array().unwrap();
        let row = rows.iter().find(|row| row["chain_id"] == layer["chain_id"]).unwrap();
        assert_eq!(row["directory"], layer["directory"], "{row}");
        assert_eq!(row["directories"].as_array().unwrap().len(), 2, "{row}");
        assert_eq!(row["unpacked_size"], layer["unpacked_size"], "{row}");
        assert!(row["images"].to_string().contains("example.com/app:v1"), "{row}");
    }
    let top = layers[2]["directory"].as_str().unwrap();
    assert!(std::path::Path::new(top).join("app/version").is_file(), "{top}");
    let history = cli.json(&["history", "--json", &image]).await;
    assert_eq!(history[0]["image"], json!(real.v1.config.digest()));
    let several =
        cli.run(&["digest", &format!("containerd-root:{}", containerd.root().display())]).await;
    several.expect(2, "example.com/app:multi, example.com/app:v1, example.com/app:v2");
}
