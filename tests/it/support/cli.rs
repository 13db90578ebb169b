//! Runs the built `rpull` in an isolated environment.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::wait::wait_until;

/// Longest run time of a command.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for the end after a signal. Shorter than the 30 s for which a command waits for a silent registry, and
/// much more than ending takes.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// An empty home directory, store and environment for commands.
pub(crate) struct Cli {
    dir: TempDir,
    env: Vec<(String, String)>,
    /// Program and arguments that the command runs under.
    under: &'static [&'static str],
}

/// Output and exit status of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    status: ExitStatus,
}

/// A running command.
pub(crate) struct Running {
    child: Child,
    store: PathBuf,
}

impl Cli {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home", "tmp", "run"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, env: Vec::new(), under: &[] }
    }

    /// Sets an environment variable for later commands.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Makes commands obey file modes even when the tests run as root, by means of `setpriv`.
    pub(crate) fn without_privileges(mut self) -> Self {
        if rustix::process::getuid().is_root() {
            self.under = &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
        }
        self
    }

    /// Returns the working directory of commands; home and store lie in it.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// Returns `RPULL_STORE`; the first command that needs it creates it.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir().join("store")
    }

    /// Runs a command and waits for its end.
    pub(crate) async fn run(&self, args: &[impl AsRef<OsStr>]) -> Output {
        self.spawn(args).wait().await
    }

    /// Runs a command with this standard input.
    pub(crate) async fn run_on(&self, input: &str, args: &[impl AsRef<OsStr>]) -> Output {
        let path = self.dir().join("tmp/input");
        std::fs::write(&path, input).unwrap();
        self.spawn_on(std::fs::File::open(&path).unwrap(), args).wait().await
    }

    /// Runs a command that must succeed and parses its standard output as JSON.
    pub(crate) async fn json(&self, args: &[impl AsRef<OsStr>]) -> Value {
        let output = self.run(args).await;
        assert_eq!(output.code(), Some(0), "{}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// Runs a command that must succeed and prints a list with one JSON value, which it returns.
    pub(crate) async fn report(&self, args: &[impl AsRef<OsStr>]) -> Value {
        only(self.json(args).await)
    }

    /// Starts a command; dropping the value kills it.
    pub(crate) fn spawn(&self, args: &[impl AsRef<OsStr>]) -> Running {
        self.spawn_under(&[], args)
    }

    /// Starts a command under another program, for example `strace -f`.
    pub(crate) fn spawn_under(&self, program: &[&str], args: &[impl AsRef<OsStr>]) -> Running {
        self.spawn_with(Stdio::null(), program, args)
    }

    /// Starts a command with this standard input.
    pub(crate) fn spawn_on(&self, stdin: impl Into<Stdio>, args: &[impl AsRef<OsStr>]) -> Running {
        self.spawn_with(stdin.into(), &[], args)
    }

    fn spawn_with(&self, stdin: Stdio, program: &[&str], args: &[impl AsRef<OsStr>]) -> Running {
        let words =
            [default_signals(), program, self.under, &[env!("CARGO_BIN_EXE_rpull")]].concat();
        let home = self.home();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(args)
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("TMPDIR", self.dir().join("tmp"))
            .env("XDG_RUNTIME_DIR", self.dir().join("run"))
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("RPULL_STORE", self.store())
            // Instead of the mirrors that this machine is configured for.
            .env("CONTAINERS_REGISTRIES_CONF", "/dev/null")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Running { child, store: self.store() }
    }

    /// Starts a command by a line of shell in which `"$@"` is the command.
    pub(crate) fn spawn_in_shell(&self, line: &str, args: &[impl AsRef<OsStr>]) -> Running {
        self.spawn_under(&["sh", "-c", line, "sh"], args)
    }
}

/// Returns the value of a list of one.
#[track_caller]
fn only(list: Value) -> Value {
    let Value::Array(values) = list else { panic!("not a list: {list}") };
    <[Value; 1]>::try_from(values).map_or_else(|all| panic!("{all:?}"), |[one]| one)
}

/// Returns the prefix that restores default signals if the tests run with signals ignored, for example as a background
/// job of a script: children inherit ignored signals.
fn default_signals() -> &'static [&'static str] {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        [Signal::INT, Signal::TERM].iter().any(|signal| mask >> (signal.as_raw() - 1) & 1 == 1)
    });
    if *IGNORED { &["env", "--default-signal=INT,TERM"] } else { &[] }
}

impl Output {
    /// # Panics
    /// If the exit code differs or standard error does not contain the text.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, part_of_stderr: &str) -> &Self {
        assert_eq!(self.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(part_of_stderr), "no `{part_of_stderr}` in: {}", self.stderr);
        self
    }

    /// Returns the only value of the JSON list on standard output.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        only(serde_json::from_str(&self.stdout).unwrap())
    }

    /// Returns the exit code; `None` if a signal ended the command.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns the signal that ended the command.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

impl Running {
    /// Returns the process id; that of the outer program with [`Cli::spawn_under`].
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Reads the next line of its standard output.
    pub(crate) async fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut line = Vec::new();
        while let Ok(byte) = stdout.read_u8().await
            && byte != b'\n'
        {
            line.push(byte);
        }
        String::from_utf8(line).unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.id().try_into().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits until `count` partials in the store's `ingest/` have at least `bytes` bytes.
    pub(crate) async fn wait_for_partials(&self, count: usize, bytes: u64) {
        let grown = |entry: &std::io::Result<std::fs::DirEntry>| {
            let found = entry.as_ref().ok().and_then(|entry| entry.metadata().ok());
            found.is_some_and(|found| found.len() >= bytes)
        };
        wait_until(&format!("no {count} partials reached {bytes} bytes"), async || {
            let entries = std::fs::read_dir(self.store.join("ingest")).into_iter().flatten();
            entries.filter(grown).count() >= count
        })
        .await;
    }

    /// Waits until its standard output, which is not read, has bytes.
    pub(crate) async fn wait_for_output(&self) {
        let stdout = self.child.stdout.as_ref().unwrap();
        let is_written = async || rustix::io::ioctl_fionread(stdout).unwrap() > 0;
        wait_until("the command writes nothing", is_written).await;
    }

    /// Waits until its standard error, which is not read, has this many bytes.
    pub(crate) async fn wait_for_messages(&self, bytes: u64) {
        let stderr = self.child.stderr.as_ref().unwrap();
        let is_written = async || rustix::io::ioctl_fionread(stderr).unwrap() >= bytes;
        wait_until("the command says nothing more", is_written).await;
    }

    /// Waits for the end of a command that is blocked on its unread standard output.
    pub(crate) async fn wait_unread(&self) {
        wait_until("the command does not end", async || self.state() == Some('Z')).await;
    }

    /// Returns the process state of `/proc/PID/stat`: `T` while stopped, `Z` once it has ended.
    pub(crate) fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Returns the open files and directories of its process. A process that waits for a lock has its file open.
    pub(crate) fn open_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id())).into_iter().flatten();
        files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()).collect()
    }

    /// Sends a signal and waits for the end.
    ///
    /// # Panics
    /// After [`STOP_TIMEOUT`].
    pub(crate) async fn stop(self, signal: Signal) -> Output {
        self.signal(signal);
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.wait()).await;
        ended.expect("the command does not obey the signal")
    }

    /// Waits for the end.
    pub(crate) async fn wait(self) -> Output {
        let output = tokio::time::timeout(TIMEOUT, self.child.wait_with_output())
            .await
            .expect("the command does not end")
            .unwrap();
        Output {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status,
        }
    }
}
