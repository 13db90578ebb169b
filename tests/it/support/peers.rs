//! Other engines that unpack the same images: each with folders of its own, gone with the value.

use std::fs::File;
use std::path::Path;
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

/// Directories that no layer has an entry for get a time from each client as it likes.
pub(crate) fn without_times_of(mut tree: Vec<Node>, unsaid: &[&str]) -> Vec<Node> {
    for node in &mut tree {
        if unsaid.contains(&node.path.as_str()) {
            node.mtime = (0, 0);
        }
    }
    tree
}

/// # Panics
/// With what the trees do not have in common.
#[track_caller]
pub(crate) fn assert_same(own: &[Node], other: &[Node]) {
    let missing = |from: &[Node], of: &[Node]| -> Vec<Node> {
        of.iter().filter(|node| !from.contains(node)).cloned().collect()
    };
    let (only_own, only_other) = (missing(other, own), missing(own, other));
    assert!(only_own.is_empty() && only_other.is_empty(), "{only_own:#?}\n{only_other:#?}");
    assert_eq!(own.len(), other.len());
}

/// The tree that umoci makes of an image.
pub(crate) fn unpack_with_umoci(layout: &Path, name: &str, bundle: &Path) -> Vec<Node> {
    let image = format!("{}:{name}", layout.display());
    run(Command::new("umoci").args(["unpack", "--image", &image]).arg(bundle));
    nodes(&bundle.join("rootfs"), &[])
}

/// The tree that podman makes of an image.
pub(crate) fn unpack_with_podman(layout: &Path, name: &str) -> Vec<Node> {
    let dir = tempfile::tempdir().unwrap();
    let podman = || {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(dir.path().join("root"));
        podman.arg("--runroot").arg(dir.path().join("run"));
        // One directory for each layer, copied from the one below: it needs nothing of the kernel.
        podman.args(["--storage-driver", "vfs"]);
        podman
    };
    // By a name without the path: it makes a repository of that, and takes no capital letters.
    let (folder, file) = (layout.parent().unwrap(), layout.file_name().unwrap().display());
    let pull = ["pull", "--quiet", &format!("oci:{file}:{name}")];
    let image = run(podman().args(pull).current_dir(folder));
    let root = run(podman().args(["image", "mount", &image]));
    nodes(Path::new(&root), &[])
}

/// A containerd that runs.
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

    /// The tree that it makes of an image.
    pub(crate) fn tree(&self, layout: &Path, name: &str) -> Vec<Node> {
        let archive = self.dir.path().join("image.tar");
        run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(layout).arg("."));
        let import = ["images", "import", "--no-unpack", "--base-name", "example.com/app"];
        run(self.ctr().args(import).arg(&archive));
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
