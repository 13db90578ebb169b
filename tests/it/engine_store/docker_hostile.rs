//! Data roots that are damaged or made to harm.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::cli::{Cli, Output};
use crate::support::docker_root::{DockerRootDir, chain_of};
use crate::support::images::{Family, Image, image, layer, random_blob};

/// A data root with one image of two layers.
fn root() -> (DockerRootDir, Image) {
    let mut root = DockerRootDir::new();
    let base = layer(&[("dir/file", &random_blob(10_000, 1)), ("other", b"x")]);
    let image =
        root.add(Some("app:1"), &image(Family::Oci, "amd64", &[base, layer(&[("top", b"y")])]));
    (root, image)
}

async fn copy(root: &DockerRootDir) -> Output {
    let cli = Cli::new();
    let output = cli.run(&["copy", &root.location(), "oci:out"]).await;
    if output.code() != Some(0) {
        assert!(
            !cli.dir().join("out/index.json").exists()
                || !fs::read_to_string(cli.dir().join("out/index.json"))
                    .unwrap()
                    .contains("sha256")
        );
    }
    output
}

#[tokio::test]
async fn docker_root_symlink_out_of_layer_is_refused() {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("file"), random_blob(10_000, 1)).unwrap();
    // In place of a directory or file of the layer: as in a chroot, it leads to nothing.
    for inside in ["dir", "dir/file"] {
        let (root, image) = root();
        let path = root.diff(&chain_of(&image)[0]).join(inside);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
            symlink(secret.path(), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            symlink(secret.path().join("file"), &path).unwrap();
        }
        copy(&root).await.expect(7, "file `dir/file` of the layer");
    }
    // In place of what docker itself writes.
    for (part, leads_to) in [("overlay2", "overlay2"), ("image/overlay2/repositories.json", "list")]
    {
        let (root, _) = root();
        let moved = secret.path().join(leads_to);
        fs::rename(root.path().join(part), &moved).unwrap();
        symlink(&moved, root.path().join(part)).unwrap();
        copy(&root).await.expect(7, "symbolic link");
    }
}

#[tokio::test]
async fn docker_root_changed_file_is_mismatch() {
    let (root, image) = root();
    let file = root.diff(&chain_of(&image)[0]).join("dir/file");
    fs::write(&file, random_blob(10_000, 2)).unwrap();
    copy(&root).await.expect(5, "digest mismatch");
    fs::write(&file, "short").unwrap();
    copy(&root).await.expect(7, "is shorter than docker recorded");
    fs::remove_file(&file).unwrap();
    copy(&root).await.expect(7, "No such file");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    copy(&root).await.expect(7, "is not a regular file");
}

#[tokio::test]
async fn docker_root_without_tar_split_describes_image() {
    let (root, image) = root();
    let layer = root.layer(&chain_of(&image)[0]);
    fs::remove_file(layer.join("tar-split.json.gz")).unwrap();
    let cli = Cli::new();
    for verb in ["layers", "history", "inspect", "df"] {
        cli.run(&[verb, &root.location()]).await.expect(0, "");
    }
    copy(&root).await.expect(3, image.layers[0].digest().as_str());
    let blob = format!("{}@{}", root.location(), image.layers[0].digest());
    cli.run(&["blob", "-o", "x", &blob]).await.expect(3, "not in the engine's store");
    cli.run(&["unpack", &root.location(), "x"]).await.expect(7, "tar-split.json.gz: is missing");
    fs::write(layer.join("tar-split.json.gz"), "no gzip").unwrap();
    cli.run(&["layers", &root.location()]).await.expect(7, "tar-split.json.gz");
}

#[tokio::test]
async fn docker_root_damaged_files_are_named() {
    let long = "9".repeat(5000);
    for (file, text, reason) in [
        ("diff", "sha256:x", "diff: is corrupt"),
        ("cache-id", "../../../../etc", "cache-id: is corrupt"),
        ("cache-id", "", "cache-id: is corrupt"),
        ("size", "-1", "size: is corrupt"),
        ("size", long.as_str(), "larger than the limit"),
        ("parent", "\u{1b}[2J", "parent: is corrupt: `\\u{1b}[2J`"),
    ] {
        let (root, image) = root();
        fs::write(root.layer(&chain_of(&image)[1]).join(file), text).unwrap();
        let cli = Cli::new();
        cli.run(&["layers", &root.location()]).await.expect(7, reason);
        cli.run(&["df", &root.location()]).await.expect(0, reason);
    }
    let (root, image) = root();
    fs::write(root.config(&image), "{}").unwrap();
    copy(&root).await.expect(5, "digest mismatch");
    fs::write(root.config(&image), vec![b' '; 9 << 20]).unwrap();
    copy(&root).await.expect(7, "larger than the limit");
    fs::remove_file(root.config(&image)).unwrap();
    copy(&root).await.expect(3, "the engine's store contains no images");
    fs::write(root.path().join("image/overlay2/repositories.json"), "{\"Repositories\":").unwrap();
    copy(&root).await.expect(7, "repositories.json: is corrupt");
}

#[tokio::test]
async fn docker_root_unreadable_directory_hints_at_root() {
    let ((root, _), cli) = (root(), Cli::new().without_privileges());
    let layers = root.path().join("image/overlay2/layerdb");
    fs::set_permissions(&layers, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let output = cli.run(&["df", &root.location()]).await;
    output.expect(7, "Permission denied");
    output.expect(7, "hint: run it as root");
}

#[tokio::test]
async fn docker_root_of_other_graph_driver_is_unsupported() {
    let (root, cli) = (DockerRootDir::new(), Cli::new());
    let images = root.path().join("image");
    fs::rename(images.join("overlay2"), images.join("aufs")).unwrap();
    cli.run(&["df", &root.location()])
        .await
        .expect(1, "unsupported graph driver, expected overlay2, found: aufs");
    fs::remove_dir_all(&images).unwrap();
    cli.run(&["df", &root.location()]).await.expect(7, "is not a data root of docker");
    let content = root.path().join("containerd/daemon/io.containerd.content.v1.content");
    fs::create_dir_all(content).unwrap();
    cli.run(&["df", &root.location()]).await.expect(7, "hint: use `containerd-root:");
    cli.run(&["df", "docker-root:missing"]).await.expect(3, "does not exist");
}
