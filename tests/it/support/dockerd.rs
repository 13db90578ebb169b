//! Debian's dockerd as a child process, with directories and a socket of its own and no network.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::mounted::Mounted;

/// Type of an overlay file system, on which there can be no other.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// A running dockerd with the graph driver overlay2; dropping it ends the process and removes its files.
pub(crate) struct Dockerd {
    process: Child,
    _root: Option<Mounted>,
    dir: TempDir,
}

impl Dockerd {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with further options, and without a way to Docker Hub.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let on_overlay = rustix::fs::statfs(&root).unwrap().f_type == OVERLAYFS_MAGIC;
        let mounted = on_overlay.then(|| Mounted::by("mount -t tmpfs tmpfs /mnt", &root));
        let log = File::create(dir.path().join("log")).unwrap();
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(&root)
            .arg("--exec-root")
            .arg(dir.path().join("exec"))
            .arg("--pidfile")
            .arg(dir.path().join("pid"))
            .args(["--host", &host(dir.path())])
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ])
            .args(["--bridge=none", "--storage-driver=overlay2"])
            .args(options)
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut dockerd = Self { process, _root: mounted, dir };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !dockerd.docker().arg("version").output().unwrap().status.success() {
            let over = dockerd.process.try_wait().unwrap().is_some() || Instant::now() > deadline;
            let log = std::fs::read_to_string(dockerd.dir.path().join("log")).unwrap();
            assert!(!over, "dockerd does not listen: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        dockerd
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The value of `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        host(self.dir.path())
    }

    fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        // The classic builder, which needs no plugin.
        docker.env("DOCKER_HOST", self.host()).env("DOCKER_BUILDKIT", "0");
        docker
    }

    /// Runs a docker command that must succeed, and returns its output.
    pub(crate) fn run(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.docker().args(args).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn host(dir: &Path) -> String {
    format!("unix://{}", dir.join("docker.sock").display())
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Not by force: its containerd would go on.
        let pid = self.process.id().try_into().ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
            self.process.wait().unwrap();
        }
    }
}
