//! `report` and `diff -o`: pages that hostile names cannot leave, and where they are written.

use std::process::Stdio;

use serde_json::{Value, json};

use super::analyze::{built, published, wasteful};
use super::assert_harmless;
use crate::support::cli::Cli;
use crate::support::images::{gzip, with_config};
use crate::support::tar_item::{TarItem, tar};
use crate::support::terminal::Terminal;

/// The data of the script in a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script id=\"data\" type=\"application/json\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn read(cli: &Cli, name: &str) -> String {
    std::fs::read_to_string(cli.dir().join(name)).unwrap()
}

/// Sums of the root of a layer: added, modified, deleted, wasted, files.
fn totals(page: &Value, layer: usize) -> [u64; 5] {
    let root = &page["images"][0]["layers"][layer][0];
    std::array::from_fn(|at| root[at + 2].as_u64().unwrap())
}

#[tokio::test]
async fn report_shows_files_and_findings_of_each_layer() {
    let (registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    let output = cli.run(&["report", &name, "-o", "page.html"]).await;
    assert_eq!(output.expect(0, "").stdout, "page.html\n");
    assert_eq!(registry.server.requests().len(), 2 + 3, "manifest, config, layers");
    assert!(!cli.store().exists());
    let page = read(&cli, "page.html");
    let shown = data(&page);
    // opt/big is in layer 0 and again in layer 1, which deletes opt/old.
    assert_eq!(totals(&shown, 0), [80_005, 0, 0, 80_000, 4]);
    assert_eq!(totals(&shown, 1), [9_000, 50_000, 30_000, 0, 4]);
    for part in ["rewritten-unchanged", "/app/deploy_key", "efficiency", "default-src 'none'"] {
        assert!(page.to_lowercase().contains(part), "{part}");
    }
    assert!(!page.contains("TOPSECRET"));
    let json = cli.json(&["report", "--json", &name, "-o", "page.html"]).await;
    assert_eq!(json["file"], "page.html");
    assert_eq!(json["images"][0]["reference"], name);
}

#[tokio::test]
async fn report_of_hostile_names_has_no_foreign_markup() {
    let evil = "</script><script>alert(1)</script><!--";
    let layer = gzip(&tar(&[
        TarItem::file(format!("{evil}/\u{1b}[2J\u{202e}\n&quot;"), "x".repeat(500)),
        TarItem::file(b"b\xff\"'><img src=x onerror=alert(1)>", "x".repeat(400)),
    ]));
    let image = built(&[(&format!("RUN {evil} \u{202e}\u{9b}31m"), layer)]);
    let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    config["config"] = json!({"Env": [format!("{evil}={evil}")], "Labels": {evil: evil}});
    config["created"] = json!(evil);
    let (_registry, name) = published(&with_config(&image, &config)).await;
    let cli = Cli::new();
    let report = cli.run(&["report", &name, &name]).await;
    let other = cli.run(&["diff", &name, &name, "-o", "-"]).await;
    for output in [&report, &other] {
        assert_harmless(output.expect(0, ""));
        let page = &output.stdout;
        assert_eq!(page.matches("<script").count(), 2, "data and script");
        assert_eq!(page.matches("</script>").count(), 2);
        assert_eq!(page.matches("<!--").count() + page.matches("<img").count(), 0);
    }
    let data = data(&report.stdout);
    let names: Vec<&str> = data["images"][0]["layers"][0]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row[1].as_str())
        .collect();
    assert!(names.contains(&"script><script>alert(1)<"), "{names:?}");
    assert!(names.contains(&"\\u{1b}[2J\\u{202e}\\n&quot;"), "{names:?}");
}

#[tokio::test]
async fn report_without_image_shows_store() {
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    cli.run(&[&name]).await.expect(0, "");
    let page = cli.run(&["report"]).await.expect(0, "").stdout.clone();
    assert!(page.contains("Where the disk goes") && page.contains(&name));
    assert!(!page.contains("Over time"));
    let store = cli.run(&["report", "--store", "--stats", "-o", "-"]).await;
    let page = &store.expect(0, "").stdout;
    assert!(page.contains("Where the disk goes") && page.contains("Over time"));
    let page = cli.run(&["report", "--stats"]).await.expect(0, "").stdout.clone();
    assert!(!page.contains("Where the disk goes") && page.contains("Over time"));
    let path = cli.store().display().to_string();
    let page = cli.run(&["report", "--store", &path, "--offline", &name]).await;
    let page = &page.expect(0, "").stdout;
    assert!(!page.contains("Where the disk goes") && page.contains("/opt/big"));
    let empty = cli.run(&["report", "--store", "elsewhere"]).await;
    assert!(empty.expect(0, "").stdout.contains("0 blobs"));
}

