//! A Slurm cluster of this machine alone: munged, slurmctld and slurmd with their own files, on loopback.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::images::random_blob;
use super::wait::wait_until;

/// The programs of a cluster.
pub(crate) const SLURM: &[&str] = &["munged", "slurmctld", "slurmd", "sbatch", "sinfo"];

/// A running cluster of one node; dropping it ends it.
pub(crate) struct Slurm {
    /// The daemon that all others need comes last.
    daemons: Vec<Child>,
    dir: TempDir,
}

impl Slurm {
    /// Starts the daemons and waits until the node accepts jobs.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        for name in ["munge", "state", "spool"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let key = path.join("munge/key");
        std::fs::write(&key, random_blob(128, 1)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(path.join("slurm.conf"), config(path)).unwrap();

        let file = |option: &str, name: &str| format!("--{option}={}", path.join(name).display());
        let munge = [
            "--foreground".to_owned(),
            // The directory is private.
            "--force".to_owned(),
            file("key-file", "munge/key"),
            file("socket", "munge.socket"),
            file("pid-file", "munge/pid"),
            file("log-file", "munge/log"),
            file("seed-file", "munge/seed"),
        ];
        let mut cluster = Self { daemons: Vec::new(), dir };
        cluster.start_daemon("munged", &munge.each_ref().map(String::as_str));
        wait_until("munged listens", async || cluster.path("munge.socket").exists()).await;
        let conf = cluster.path("slurm.conf");
        for daemon in ["slurmctld", "slurmd"] {
            cluster.start_daemon(daemon, &["-D", "-f", conf.to_str().unwrap()]);
        }
        wait_until("the node accepts jobs", async || {
            let output = cluster.command("sinfo").args(["-h", "-o", "%T"]).output().unwrap();
            output.stdout.starts_with(b"idle")
        })
        .await;
        cluster
    }

    /// A command of Slurm for this cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.path("slurm.conf"));
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start_daemon(&mut self, program: &str, options: &[&str]) {
        let log = || File::create(self.path(&format!("{program}.log"))).unwrap();
        let mut command = self.command(program);
        command.args(options).stdin(Stdio::null()).stdout(log()).stderr(log());
        self.daemons.insert(0, command.spawn().unwrap());
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let id = Pid::from_child(daemon);
            kill_process(id, Signal::TERM).unwrap();
            daemon.wait().unwrap();
        }
    }
}

fn config(dir: &Path) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    // Both stay bound until both are known, so that they differ.
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [controller, node] = ports.map(|bound| bound.local_addr().unwrap().port());
    let cpus = std::thread::available_parallelism().unwrap();
    let dir = dir.display();
    format!(
        "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={dir}/munge.socket
SlurmUser=root
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus}
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:4
"
    )
}
