//! Invalid targets: directories of the store, and mount points inside overlay directories.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::cli::Cli;
use crate::support::samples::published;

#[tokio::test]
async fn target_inside_store_is_refused() {
    let (registry, _, name) = published().await;
    let image = format!("{name}:1");
    let cli = Cli::new();
    for there in [false, true] {
        registry.server.forget();
        for dir in ["store", "store/ingest", "store/blobs/sha256/new", "home/../store/new"] {
            for way in [&["pull", "--unpack", dir, &image][..], &["unpack", &image, dir]] {
                for form in [&[][..], &["--overlay"]] {
                    let output = cli.run(&[way, form].concat()).await;
                    output.expect(2, &format!("error: directory `{dir}`: is inside the store"));
                }
            }
        }
        assert_eq!((registry.server.lines().len(), cli.store().exists()), (0, there));
        cli.run(&["pull", &image]).await.expect(0, "");
    }
    symlink("store", cli.dir().join("link")).unwrap();
    cli.run(&["unpack", &image, "link/new"]).await.expect(2, "is inside the store");
    cli.run(&["verify"]).await.expect(0, "");
}

#[tokio::test]
async fn target_around_store_is_refused() {
    let (_registry, _, name) = published().await;
    let image = format!("{name}:1");
    let cli = Cli::new();
    let inside = ["--store", "root/store"];
    let output = cli.run(&[&["pull", "--unpack", "root", &image][..], &inside].concat()).await;
    output.expect(2, "error: directory `root`: contains the store");
    assert!(!cli.dir().join("root").exists());
    let overlay = ["pull", "--overlay", "--unpack", "root", &image];
    fs::create_dir(cli.dir().join("root")).unwrap();
    cli.run(&overlay).await.expect(0, "unpacked 2 of 2 layers");
    cli.run(&[&overlay[..], &inside].concat()).await.expect(0, "unpacked 0 of 2 layers");
}

#[tokio::test]
async fn mount_point_inside_overlay_dir_is_refused() {
    let (_registry, _, name) = published().await;
    let image = format!("{name}:1");
    let cli = Cli::new();
    cli.run(&["unpack", "--overlay", &image, "layers"]).await.expect(0, "");
    for point in ["layers", "layers/overlay2"] {
        let mount = ["unpack", "--overlay", &image, "layers", "--mount", point];
        cli.run(&mount)
            .await
            .expect(2, &format!("error: directory `{point}`: is inside the overlay directory"));
    }
    symlink("layers", cli.dir().join("link")).unwrap();
    let output = cli.run(&["unpack", "--overlay", &image, "link"]).await;
    output.expect(7, "error: unpack: link: is a symbolic link");
}