#[tokio::test]
async fn report_writes_no_file_unless_complete() {
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    cli.run(&["report", &name, "store:absent/a:1", "-o", "page.html"]).await.expect(3, "");
    assert!(!cli.dir().join("page.html").exists());
    cli.run(&["report", &name, "-o", "no/page.html"]).await.expect(7, "no/page.html");
    cli.run(&["report", &name, "-o", "home"]).await.expect(2, "is a directory");
    cli.run(&["report", &name, "--json", "-o", "-"]).await.expect(2, "both the page and JSON");
}

#[tokio::test]
async fn report_on_terminal_writes_new_file_of_default_name() {
    let cli = Cli::new();
    let run = |words: &[&str]| {
        let terminal = Terminal::open();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rpull"))
            .args(words)
            .current_dir(cli.dir())
            .env("RPULL_STORE", cli.store())
            .stdout(Stdio::from(terminal.screen()))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["report"]).0, Some(0));
    assert!(read(&cli, "rpull-report.html").starts_with("<!DOCTYPE html>"));
    let (code, told) = run(&["report"]);
    assert!(code == Some(2) && told.contains("`rpull-report.html`: already exists"), "{told}");
    let (code, told) = run(&["report", "-o", "-"]);
    assert!(code == Some(2) && told.contains("refusing to write a page to the terminal"), "{told}");
    assert_eq!(run(&["report", "-o", "rpull-report.html"]).0, Some(0));
}

#[tokio::test]
async fn diff_page_has_layers_and_settings() {
    let (registry, name) = published(&wasteful()).await;
    let image = wasteful();
    let mut config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    config["config"] = json!({"Env": ["A=new"]});
    with_config(&image, &config).publish(&registry, "team/app", Some("2"));
    let other = registry.repository("team/app:2");
    let cli = Cli::new();
    let output = cli.run(&["diff", &name, &other, "-o", "page.html"]).await;
    assert_eq!(output.expect(0, "").stdout, "page.html\n");
    let page = read(&cli, "page.html");
    for part in [name.as_str(), &other, "Env A", "new", "3 layers"] {
        assert!(page.contains(part), "{part}");
    }
    let diff = cli.json(&["diff", "--json", &name, &other, "-o", "page.html"]).await;
    assert_eq!(diff["shared"]["layers"], 3);
}

#[tokio::test]
async fn diff_page_has_files_only_if_asked_for() {
    let (registry, name) = published(&wasteful()).await;
    let top = gzip(&tar(&[
        TarItem::file("opt/new", "x".repeat(700)),
        TarItem::file("opt/.wh.big", ""),
        TarItem::file("app/main", "changed"),
    ]));
    built(&[("COPY a", top)]).publish(&registry, "team/app", Some("2"));
    let (cli, other) = (Cli::new(), registry.repository("team/app:2"));
    registry.server.forget();
    cli.run(&["diff", &name, &other, "-o", "page.html"]).await.expect(0, "");
    assert_eq!(registry.server.count("/blobs/"), 2, "no layer");
    assert_eq!(data(&read(&cli, "page.html"))["images"], json!([]));
    let output = cli.run(&["diff", "--files", &name, &other, "-o", "page.html"]).await;
    assert_eq!(output.expect(0, "").stdout, "page.html\n");
    let page = read(&cli, "page.html");
    let shown = data(&page);
    let json = cli.json(&["diff", "--json", "--files", &name, &other, "-o", "page.html"]).await;
    let bytes = |key: &str| json["files"][key]["bytes"].as_u64().unwrap();
    let sums = ["added", "changed", "removed"].map(bytes);
    assert_eq!(totals(&shown, 0)[..3], sums, "{json}");
    assert!(sums[0] >= 700 && sums[2] > 50_000, "{sums:?}");
    let limited = cli.run(&["diff", "--files", &name, &other, "opt/new", "-o", "-"]).await;
    assert_eq!(totals(&data(&limited.expect(0, "").stdout), 0)[..3], [700, 0, 0]);
    let same = cli.run(&["diff", "--files", &name, &name, "-o", "-"]).await;
    assert!(same.expect(0, "").stdout.contains("No path differs."));
}

#[tokio::test]
async fn page_is_written_to_pipe_and_its_reader_may_leave() {
    let cli = Cli::new();
    let pipe = cli.dir().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let script = "\"$@\" & cat pipe > read; wait $!";
    let output = cli.spawn_in_shell(script, &["report", "-o", "pipe"]).wait().await;
    assert_eq!(output.expect(0, "").stdout, "pipe\n");
    assert!(read(&cli, "read").starts_with("<!DOCTYPE html>"));
    let script = "\"$@\" & head -c 9 pipe > read; wait $!";
    cli.spawn_in_shell(script, &["report", "-o", "pipe"]).wait().await.expect(0, "");
    assert_eq!(read(&cli, "read"), "<!DOCTYPE");
}
