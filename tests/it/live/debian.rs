//! A real Debian image: the trees of other engines, and programs running in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::cli::Cli;
use crate::support::debian::Debian;
use crate::support::live::{Access, Live, needs};
use crate::support::mounted::{Mounted, can_mount};
use crate::support::peers::{Containerd, assert_same, unpack_with_podman, without_times_of};
use crate::support::tree::{Node, nodes};

/// No layer has an entry for the root, and each engine chooses its mtime.
fn tree(root: &Path) -> Vec<Node> {
    without_times_of(nodes(root, &[]), &[""])
}

fn unpack_with_umoci(debian: &Debian) -> Vec<Node> {
    without_times_of(debian.tree.clone(), &[""])
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// If a layer has no entry for a directory from which it removes something, these engines leave the time of the
/// removal.
fn without_times_since(began: i64, mut other: Vec<Node>, own: &[Node]) -> Vec<Node> {
    let mut touched = 0;
    for node in other.iter_mut().filter(|node| node.mtime.0 >= began) {
        assert_eq!(node.mode & 0o170_000, 0o40000, "{node:?}");
        node.mtime = own.iter().find(|own| own.path == node.path).unwrap().mtime;
        touched += 1;
    }
    assert!(touched < 20, "{touched}");
    without_times_of(other, &[""])
}

fn place(debian: &Debian) -> String {
    format!("oci:{}:top", debian.layout().display())
}

/// Returns the output of a program run in the root.
fn said(root: &Path, command: &[&str]) -> String {
    let output = Command::new("chroot").arg(root).args(command).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_is_debian(root: &Path) {
    assert!(said(root, &["dpkg", "--version"]).starts_with("Debian 'dpkg' package management"));
    let list = said(root, &["sh", "-c", "test -n \"$BASH\" && dpkg -l libcap2-bin | tail -n 1"]);
    assert!(list.starts_with("ii  libcap2-bin "), "{list}");
    assert!(
        said(
            root,
            &["setcap", "-v", "cap_net_raw,cap_net_bind_service=ep", "/usr/local/bin/listen"]
        )
        .ends_with("OK\n")
    );
    assert_eq!(
        said(
            root,
            &["sh", "-c", "ls /usr/bin/perl /etc/skel /etc/shells 2>&1 | grep -c 'No such'"]
        ),
        "3\n"
    );
}

#[tokio::test]
async fn debian_unpack_equals_umoci_and_podman_tree() {
    let test = "debian_unpack_equals_umoci_and_podman_tree";
    let Some(debian) = Debian::get(test) else { return };
    if !needs(test, &["podman"]) {
        return;
    }
    let cli = Cli::new();
    cli.run(&["unpack", &place(debian), "root"]).await.expect(0, "unpacked 4 layers");
    let root = cli.dir().join("root");
    assert_is_debian(&root);
    let own = tree(&root);
    assert!(own.len() > 2000);
    assert_same(&own, &unpack_with_umoci(debian));
    let began = now();
    let other = without_times_since(began, unpack_with_podman(&debian.layout(), "top"), &own);
    assert_same(&own, &other);
}

#[tokio::test]
async fn debian_unpack_equals_containerd_tree() {
    let test = "debian_unpack_equals_containerd_tree";
    let Some(debian) = Debian::get(test) else { return };
    if !needs(test, &["containerd", "ctr"]) || !can_mount(test) {
        return;
    }
    let cli = Cli::new();
    // It does not support hard links into lower layers, which the topmost layer has.
    let place = place(debian).replace(":top", ":installed");
    cli.run(&["unpack", &place, "root"]).await.expect(0, "unpacked 3 layers");
    let (began, own) = (now(), tree(&cli.dir().join("root")));
    let other = Containerd::start().tree(&debian.layout(), "installed");
    assert_same(&own, &without_times_since(began, other, &own));
}

#[tokio::test]
async fn debian_mounted_overlay_runs_programs() {
    let test = "debian_mounted_overlay_runs_programs";
    let Some(debian) = Debian::get(test) else { return };
    if !can_mount(test) {
        return;
    }
    let (cli, place) = (Cli::new(), place(debian));
    let base = place.replace(":top", ":base");
    cli.run(&["unpack", "--overlay", &base, "layers"]).await.expect(0, "unpacked 1 of 1 layer, ");
    let point = cli.dir().join("root");
    std::fs::create_dir(&point).unwrap();
    let args = ["unpack", "--overlay", &place, "layers", "--mount", "root"];
    cli.run(&args).await.expect(0, "unpacked 3 of 4 layers");
    let mounted = Mounted::at(&point);
    assert_is_debian(&point);
    // A hard link into a lower layer is a copy of the file.
    let without_links = |mut tree: Vec<Node>| {
        for node in &mut tree {
            node.same_as.clear();
        }
        tree
    };
    assert_same(&without_links(tree(&point)), &without_links(unpack_with_umoci(debian)));
    drop(mounted);
}

#[tokio::test]
async fn debian_pull_unpack_runs_in_chroot() {
    let test = "debian_pull_unpack_runs_in_chroot";
    let Some(debian) = Debian::get(test) else { return };
    if !needs(test, &["docker-registry", "skopeo"]) {
        return;
    }
    let registry = Live::start(&Access::Open);
    let name = format!("{}/debian:top", registry.host());
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
        .args([place(debian), format!("docker://{name}")])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let cli = Cli::new();
    cli.run(&["pull", "--unpack", "root", &name]).await.expect(0, "unpacked 4 layers");
    let root = cli.dir().join("root");
    assert_is_debian(&root);
    assert_same(&tree(&root), &unpack_with_umoci(debian));
}

/// What GNU tar lists of an archive: mode, owner, size and path of each entry, and the target of a link.
fn listed_by_gnu_tar(archive: &Path) -> BTreeSet<String> {
    let output = Command::new("tar")
        .args(["--numeric-owner", "--quoting-style=literal", "-tvzf"])
        .arg(archive)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap().to_owned();
        let (mode, owner, size) = (next(), next().replace('/', ":"), next());
        // Date and time are before the name.
        let start = line.find(&format!(" {} ", words.nth(1).unwrap())).unwrap() + 7;
        let name = &line[start..];
        let hard = name.split_once(" link to ").filter(|_| mode.starts_with('h'));
        let hard = hard.map(|(name, other)| (name, other.trim_start_matches("./")));
        let (name, link) = hard.or_else(|| name.split_once(" -> ")).unwrap_or((name, ""));
        let name = name.trim_start_matches("./").trim_end_matches('/');
        let size = if mode.starts_with('-') { &*size } else { "-" };
        format!("{} {owner} {size} /{name} {link}", &mode[1..])
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

#[tokio::test]
async fn files_of_debian_layer_equal_list_of_gnu_tar() {
    let test = "files_of_debian_layer_equal_list_of_gnu_tar";
    let Some(debian) = Debian::get(test).filter(|_| needs(test, &["tar"])) else { return };
    let (cli, place) = (Cli::new(), place(debian));
    let layers = cli.json(&["layers", "--json", &place]).await;
    let digest = layers[0]["digest"].as_str().unwrap().replace(':', "/");
    let listed = listed_by_gnu_tar(&debian.layout().join("blobs").join(digest));
    assert!(listed.len() > 1000, "{}", listed.len());
    let output = cli.run(&["files", "--layer", "0", "--json", &place]).await;
    let found: BTreeSet<String> = output.expect(0, "").stdout.lines().map(listed_line).collect();
    let [missing, more]: [Vec<_>; 2] =
        [listed.difference(&found).collect(), found.difference(&listed).collect()];
    assert!(missing.is_empty() && more.is_empty(), "{missing:?} {more:?}");
}

/// A line of `files --json` in the form of [`listed_by_gnu_tar`].
fn listed_line(line: &str) -> String {
    let file: serde_json::Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
    let mode = u32::from_str_radix(&text("mode"), 8).unwrap();
    let letters = (0..9).rev().map(|bit| match (mode >> bit & 1, bit % 3) {
        (0, _) => '-',
        (_, 2) => 'r',
        (_, 1) => 'w',
        _ => 'x',
    });
    let mut letters: Vec<char> = letters.collect();
    for (bit, at, special) in [(11, 2, 's'), (10, 5, 's'), (9, 8, 't')] {
        if mode >> bit & 1 == 1 {
            letters[at] = if letters[at] == 'x' { special } else { special.to_ascii_uppercase() };
        }
    }
    let permissions: String = letters.into_iter().collect();
    let hardlink = text("hardlink");
    let is_file = text("type") == "file" && hardlink.is_empty();
    let size = if is_file { file["size"].to_string() } else { "-".to_owned() };
    let target = if hardlink.is_empty() { text("link") } else { hardlink[1..].to_owned() };
    format!("{permissions} {}:{} {size} {} {target}", file["uid"], file["gid"], text("path"))
}
