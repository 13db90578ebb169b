//! What `append`, `mutate`, `rebase`, `flatten` and `index` make, read by skopeo, umoci and podman.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, is_root, needs};
use crate::support::peers::{assert_same, unpack_with_podman, unpack_with_umoci, without_times_of};
use crate::support::real::RealImage;
use crate::support::tree::{Node, nodes};

fn skopeo(cli: &Cli, args: &[&str]) -> String {
    let output = Command::new("skopeo").args(args).current_dir(cli.dir()).output().unwrap();
    assert!(output.status.success(), "skopeo {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn write_app(cli: &Cli) {
    let dir = cli.dir().join("app");
    std::fs::create_dir_all(dir.join("bin")).unwrap();
    std::fs::write(dir.join("bin/app"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("app", dir.join("bin/link")).unwrap();
}

/// The nodes below a directory: podman has times of its own for directories of lower layers.
fn added(tree: Vec<Node>, below: &str) -> Vec<Node> {
    let found: Vec<Node> = tree.into_iter().filter(|node| node.path.starts_with(below)).collect();
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn edited_image_unpacks_as_with_umoci_and_podman() {
    let test = "edited_image_unpacks_as_with_umoci_and_podman";
    if !is_root(test) || !needs(test, &["umoci", "podman", "dpkg"]) {
        return;
    }
    let (cli, real) = (Cli::new(), RealImage::get());
    write_app(&cli);
    let base = format!("oci:{}:v1", real.layout().display());
    let args = ["append", "--prefix", "srv/new", &base, "app", "-t", "oci:l:appended"];
    cli.run(&args).await.expect(0, "");
    let args = ["append", "--compression", "zstd", &base, "app", "-t", "oci:l:zstd"];
    cli.run(&args).await.expect(0, "");
    cli.run(&["flatten", "oci:l:appended", "-t", "oci:l:flat"]).await.expect(0, "");
    let layout = cli.dir().join("l");
    // What is said of no directory, each program chooses.
    let unsaid =
        ["", "app", "etc", "etc/app", "usr", "usr/local", "usr/local/bin", "srv", "srv/new"];
    for name in ["appended", "flat"] {
        cli.run(&["unpack", &format!("oci:l:{name}"), name]).await.expect(0, "");
        let own = without_times_of(nodes(&cli.dir().join(name), &[]), &unsaid);
        assert!(own.iter().any(|node| node.path == "srv/new/bin/link"));
        let bundle = cli.dir().join(format!("{name}-umoci"));
        let other = unpack_with_umoci(&layout, name, &bundle);
        assert_same(&own, &without_times_of(other, &unsaid));
        assert_same(&added(own, "srv/new/"), &added(unpack_with_podman(&layout, name), "srv/new/"));
    }
    cli.run(&["unpack", "oci:l:zstd", "zstd"]).await.expect(0, "");
    let own = nodes(&cli.dir().join("zstd"), &[]);
    assert_same(&added(own, "bin/"), &added(unpack_with_podman(&layout, "zstd"), "bin/"));
}

#[tokio::test]
async fn edited_image_in_registry_is_read_by_skopeo() {
    if !needs("edited_image_in_registry_is_read_by_skopeo", &["docker-registry", "skopeo", "dpkg"])
    {
        return;
    }
    let (registry, cli, real) = (Live::start(&Access::Open), Cli::new(), RealImage::get());
    write_app(&cli);
    let at = |name: &str| format!("docker://{}/{name}", registry.host());
    for (name, to) in [("v1", "base:1"), ("v2", "base:2")] {
        real.push(name, &format!("{}/{to}", registry.host()), &["--dest-tls-verify=false"]);
    }
    let append = ["append", "--json", &at("base:1"), "app", "-t", &at("app:1")];
    let report = cli.json(&append).await;
    let total: u64 = real.v1.layers.iter().map(|layer| layer.descriptor.size).sum();
    assert_eq!(report["bytes"]["mounted"], total, "{report}");
    let (from, to) = (at("app:1"), at("app:2"));
    let changes = ["--env", "MODE=test", "--label", "team=web", "--cmd", "/bin/app"];
    let more = ["--annotation", "a=b", "--time", "2026-01-02T03:04:05Z", "-t", &to];
    cli.run(&[&["mutate", &from], &changes[..], &more].concat()).await.expect(0, "");
    let inspect = |name: &str| -> Value {
        let text = skopeo(&cli, &["inspect", "--tls-verify=false", &at(name)]);
        serde_json::from_str(&text).unwrap()
    };
    let seen = inspect("app:2");
    assert_eq!(seen["Labels"]["team"], "web");
    assert_eq!(seen["Created"], "2026-01-02T03:04:05Z");
    assert!(seen["Env"].as_array().unwrap().contains(&json!("MODE=test")));
    assert_eq!(seen["Layers"].as_array().unwrap().len(), real.v1.layers.len() + 1);
    // skopeo hashes every layer, and compares it with the config when it writes docker's format.
    let copy =
        ["copy", "-q", "--src-tls-verify=false", &at("app:2"), "docker-archive:app.tar:app:2"];
    skopeo(&cli, &[&["--insecure-policy"], &copy[..]].concat());

    let rebase = [
        "rebase",
        &at("app:1"),
        "--old-base",
        &at("base:1"),
        "--new-base",
        &at("base:2"),
        "-t",
        &at("app:3"),
    ];
    cli.run(&rebase).await.expect(0, "");
    let copy =
        ["copy", "-q", "--src-tls-verify=false", &at("app:3"), "docker-archive:new.tar:app:3"];
    skopeo(&cli, &[&["--insecure-policy"], &copy[..]].concat());
    assert_eq!(cli.json(&["check-base", "--json", &at("app:3")]).await["base"]["up_to_date"], true);

    for (command, image) in [("create", "base:2"), ("add", "app:2")] {
        cli.run(&["index", command, &at("all:1"), &at(image)]).await.expect(0, "");
    }
    let raw = skopeo(&cli, &["inspect", "--raw", "--tls-verify=false", &at("all:1")]);
    let raw: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["manifests"].as_array().unwrap().len(), 1, "both are for one platform: {raw}");
    let copy = ["copy", "-q", "--all", "--src-tls-verify=false", &at("all:1"), "dir:d"];
    skopeo(&cli, &[&["--insecure-policy"], &copy[..]].concat());
}
