//! What `copy --format` and `copy --compression` make, read by skopeo, umoci and podman.

use std::process::Command;

use serde_json::Value;

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, is_root, needs};
use crate::support::peers::{assert_same, unpack_with_podman, unpack_with_umoci, without_times_of};
use crate::support::real::RealImage;
use crate::support::tree::nodes;

fn skopeo(cli: &Cli, args: &[&str]) -> String {
    let output = Command::new("skopeo").args(args).current_dir(cli.dir()).output().unwrap();
    assert!(output.status.success(), "skopeo {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn converted_image_in_registry_is_read_by_skopeo() {
    let test = "converted_image_in_registry_is_read_by_skopeo";
    if !needs(test, &["docker-registry", "skopeo", "dpkg"]) {
        return;
    }
    let (registry, cli, real) = (Live::start(&Access::Open), Cli::new(), RealImage::get());
    let at = |name: &str| format!("docker://{}/{name}", registry.host());
    // skopeo writes lines with three spaces, as docker does.
    real.push_docker("v1", &format!("{}/a:docker", registry.host()), &["--dest-tls-verify=false"]);
    let first = cli.run(&["digest", &at("a:docker")]).await.stdout;
    for (option, value, from, to) in [
        ("--format", "oci", "a:docker", "b:oci"),
        ("--format", "docker", "b:oci", "c:docker"),
        ("--compression", "zstd", "b:oci", "d:zstd"),
        ("--compression", "gzip", "d:zstd", "e:gzip"),
        ("--compression", "estargz", "d:zstd", "f:estargz"),
    ] {
        cli.run(&["copy", option, value, &at(from), &at(to)]).await.expect(0, "new digest");
        let inspected = skopeo(&cli, &["inspect", "--tls-verify=false", &at(to)]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Layers"].as_array().unwrap().len(), real.v1.layers.len());
        // skopeo hashes every layer, and compares it with the config when it writes docker's format, which has no zstd.
        let name = to.replace(':', "-");
        let target = match value {
            "zstd" => format!("oci:{name}:x"),
            _ => format!("docker-archive:{name}.tar:x"),
        };
        let copy = ["copy", "-q", "--src-tls-verify=false", &at(to), &target];
        skopeo(&cli, &[&["--insecure-policy"], &copy[..]].concat());
    }
    assert_eq!(cli.run(&["digest", &at("c:docker")]).await.stdout, first);
}

#[tokio::test]
async fn recompressed_image_unpacks_as_with_umoci_and_podman() {
    let test = "recompressed_image_unpacks_as_with_umoci_and_podman";
    if !is_root(test) || !needs(test, &["umoci", "podman", "dpkg"]) {
        return;
    }
    let (cli, real) = (Cli::new(), RealImage::get());
    let from = format!("oci:{}:v1", real.layout().display());
    cli.run(&["copy", "--compression", "zstd", &from, "oci:l:zstd"]).await.expect(0, "");
    cli.run(&["copy", "--compression", "gzip", "oci:l:zstd", "oci:l:gzip"]).await.expect(0, "");
    let layout = cli.dir().join("l");
    // What is said of no directory, each program chooses.
    let unsaid = ["", "app", "etc", "etc/app", "usr", "usr/local", "usr/local/bin"];
    cli.run(&["unpack", &from, "root"]).await.expect(0, "");
    let own = without_times_of(nodes(&cli.dir().join("root"), &[]), &unsaid);
    let umoci = unpack_with_umoci(&layout, "gzip", &cli.dir().join("bundle"));
    assert_same(&own, &without_times_of(umoci, &unsaid));
    let names = |tree: &[crate::support::tree::Node]| {
        tree.iter().map(|node| node.path.clone()).collect::<Vec<_>>()
    };
    let podman = without_times_of(unpack_with_podman(&layout, "zstd"), &unsaid);
    assert_eq!(names(&podman), names(&own));
}
