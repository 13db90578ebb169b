//! A real Debian image: the trees of other engines, and programs running in it.

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
