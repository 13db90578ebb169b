//! `export`: an image from any location as one tar, complete or absent.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::support::cli::Cli;
use crate::support::entries::{TarItem, layer_of, wrong_layers};
use crate::support::fake_registry::FakeRegistry;
use crate::support::flat::apply;
use crate::support::images::{Family, Image, Layer, image, index, layer, random_blob};
use crate::support::live::{is_root, needs};
use crate::support::terminal::Terminal;
use crate::support::{tars, tree};

/// Two layers of which the upper one hides a file.
fn sample() -> Image {
    let base = layer_of(&[
        TarItem::dir("etc").mtime(5),
        TarItem::file("etc/gone", "gone"),
        TarItem::file("etc/kept", "kept").mode(0o4640).owner(3, 4),
        TarItem::file("big", random_blob(700_000, 1)),
        TarItem::device(b'3', "null", 1, 3),
    ]);
    let upper = layer_of(&[
        TarItem::whiteout("etc/gone"),
        TarItem::file("bin/app", "app").mode(0o755).xattr("trusted.overlay.opaque", "y"),
        TarItem::hardlink("bin/big", "big"),
    ]);
    image(Family::Oci, "amd64", &[base, upper])
}

/// Asserts that neither the tar nor a temporary file exists.
#[track_caller]
fn assert_nothing_left(dir: &Path, file: &str) {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let left: Vec<_> =
        names.filter(|name| name.starts_with(".rpull") || name.ends_with(file)).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn export_from_every_location_gives_same_bytes() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    sample().publish(&registry, "team/app", Some("1"));
    let name = format!("{}:1", registry.repository("team/app"));
    let archive = tars::write_to(&cli, &sample());
    cli.run(&["copy", &archive, "oci:layout"]).await.expect(0, "");
    cli.run(&["copy", &archive, "docker-archive:docker.tar"]).await.expect(0, "");
    let places = [&archive, "oci:layout", "docker-archive:docker.tar", &name];
    for place in places {
        let output = cli.run(&["export", place, "-o", "root.tar"]).await;
        output.expect(0, "exported 2 layers, 3 files, 700.0 kB, ");
        output.expect(
            0,
            "warning: left out the extended attributes of 1 entry (bin/app): only user.* and",
        );
        assert_eq!(output.stdout, "root.tar\n");
        let piped = cli.spawn_in_shell("\"$@\" > piped.tar", &["export", place]).wait().await;
        assert_eq!(piped.expect(0, "exported").stdout, "");
        let found = fs::read(cli.dir().join("root.tar")).unwrap();
        assert!(found == fs::read(cli.dir().join("piped.tar")).unwrap(), "{place}");
        fs::rename(cli.dir().join("root.tar"), cli.dir().join("first.tar")).unwrap();
    }
    // The store has the image now, so no request is sent.
    let before = registry.server.requests().len();
    let words = ["export", "--offline", "--sync", &name, "-o", "again.tar"];
    cli.run(&words).await.expect(0, "");
    assert_eq!(registry.server.requests().len(), before);
    let again = fs::read(cli.dir().join("again.tar")).unwrap();
    assert!(again == fs::read(cli.dir().join("first.tar")).unwrap());
    if is_root("export_from_every_location_gives_same_bytes") {
        cli.run(&["unpack", &name, "root"]).await.expect(0, "");
        fs::create_dir(cli.dir().join("own")).unwrap();
        apply(&cli.dir().join("own"), &[again]).unwrap();
        let [root, own] = ["root", "own"].map(|root| tree::nodes(&cli.dir().join(root), &[]));
        assert_eq!(own, root);
    }
}

