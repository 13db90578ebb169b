//! Images of containerd's root that has no names, and roots that are damaged.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::cli::Cli;
use crate::support::containerd_root::ContainerdRootDir;
use crate::support::images::{Family, Image, image, index, layer};

fn tiny(architecture: &str) -> Image {
    image(Family::Oci, architecture, &[layer(&[("file", architecture.as_bytes())])])
}

#[tokio::test]
async fn containerd_root_without_names_lists_top_documents() {
    let (root, cli) = (ContainerdRootDir::new(), Cli::new());
    // As engines pull: of the index only one platform.
    let all = index(Family::Oci, &[("amd64", tiny("amd64")), ("arm64", tiny("arm64"))]);
    root.add_blob(&all.document);
    root.add(&all.images[0]);
    let digest = format!("{}\n", all.document.digest());
    assert_eq!(cli.run(&["digest", &root.location()]).await.stdout, digest);
    let copied = cli.run(&["copy", &root.location(), "oci:out:app"]).await;
    copied.expect(0, "manifests listed by its index are missing");
    cli.run(&["verify", "oci:out"]).await.expect(0, "");
    let by_digest = format!("{}@{}", root.location(), all.images[0].manifest.digest());
    cli.run(&["layers", &by_digest]).await.expect(0, "");
    let blob = format!("{}@{}", root.location(), all.images[0].layers[0].digest());
    cli.run(&["blob", "-o", "layer", &blob]).await.expect(0, "");
    root.add(&tiny("s390x"));
    cli.run(&["digest", &root.location()]).await.expect(2, &format!("@{}", all.document.digest()));
    cli.run(&["copy", &by_digest, &root.location()])
        .await
        .expect(2, "containerd-root can only be read from");
}

#[tokio::test]
async fn containerd_root_missing_blob_is_named() {
    let (root, cli, image) = (ContainerdRootDir::new(), Cli::new(), tiny("amd64"));
    root.add(&image);
    fs::remove_file(root.blob(&image.layers[0])).unwrap();
    cli.run(&["history", &root.location()]).await.expect(0, "");
    let copied = cli.run(&["copy", &root.location(), "oci:out:app"]).await;
    copied.expect(3, image.layers[0].digest().as_str());
    fs::write(root.blob(&image.layers[0]), vec![b'x'; image.layers[0].bytes.len()]).unwrap();
    cli.run(&["copy", &root.location(), "oci:out:app"]).await.expect(5, "digest mismatch");
    let secret = cli.dir().join("secret");
    fs::write(&secret, &image.layers[0].bytes).unwrap();
    fs::remove_file(root.blob(&image.layers[0])).unwrap();
    symlink(&secret, root.blob(&image.layers[0])).unwrap();
    cli.run(&["copy", &root.location(), "oci:out:app"]).await.expect(7, "symbolic link");
}

#[tokio::test]
async fn containerd_root_damaged_database_leaves_digests() {
    let (root, cli, image) = (ContainerdRootDir::new(), Cli::new(), tiny("amd64"));
    root.add(&image);
    let database = root.path().join("io.containerd.metadata.v1.bolt");
    fs::create_dir(&database).unwrap();
    fs::write(database.join("meta.db"), vec![b'x'; 100_000]).unwrap();
    let digest = format!("{}\n", image.manifest.digest());
    let output = cli.run(&["digest", &root.location()]).await;
    output.expect(0, "is no bolt database; images are known by digest only");
    assert_eq!(output.stdout, digest);
    cli.run(&["digest", "containerd-root:/"]).await.expect(7, "is not a root of containerd");
    cli.run(&["digest", "containerd-root:missing"]).await.expect(3, "does not exist");
}
