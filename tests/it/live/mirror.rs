//! `mirror` between docker-registries, beside `skopeo sync`.

use std::process::Command;

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, needs};
use crate::support::real::RealImage;
use crate::support::recorder;

const NEEDED: &[&str] = &["docker-registry", "skopeo", "dpkg"];

/// The digest of the manifest or index that a name refers to.
fn digest(host: &str, name: &str) -> String {
    let image = format!("docker://{host}/{name}");
    let inspect = ["inspect", "--raw", "--tls-verify=false", &image];
    let output = Command::new("skopeo").args(inspect).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    rpull::Digest::sha256(&output.stdout).to_string()
}

#[tokio::test]
async fn mirror_between_docker_registries_moves_changes_only() {
    if !needs("mirror_between_docker_registries_moves_changes_only", NEEDED) {
        return;
    }
    let [one, two, three] = [(); 3].map(|()| Live::start(&Access::Open));
    let (from, to) =
        (recorder::in_front_of(one.host()).await, recorder::in_front_of(two.host()).await);
    let (image, cli) = (RealImage::get(), Cli::new());
    let push = |name: &str| {
        let to = format!("{}/real:{name}", one.host());
        image.push(name, &to, &["--dest-tls-verify=false"]);
    };
    push("v1");
    push("multi");
    let file = cli.dir().join("m.yaml");
    let text = format!("mirror: [{{from: {}/real, to: {}/m/real}}]", from.host(), to.host());
    std::fs::write(&file, text).unwrap();
    // One request per blob, however slow this machine is.
    let run = ["mirror", "m.yaml", "--window", "0"];
    cli.run(&run).await.expect(0, "mirrored 2 images (0 unchanged)");
    from.forget();
    to.forget();
    cli.run(&run).await.expect(0, "mirrored 2 images (2 unchanged)");
    assert_eq!((from.lines().len(), to.lines().len()), (3, 2), "a list, and a HEAD for each tag");

    push("v2");
    from.forget();
    to.forget();
    cli.run(&run).await.expect(0, "mirrored 3 images (2 unchanged)");
    assert_eq!(from.count("GET /v2/real/blobs/"), 2, "the config and the last layer");
    assert_eq!(to.count("PUT /v2/m/real/blobs/"), 2);

    let list = format!("{}:\n  tls-verify: false\n  images:\n    real: []\n", one.host());
    std::fs::write(cli.dir().join("sync.yaml"), list).unwrap();
    skopeo_sync(&cli, &format!("{}/m", three.host()));
    for tag in ["v1", "v2", "multi"] {
        let name = format!("m/real:{tag}");
        assert_eq!(digest(two.host(), &name), digest(three.host(), &name));
    }
}

/// Mirrors `sync.yaml` with skopeo, all platforms.
fn skopeo_sync(cli: &Cli, to: &str) {
    let sync = ["sync", "--all", "--dest-tls-verify=false", "--src=yaml", "--dest=docker"];
    let file = cli.dir().join("sync.yaml");
    let output = Command::new("skopeo").args(sync).arg(file).arg(to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The sorted tags of a repository.
fn tags(host: &str, repository: &str) -> Vec<String> {
    let image = format!("docker://{host}/{repository}");
    let list = ["list-tags", "--tls-verify=false", &image];
    let output = Command::new("skopeo").args(list).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tags = value["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned());
    let mut tags: Vec<String> = tags.collect();
    tags.sort();
    tags
}

#[tokio::test]
async fn skopeo_file_gives_tags_and_digests_of_skopeo_sync() {
    if !needs("skopeo_file_gives_tags_and_digests_of_skopeo_sync", NEEDED) {
        return;
    }
    let [one, two, three] = [(); 3].map(|()| Live::start(&Access::Open));
    let (image, cli) = (RealImage::get(), Cli::new());
    for (tag, name) in [("v1", "real:v1"), ("v2", "real:v2"), ("multi", "team/other:1.0")] {
        let to = format!("{}/{name}", one.host());
        image.push(tag, &to, &["--dest-tls-verify=false"]);
    }
    image.push("v1", &format!("{}/team/other:edge", one.host()), &["--dest-tls-verify=false"]);
    let pinned = digest(one.host(), "real:v2");
    let list = format!(
        "{}:\n  tls-verify: false\n  images:\n    real: [v1, \"{pinned}\"]\n  images-by-tag-regex:\n    team/other: ^1\n",
        one.host()
    );
    std::fs::write(cli.dir().join("sync.yaml"), list).unwrap();
    skopeo_sync(&cli, &format!("{}/m", three.host()));
    let to = format!("{}/m", two.host());
    cli.run(&["mirror", "--to", &to, "sync.yaml"]).await.expect(0, "mirrored 3 images");
    for (repository, expected) in [("m/real", vec!["v1"]), ("m/other", vec!["1.0"])] {
        assert_eq!(tags(three.host(), repository), expected);
        assert_eq!(tags(two.host(), repository), expected);
    }
    for name in ["m/real:v1", &format!("m/real@{pinned}"), "m/other:1.0"] {
        assert_eq!(digest(two.host(), name), digest(three.host(), name), "{name}");
    }
}

#[tokio::test]
async fn mirror_delete_at_docker_registry_leaves_complete_images() {
    if !needs("mirror_delete_at_docker_registry_leaves_complete_images", NEEDED) {
        return;
    }
    let [one, two] = [(); 2].map(|()| Live::start(&Access::Open));
    let (image, cli) = (RealImage::get(), Cli::new());
    for tag in ["v1", "v2", "multi"] {
        image.push(tag, &format!("{}/real:{tag}", one.host()), &["--dest-tls-verify=false"]);
    }
    let write = |tags: &str| {
        let (from, to) = (one.host(), two.host());
        let text = format!("mirror: [{{from: {from}/real, to: {to}/m/real, tags: {tags}}}]");
        std::fs::write(cli.dir().join("m.yaml"), text).unwrap();
    };
    let delete = ["mirror", "m.yaml", "--delete", "--max-delete", "2"];
    write("['*']");
    cli.run(&delete).await.expect(0, "mirrored 3 images (0 unchanged); ");

    // This registry deletes manifests only, and v1 is also a platform of multi.
    write("[multi]");
    let output = cli.run(&delete).await;
    output.expect(1, "also has the tags multi");
    output.expect(1, "deleted 1 tag; ");
    assert_eq!(tags(two.host(), "m/real"), ["multi", "v1"]);
    write("[v1, multi]");
    cli.run(&delete).await.expect(0, "mirrored 2 images (2 unchanged); ");
    two.collect_garbage();
    let multi = format!("{}/m/real:multi", two.host());
    cli.run(&["copy", &multi, "oci:copy"]).await.expect(0, "");
    cli.run(&["verify", "oci:copy"]).await.expect(0, "");

    write("[v1]");
    cli.run(&delete).await.expect(0, "deleted 1 tag; ");
    assert_eq!(tags(two.host(), "m/real"), ["v1"]);
}