#[tokio::test]
async fn export_from_registry_pulls_each_layer_once() {
    let (registry, cli, held) = (FakeRegistry::start().await, Cli::new(), sample());
    held.publish(&registry, "team/app", Some("1"));
    let name = format!("docker://{}:1", registry.repository("team/app"));
    let output = cli.run(&["export", &name, "-o", "root.tar"]).await;
    output.expect(0, "transferred").expect(0, "exported 2 layers");
    for layer in &held.layers {
        assert_eq!(registry.server.count(layer.digest().as_str()), 1);
    }
    assert_eq!(cli.json(&["images", "--json"]).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn export_unprivileged_keeps_owners_and_devices() {
    let test = "export_unprivileged_keeps_owners_and_devices";
    if !is_root(test) || !needs(test, &["setpriv"]) {
        return;
    }
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    cli.run(&["export", &archive, "-o", "root.tar"]).await.expect(0, "");
    fs::set_permissions(cli.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"];
    let words = ["export", &archive, "-o", "user.tar"];
    let output = cli.spawn_under(&user, &words).wait().await;
    output.expect(0, "exported");
    assert!(!output.stderr.contains("owners"), "{}", output.stderr);
    let [root, user] = ["root.tar", "user.tar"].map(|tar| fs::read(cli.dir().join(tar)).unwrap());
    assert!(root == user);
}

#[tokio::test]
async fn export_json_reports_layers_and_totals() {
    let (cli, held) = (Cli::new(), sample());
    let archive = tars::write_to(&cli, &held);
    let told = cli.json(&["export", "--json", &archive, "-o", "root.tar"]).await;
    let number = |key: &str| told[key].as_u64().unwrap();
    // The root, etc, etc/kept, big, null, bin and two in it.
    assert_eq!((number("entries"), number("files"), number("bytes")), (8, 3, 700_007));
    assert_eq!((&told["file"], &told["platform"]), (&json!("root.tar"), &json!("linux/amd64")));
    assert_eq!(told["left_out"][0]["cause"], "foreign_attribute");
    assert_eq!(told["layers"][1]["digest"], json!(held.layers[1].digest()));
    let both = cli.run(&["export", "--json", &archive]).await;
    both.expect(2, "cannot write both the archive and JSON to stdout");
}

#[tokio::test]
async fn export_to_terminal_is_usage_error() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    let terminal = Terminal::open();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rpull"))
        .args(["export", &archive])
        .current_dir(cli.dir())
        .env("RPULL_STORE", cli.store())
        .stdout(Stdio::from(terminal.screen()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("output `-`: refusing to write an archive to the terminal"), "{told}");
}

#[tokio::test]
async fn export_selects_requested_platform() {
    let (registry, cli) = (FakeRegistry::start().await, Cli::new());
    let for_platform = |name| image(Family::Oci, name, &[layer(&[(name, b"x")])]);
    index(Family::Oci, &[("arm64", for_platform("arm64")), ("s390x", for_platform("s390x"))])
        .publish(&registry, "team/app", "1");
    let name = format!("{}:1", registry.repository("team/app"));
    cli.run(&["export", "--platform", "linux/s390x", &name, "-o", "a.tar"]).await.expect(0, "");
    let listed = cli.spawn_in_shell("tar tf a.tar", &[""]).wait().await;
    assert_eq!(listed.stdout, "s390x\n./\n");
    cli.run(&["export", "--platform", "linux/mips", &name, "-o", "b.tar"])
        .await
        .expect(3, "linux/s390x");
    assert_nothing_left(cli.dir(), "b.tar");
}

#[tokio::test]
async fn export_invalid_layer_writes_nothing() {
    let cli = Cli::new();
    fs::create_dir(cli.dir().join("out")).unwrap();
    let good = layer_of(&[TarItem::file("good", random_blob(2 << 20, 1))]);
    let xz = Layer { bytes: b"\xfd7zXZ\0".to_vec().into(), ..good.clone() };
    let more = [(xz, 1, "is compressed with xz")];
    for (bad, code, words) in wrong_layers(&good).into_iter().chain(more) {
        let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[good.clone(), bad]));
        cli.run(&["export", &archive, "-o", "out/a.tar"]).await.expect(code, words);
        assert_nothing_left(&cli.dir().join("out"), "a.tar");
        // Not even a first byte.
        let piped = cli.run(&["export", &archive]).await;
        assert_eq!(piped.expect(code, words).stdout, "");
    }
    // An existing file of that name stays.
    let hostile = layer_of(&[TarItem::file("ok", ""), TarItem::hardlink("bad", "absent")]);
    fs::write(cli.dir().join("out/old"), "old").unwrap();
    let archive = tars::write_to(&cli, &image(Family::Oci, "amd64", &[hostile]));
    cli.run(&["export", &archive, "-o", "out/old"]).await.expect(7, ": bad: ");
    assert_eq!(fs::read_to_string(cli.dir().join("out/old")).unwrap(), "old");
}

#[tokio::test]
async fn export_to_device_or_pipe_writes_in_place() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    cli.run(&["export", &archive, "-o", "wanted.tar"]).await.expect(0, "");
    let wanted = fs::read(cli.dir().join("wanted.tar")).unwrap();
    let null = cli.run(&["export", &archive, "-o", "/dev/null"]).await;
    assert_eq!(null.expect(0, "exported 2 layers").stdout, "/dev/null\n");
    assert!(!fs::metadata("/dev/null").unwrap().is_file(), "it is there still");
    let full = cli.run(&["export", &archive, "-o", "/dev/full"]).await;
    full.expect(7, "error: write the archive: /dev/full: No space left on device");
    for line in [
        "\"$@\" -o /dev/stdout > a.tar",
        "\"$@\" -o /dev/stdout | cat > a.tar",
        "mkfifo pipe; cat pipe > a.tar & \"$@\" -o pipe && wait",
    ] {
        let output = cli.spawn_in_shell(line, &["export", &archive]).wait().await;
        output.expect(0, "exported 2 layers");
        assert!(fs::read(cli.dir().join("a.tar")).unwrap() == wanted, "{line}");
    }
    // The first Ctrl-C ends a run that waits for a reader.
    let waiting =
        cli.spawn_in_shell("exec timeout -s INT 2 \"$@\"", &["export", &archive, "-o", "pipe"]);
    waiting.wait().await.expect(124, "");
}

