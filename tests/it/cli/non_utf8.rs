//! Paths of files and directories with bytes that are not UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::samples::stored;

/// A name that is not UTF-8, and has a character that `printf` would interpret.
fn name(suffix: &str) -> OsString {
    OsString::from_vec([b"n\xff%d".as_slice(), suffix.as_bytes()].concat())
}

fn args(words: &[&str], path: &OsString) -> Vec<OsString> {
    words.iter().map(OsString::from).chain([path.clone()]).collect()
}

#[tokio::test]
async fn path_not_utf8_is_read_and_written() {
    let (cli, image, ..) = stored(100).await;
    let (tar, dir) = (name(".tar"), name(""));
    cli.run(&args(&["save", &image, "-o"], &tar)).await.expect(0, "");
    cli.run(&args(&["load"], &tar)).await.expect(0, "");
    cli.run(&args(&["load", "-i"], &tar)).await.expect(0, "");
    for (words, suffix) in [
        (&["unpack", &image][..], "root"),
        (&["export", &image, "-o"], "flat.tar"),
        (&["report", &image, "-o"], "page.html"),
        (&["man", "--install"], "man"),
    ] {
        let path = name(suffix);
        cli.run(&args(words, &path)).await.expect(0, "");
        assert!(cli.dir().join(&path).exists(), "{words:?}");
    }
    std::fs::create_dir(cli.dir().join(&dir)).unwrap();
    std::fs::write(cli.dir().join(&dir).join("added"), "x").unwrap();
    cli.run(&args(&["append", &image, "-t", "more:1"], &dir)).await.expect(0, "");
    assert_eq!(cli.run(&["cat", "more:1", "/added"]).await.expect(0, "").stdout, "x");
    let elsewhere = args(&["images", "--json", "--store"], &name("store"));
    assert_eq!(cli.run(&elsewhere).await.expect(0, "").stdout, "[]\n");
}

#[tokio::test]
async fn overlay_directory_not_utf8_is_recorded_and_mountable() {
    let (cli, image, ..) = stored(100).await;
    let directory = name("layers");
    let output = cli.run(&args(&["unpack", "--overlay", &image], &directory)).await;
    output.expect(0, "unpacked 1 of 1 layer");
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    let cd = output.stdout.strip_prefix('(').unwrap().split(" && ").next().unwrap().to_owned();
    let found = Command::new("sh").args(["-c", &format!("{cd} && ls -d l")]).output().unwrap();
    assert_eq!(found.stdout, b"l\n", "{cd}");
    let df = cli.json(&["df", "--json"]).await;
    assert_eq!(df["overlays"][0]["layers"], json!(1), "{df}");
    std::fs::remove_dir_all(cli.dir().join(&directory)).unwrap();
    cli.run(&["prune"]).await.expect(0, "");
    assert_eq!(std::fs::read_to_string(cli.store().join("overlays.json")).unwrap(), "[]");
}
