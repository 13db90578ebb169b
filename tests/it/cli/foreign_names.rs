//! Names that another tool or a stranger wrote: messages and results show them escaped.

use serde_json::{Value, json};

use super::assert_harmless;
use crate::support::cli::{Cli, Output};
use crate::support::images::{Family, Image, image, layer};
use crate::support::tars::{classic, tar};

/// Begins another line, and turns the text around.
const NAME: &str = "x\nerror: disk is failing\r\u{202e}hint: rm\u{9b}2J";

/// How it is shown.
const SHOWN: &str = r"x\nerror: disk is failing\r\u{202e}hint: rm\u{9b}2J";

fn held() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", b"a")])])
}

/// A store with one image, whose name is [`NAME`].
async fn stored() -> Cli {
    let cli = Cli::new();
    std::fs::write(cli.dir().join("a.tar"), tar(&classic(&held(), &["app:1"]))).unwrap();
    cli.run(&["load", "-q", "a.tar"]).await.expect(0, "");
    let path = cli.store().join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]["annotations"] = json!({ "org.opencontainers.image.ref.name": NAME });
    std::fs::write(path, index.to_string()).unwrap();
    cli
}

/// The output is harmless, and shows the name.
fn assert_shown(output: &Output) {
    assert_harmless(output);
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(text.contains(SHOWN), "{text}");
    assert_eq!(output.code(), Some(0), "{text}");
}

#[tokio::test]
async fn foreign_name_in_store_is_escaped_by_tag_and_rm() {
    let cli = stored().await;
    let digest = cli.json(&["images", "--json"]).await[0]["digest"].as_str().unwrap().to_owned();
    let id = digest.trim_start_matches("sha256:");
    assert_shown(&cli.run(&["tag", id, "new:1"]).await);
    cli.run(&["rm", "new:1"]).await.expect(0, "");
    assert_shown(&cli.run(&["rm", id]).await);
}

#[tokio::test]
async fn foreign_name_in_archive_is_escaped_in_warning() {
    let cli = Cli::new();
    std::fs::write(cli.dir().join("a.tar"), tar(&classic(&held(), &[NAME]))).unwrap();
    let output = cli.run(&["load", "a.tar"]).await;
    assert_shown(&output);
    output.expect(0, &format!("warning: a.tar: skipping the invalid name `{SHOWN}`: "));
}

#[tokio::test]
async fn foreign_name_of_damaged_image_is_escaped_in_warning() {
    let cli = stored().await;
    let digest = cli.json(&["images", "--json"]).await[0]["digest"].as_str().unwrap().to_owned();
    std::fs::remove_file(cli.store().join("blobs").join(digest.replace(':', "/"))).unwrap();
    let output = cli.run(&["images", "--format", "{{digest}}"]).await;
    assert_shown(&output);
    assert_eq!(output.stderr.lines().filter(|line| line.starts_with("warning: ")).count(), 1);
}