#[tokio::test]
async fn export_unwritable_output_fails_with_path() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &sample());
    fs::create_dir(cli.dir().join("dir")).unwrap();
    for (path, code, words) in [
        ("dir", 2, "archive: dir: already exists and is not a regular file"),
        ("gone/a.tar", 7, "error: create the archive: gone/a.tar: No such file"),
        ("image.tar/a.tar", 7, "Not a directory"),
    ] {
        cli.run(&["export", &archive, "-o", path]).await.expect(code, words);
    }
    let full = cli.spawn_in_shell("\"$@\" > /dev/full", &["export", &archive]).wait().await;
    full.expect(7, "error: write the archive: stdout: No space left on device");
    full.expect(7, "hint: free disk space there");
}

/// An image large enough that its export is still running when a test acts.
fn long() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("big", &random_blob(40 << 20, 1))])])
}

#[tokio::test]
async fn export_to_closed_pipe_ends_quietly() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &long());
    let line = "{ \"$@\"; echo $? > code; } | head -c 10 > out";
    let output = cli.spawn_in_shell(line, &["-q", "export", &archive]).wait().await;
    assert_eq!((output.code(), output.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(cli.dir().join("code")).unwrap(), "7\n", "as `save` ends");
}

#[tokio::test]
async fn export_to_blocked_pipe_is_interruptible() {
    let cli = Cli::new();
    let archive = tars::write_to(&cli, &long());
    let running = cli.spawn(&["export", &archive]);
    running.wait_for_output().await;
    running.signal(Signal::INT);
    running.wait_unread().await;
}

#[tokio::test]
async fn export_interrupted_leaves_no_file() {
    let test = "export_interrupted_leaves_no_file";
    if !needs(test, &["strace"]) {
        return;
    }
    let cli = Cli::new();
    fs::create_dir(cli.dir().join("out")).unwrap();
    let archive = tars::write_to(&cli, &long());
    // Only the thread that writes the tar makes so many calls.
    let strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=write",
        "-e",
        "inject=write:signal=INT:when=20",
    ];
    let output =
        cli.spawn_under(&strace, &["-q", "export", &archive, "-o", "out/a.tar"]).wait().await;
    output.expect(130, "error: export: interrupted");
    assert_nothing_left(&cli.dir().join("out"), "a.tar");
}
