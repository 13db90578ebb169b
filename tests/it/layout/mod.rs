//! The store and other layouts: index, prune, verify, journal, locks, damage, full disks.

mod crash;
mod damage;
mod disk_full;
mod foreign_content;
mod foreign_layouts;
mod free_space;
mod io_errors;
mod journal;
mod ledger;
mod partials;
mod prune;
mod repair;
mod rm;
mod store;
mod verify;

use std::path::PathBuf;

use rpull::digest::Digest;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, Image, image, layer, random_blob};

fn app(seed: u64) -> Image {
    let shared = layer(&[("base", &random_blob(20_000, 1))]);
    image(Family::Oci, "amd64", &[shared, layer(&[("app", &random_blob(3_000, seed))])])
}

/// A store that holds `team/app:1`.
async fn filled() -> (FakeRegistry, Cli, Image, String) {
    let (registry, held) = (FakeRegistry::start().await, app(2));
    held.publish(&registry, "team/app", Some("1"));
    let (cli, name) = (Cli::new(), format!("{}:1", registry.repository("team/app")));
    cli.run(&[&name]).await.expect(0, "");
    (registry, cli, held, name)
}

fn blob_path(cli: &Cli, digest: &Digest) -> PathBuf {
    cli.store().join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

/// Replaces a read-only file.
fn overwrite(path: &PathBuf, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Asserts that a run without the fault completes the images, and that all blobs have their digest.
async fn assert_recovers(cli: &Cli, names: &[&str], point: &str) {
    let output = cli.run(&[&["-q"], names].concat()).await;
    assert_eq!(output.code(), Some(0), "after {point}: {}", output.stderr);
    assert_eq!(cli.json(&["verify", "--json"]).await["bad"], json!([]), "after {point}");
    let listed = cli.json(&["images", "--json"]).await;
    let rows = listed.as_array().unwrap();
    let held = |name: &&str| rows.iter().any(|row| row["reference"] == json!(name));
    assert!(names.iter().all(held), "after {point}: {listed}");
}
