//! Runs the built command under `strace`: which calls change its store, in which order, and what happens if one of them
//! fails or is the last.

use std::collections::BTreeSet;

use super::cli::{Cli, Output};

/// System calls that change a store or lead to that; `?` marks those that some architectures lack.
const CALLS: &str = "openat,write,pwrite64,ftruncate,fsync,fdatasync,flock,?fchmod,?mkdir,mkdirat,\
                     ?unlink,unlinkat,?rename,?renameat,renameat2";

/// One system call on the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The first path, relative to the store: `/ingest/sha256-…`; empty for the store itself.
    pub(crate) path: String,
    /// The second path of a rename, else empty.
    pub(crate) to: String,
}

/// Runs the command and returns its calls, in order.
pub(crate) async fn trace(cli: &Cli, args: &[&str]) -> (Output, Vec<Call>) {
    let log = cli.dir().join("strace.log");
    let (store, log_text) = (cli.store(), log.to_str().unwrap());
    let trace = format!("trace={CALLS}");
    let strace = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "0", "-o", log_text, "-e", &trace];
    let output = cli.spawn_under(&strace, args).wait().await;
    let text = std::fs::read_to_string(&log).unwrap();
    let calls = text.lines().filter_map(|line| parse(line, store.to_str().unwrap())).collect();
    (output, calls)
}

/// Runs the command and injects a fault into every call of this name with this path: `error=EIO`, `signal=KILL`.
pub(crate) async fn inject(cli: &Cli, call: &str, path: &str, what: &str, args: &[&str]) -> Output {
    let path = format!("{}{path}", cli.store().display());
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{what}");
    let log = cli.dir().join("inject.log");
    // Not with --seccomp-bpf: with several threads it misses some calls.
    let strace = ["strace", "-f", "-o", log.to_str().unwrap()];
    let filter = ["-P", &path, "-e", &trace, "-e", &inject];
    cli.spawn_under(&[&strace[..], &filter].concat(), args).wait().await
}

/// Kills the command at a call, such as `pwrite64`, or at a later one: `pwrite64:when=3`.
pub(crate) async fn kill_at(cli: &Cli, call: &str, path: &str, args: &[&str]) -> Output {
    let (call, when) = call.split_once(':').unwrap_or((call, ""));
    let kill = ["signal=KILL", when].join(":");
    inject(cli, call, path, kill.trim_end_matches(':'), args).await
}

/// Returns each pair of call and path once. Journals are left out, since their names are random.
pub(crate) fn distinct(calls: &[Call]) -> BTreeSet<(String, String)> {
    let aimed = calls.iter().filter(|call| !call.path.starts_with("/unsynced/"));
    aimed.map(|call| (call.name.clone(), call.path.clone())).collect()
}

/// Parses `123 rename("/store/a", "/store/b") = 0` and `123 flock(9</store/a>, LOCK_EX <unfinished ...>`.
fn parse(line: &str, store: &str) -> Option<Call> {
    let (_, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let mut paths = arguments.split(store).skip(1).map(|rest| {
        let end = rest.find(['"', '>', ' ']).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    let path = paths.next()?;
    let to =
        if name.starts_with("rename") { paths.next().unwrap_or_default() } else { String::new() };
    Some(Call { name: name.to_owned(), path, to })
}
