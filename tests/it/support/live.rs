//! Debian's `docker-registry` as a child process on loopback with its own storage.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certs::Certs;
use super::tokens::TokenServer;

/// Returns whether these programs are installed; if not, prints that the test is skipped.
///
/// # Panics
/// If a program is missing and `RPULL_LIVE=1`, which allows no skipped tests.
pub(crate) fn needs(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed =
        |program: &&&str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let Some(missing) = programs.iter().find(|program| !installed(program)) else {
        return true;
    };
    leave_out(test, &format!("{missing} is not installed"));
    false
}

/// Prints that the test is skipped.
///
/// # Panics
/// If `RPULL_LIVE=1`, which allows no skipped tests.
pub(crate) fn leave_out(test: &str, why: &str) {
    assert!(!is_live(), "{test} cannot be left out: {why}");
    // Not through the test harness, which captures the output of passing tests.
    writeln!(std::io::stderr(), "left out: {test}: {why}").unwrap();
}

/// Returns whether a test may fetch packages from Debian; if not, prints that it is skipped.
pub(crate) fn may_fetch(test: &str) -> bool {
    let live = is_live();
    if !live {
        writeln!(std::io::stderr(), "left out: {test}: fetches packages with RPULL_LIVE=1 only")
            .unwrap();
    }
    live
}

fn is_live() -> bool {
    std::env::var_os("RPULL_LIVE").is_some_and(|value| value == "1")
}

/// Returns whether the tests run as root; if not, prints that the test is skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        writeln!(std::io::stderr(), "left out: {test}: only root can").unwrap();
    }
    root
}

/// Access control of a registry.
pub(crate) enum Access<'a> {
    Open,
    /// `user` with password `pass`, over TLS with the server certificate.
    Htpasswd(&'a Certs),
    Token(&'a TokenServer),
    /// Open, and a pull-through cache of this `host:port`.
    CacheOf(&'a str),
}

/// A running registry; dropping it ends the process and removes its storage.
pub(crate) struct Live {
    child: Child,
    dir: TempDir,
    host: String,
}

/// A line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: u16,
    /// Body bytes sent.
    pub(crate) bytes: u64,
}

impl Live {
    /// Starts a registry and waits until it listens.
    pub(crate) fn start(access: &Access<'_>) -> Self {
        Self::start_with(access, &[])
    }

    /// Starts a registry with variables that override its file.
    pub(crate) fn start_with(access: &Access<'_>, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.yml"), config(dir.path(), access).to_string())
            .unwrap();
        let log = |name| File::create(dir.path().join(name)).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", "config.yml"])
            .envs(variables.iter().copied())
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log("access.log"))
            .stderr(log("error.log"))
            .spawn()
            .unwrap();
        let host = wait_for_address(&mut child, &dir.path().join("error.log"));
        Self { child, dir, host }
    }

    /// Returns `127.0.0.1:port`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Deletes blobs that no manifest needs.
    pub(crate) fn collect_garbage(&self) {
        let collect = ["garbage-collect", "config.yml"];
        let mut command = Command::new("docker-registry");
        let output = command.args(collect).current_dir(&self.dir).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Returns the access log. A request is logged after its response, so the last one may be missing.
    pub(crate) fn access_log(&self) -> Vec<LoggedRequest> {
        let text = std::fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        text.lines().filter_map(parse_access).collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn config(dir: &Path, access: &Access<'_>) -> Value {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": dir.join("data")}, "delete": {"enabled": true}},
        "http": {"addr": "127.0.0.1:0", "secret": "of-this-test"},
    });
    match access {
        Access::Open => {}
        Access::CacheOf(host) => {
            config["proxy"] = json!({"remoteurl": format!("http://{host}")});
        }
        Access::Htpasswd(certs) => {
            let output = Command::new("htpasswd").args(["-Bbn", "user", "pass"]).output().unwrap();
            assert!(output.status.success(), "htpasswd: {output:?}");
            let users = dir.join("htpasswd");
            std::fs::write(&users, output.stdout).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": users}});
            config["http"]["tls"] = json!({
                "certificate": certs.cert(Certs::SERVER), "key": certs.key(Certs::SERVER),
            });
        }
        Access::Token(tokens) => {
            config["auth"] = json!({"token": {
                "realm": tokens.realm(), "rootcertbundle": tokens.bundle(),
                "issuer": TokenServer::ISSUER, "service": TokenServer::SERVICE,
            }});
        }
    }
    config
}

/// Returns the address from the log. The registry chooses its port, so that concurrent tests cannot race for one.
fn wait_for_address(child: &mut Child, log: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if let Some((_, rest)) = text.split_once("listening on ") {
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            if let Some(end) = end {
                return rest[..end].to_owned();
            }
        }
        let over = child.try_wait().unwrap().is_some() || Instant::now() > deadline;
        assert!(!over, "docker-registry does not listen: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Parses `host - user [time] "METHOD target HTTP/1.1" status bytes …`.
fn parse_access(line: &str) -> Option<LoggedRequest> {
    let mut quoted = line.split('"').skip(1);
    let mut request = quoted.next()?.split(' ');
    let mut outcome = quoted.next()?.split_ascii_whitespace();
    Some(LoggedRequest {
        method: request.next()?.to_owned(),
        target: request.next()?.to_owned(),
        status: outcome.next()?.parse().ok()?,
        bytes: outcome.next()?.parse().ok()?,
    })
}
