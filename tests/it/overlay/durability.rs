//! Overlay layers after a power failure: layers that may not be on disk are unpacked again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::Cli;
use crate::support::mounted::{Mounted, can_mount};
use crate::support::samples::{versions, versions_of};
use crate::support::tars;

const ANOTHER_BOOT: &str = "0123456789abcdef0123456789abcdef";

/// Returns the directories of complete layers.
fn folders(cli: &Cli) -> Vec<PathBuf> {
    let entries = fs::read_dir(cli.dir().join("layers/overlay2")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.retain(|path| path.join("committed").exists());
    folders
}

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("committed")).unwrap_or_default()
}

/// Returns the path of the base layer's file.
fn base(cli: &Cli) -> PathBuf {
    let files = folders(cli).into_iter().map(|folder| folder.join("diff/base"));
    files.into_iter().find(|path| path.exists()).unwrap_or_default()
}

#[tokio::test]
async fn overlay_unsynced_layer_of_other_boot_is_rebuilt() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &versions_of(101)[0]);
    let unpack = ["unpack", "--overlay", &archive, "layers"];
    cli.run(&unpack).await.expect(0, "unpacked 2 of 2 layers");
    cli.run(&unpack).await.expect(0, "unpacked 0 of 2 layers");
    // As ext4 and xfs leave files that were renamed but not synced.
    for (number, folder) in folders(&cli).iter().enumerate() {
        fs::write(folder.join("committed"), ["", ANOTHER_BOOT][number]).unwrap();
    }
    let right = fs::read(base(&cli)).unwrap();
    fs::write(base(&cli), vec![0; right.len()]).unwrap();
    cli.run(&unpack).await.expect(0, "unpacked 2 of 2 layers");
    assert!(fs::read(base(&cli)).unwrap() == right);
    assert_eq!(folders(&cli).iter().map(|folder| said(folder)).collect::<Vec<_>>(), ["on disk"; 2]);
    cli.run(&unpack).await.expect(0, "unpacked 0 of 2 layers");
}

#[tokio::test]
async fn overlay_sync_makes_existing_layers_durable() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &versions()[0]);
    let unpack = ["unpack", "--overlay", &archive, "layers"];
    cli.run(&unpack).await.expect(0, "unpacked 2 of 2 layers");
    assert!(folders(&cli).iter().all(|folder| said(folder).len() == 32));
    cli.run(&[&unpack[..], &["--sync"]].concat()).await.expect(0, "unpacked 0 of 2 layers");
    assert!(folders(&cli).iter().all(|folder| said(folder) == "on disk"));
}

#[tokio::test]
async fn overlay_unsynced_layer_in_mount_is_not_rebuilt() {
    if !can_mount("overlay_unsynced_layer_in_mount_is_not_rebuilt") {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &versions_of(111)[0]);
    let unpack = ["unpack", "--overlay", &archive, "layers"];
    let line = cli.run(&unpack).await.expect(0, "").stdout.clone();
    for folder in folders(&cli) {
        fs::write(folder.join("committed"), ANOTHER_BOOT).unwrap();
    }
    let point = cli.dir().join("point");
    fs::create_dir(&point).unwrap();
    {
        let _mounted = Mounted::by(line.trim(), &point);
        cli.run(&unpack).await.expect(7, "unmount it");
        assert!(point.join("base").exists());
    }
    cli.run(&unpack).await.expect(0, "unpacked 2 of 2 layers");
}
