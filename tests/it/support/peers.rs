//! Other engines that unpack the same images, each in its own temporary directories.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::mounted::Mounted;
use super::tree::{Node, nodes};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Clears the mtime of these implicit directories, which each engine chooses differently.
pub(crate) fn without_times_of(mut tree: Vec<Node>, implicit: &[&str]) -> Vec<Node> {
    for node in &mut tree {
        if implicit.contains(&node.path.as_str()) {
            node.mtime = (0, 0);
        }
    }
    tree
}

/// # Panics
/// With the differences between the trees.
#[track_caller]
pub(crate) fn assert_same(own: &[Node], other: &[Node]) {
    let missing = |from: &[Node], of: &[Node]| -> Vec<Node> {
        of.iter().filter(|node| !from.contains(node)).cloned().collect()
    };
    let (only_own, only_other) = (missing(other, own), missing(own, other));
    assert!(only_own.is_empty() && only_other.is_empty(), "{only_own:#?}\n{only_other:#?}");
    assert_eq!(own.len(), other.len());
}

/// Returns the tree that umoci unpacks from an image.
pub(crate) fn unpack_with_umoci(layout: &Path, name: &str, bundle: &Path) -> Vec<Node> {
    let image = format!("{}:{name}", layout.display());
    run(Command::new("umoci").args(["unpack", "--image", &image]).arg(bundle));
    nodes(&bundle.join("rootfs"), &[])
}

/// Returns the tree that podman unpacks from an image.
pub(crate) fn unpack_with_podman(layout: &Path, name: &str) -> Vec<Node> {
    let dir = tempfile::tempdir().unwrap();
    let podman = || {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(dir.path().join("root"));
        podman.arg("--runroot").arg(dir.path().join("run"));
        // The vfs driver copies one directory per layer and needs no kernel features.
        podman.args(["--storage-driver", "vfs"]);
        podman
    };
    // By a name without the path: podman derives a repository from it and allows no capital letters.
    let (folder, file) = (layout.parent().unwrap(), layout.file_name().unwrap().display());
    let pull = ["pull", "--quiet", &format!("oci:{file}:{name}")];
    let image = run(podman().args(pull).current_dir(folder));
    let root = run(podman().args(["image", "mount", &image]));
    nodes(Path::new(&root), &[])
}

/// A running containerd.
pub(crate) struct Containerd {
    process: Child,
    dir: TempDir,
}

impl Containerd {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket"),
        );
        std::fs::write(path("config.toml"), config).unwrap();
        let log = File::create(path("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(path("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let containerd = Self { process, dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !containerd.ctr().arg("version").output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "containerd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        containerd
    }

    fn ctr(&self) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.dir.path().join("socket"));
        ctr
    }

    /// Returns its directory with content, names and snapshots.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Runs a ctr command that must succeed.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        run(self.ctr().args(args))
    }

    /// Imports all images of a layout as `example.com/app:NAME`.
    pub(crate) fn import(&self, layout: &Path, options: &[&str]) {
        let archive = self.dir.path().join("image.tar");
        run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(layout).arg("."));
        let import = ["images", "import", "--base-name", "example.com/app"];
        run(self.ctr().args(import).args(options).arg(&archive));
    }

    /// Converts the layers of an image with stargz-snapshotter's ctr-remote.
    pub(crate) fn convert(&self, option: &str, from: &str, to: &str) {
        let mut ctr = Command::new("ctr-remote");
        ctr.arg("--address").arg(self.dir.path().join("socket"));
        run(ctr.args(["images", "convert", "--oci", option, from, to]));
    }

    /// Returns the digest of a layer's table of contents, or the table, as ctr-remote reads it.
    pub(crate) fn table_of_contents(&self, layer: &str, options: &[&str]) -> String {
        let mut ctr = Command::new("ctr-remote");
        ctr.arg("--address").arg(self.dir.path().join("socket"));
        run(ctr.args(["images", "get-toc-digest"]).args(options).arg(layer))
    }

    /// Returns the tree that containerd unpacks from an image.
    pub(crate) fn tree(&self, layout: &Path, name: &str) -> Vec<Node> {
        self.import(layout, &["--no-unpack"]);
        let point = self.dir.path().join("mounted");
        std::fs::create_dir(&point).unwrap();
        let image = format!("example.com/app:{name}");
        run(self.ctr().args(["images", "mount", &image]).arg(&point));
        let _mounted = Mounted::at(&point);
        nodes(&point, &[])
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.process.kill().is_ok() {
            self.process.wait().unwrap();
        }
    }
}

/// Runs buildah in a directory, on storage of its own there.
pub(crate) fn buildah(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(dir.join("root")).arg("--runroot").arg(dir.join("run"));
    // The vfs driver copies one directory per layer and needs no kernel features.
    command.args(["--storage-driver", "vfs"]).args(args).current_dir(dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "buildah {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
