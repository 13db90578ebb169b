//! Starts the async runtime. If limits (`ulimit`, a cgroup) leave too few threads, descriptors or memory, starting
//! fails with an error; later, libraries would panic.

use std::io;
use std::num::NonZero;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Resource, getrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// Maximum threads that run tasks.
const MAX_WORKERS: usize = 8;

/// Threads for blocking work: opening the store, hashing, decompressing.
const BLOCKING_THREADS: usize = 8;

/// Files and sockets that the smallest command keeps open.
const MIN_DESCRIPTORS: usize = 16;

/// Bytes of memory that the smallest command needs.
const MIN_MEMORY_BYTES: usize = 32 << 20;

/// glibc's variable for the number of malloc arenas. Each reserves 64 MiB of address space per thread.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts a runtime.
///
/// # Errors
/// [`ErrorKind::Store`] where a limit of the process is too small for any command.
pub(super) fn runtime() -> Result<Runtime> {
    share_one_arena();
    let workers = thread::available_parallelism().map_or(2, NonZero::get).min(MAX_WORKERS);
    check_descriptors(MIN_DESCRIPTORS)?;
    let startable = startable_threads(workers + BLOCKING_THREADS)?;
    Builder::new_multi_thread()
        .worker_threads(workers.min(startable - BLOCKING_THREADS))
        .enable_all()
        .build()
        .map_err(start_failed)
}

/// Restarts the program with one malloc arena if its address space is limited (`ulimit -v`). The arenas of a few
/// threads would exhaust it, and a failed allocation aborts the process. glibc reads the variable only at start.
fn share_one_arena() {
    if getrlimit(Resource::As).current.is_none() || std::env::var_os(ARENAS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "rpull".into());
    let failed = Command::new("/proc/self/exe").arg0(name).args(arguments).env(ARENAS, "1").exec();
    tracing::debug!("failed to restart: {failed}");
}

/// # Errors
/// [`ErrorKind::Store`] if `count` files cannot be open at the same time.
pub(super) fn check_descriptors(count: usize) -> Result<()> {
    // Sockets, because an empty root directory has no files to open. A pair has two descriptors.
    let pairs = (0..count.div_ceil(2)).map(|_| UnixStream::pair());
    pairs.collect::<io::Result<Vec<_>>>().map(drop).map_err(start_failed)
}

/// Returns how many of `count` threads can be started; at least [`BLOCKING_THREADS`] + 1.
fn startable_threads(count: usize) -> Result<usize> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let mut threads = Vec::new();
    let mut failure = None;
    while threads.len() < count && failure.is_none() {
        let gate = Arc::clone(&gate);
        let wait = move || drop(gate.lock());
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => failure = Some(start_failed(error)),
        }
    }
    let memory = Vec::<u8>::new().try_reserve_exact(MIN_MEMORY_BYTES);
    drop(closed);
    let started = threads.len();
    for thread in threads {
        drop(thread.join());
    }
    memory.map_err(|_| start_failed(io::ErrorKind::OutOfMemory.into()))?;
    match failure {
        Some(error) if started <= BLOCKING_THREADS => Err(error),
        _ => Ok(started),
    }
}

fn start_failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Store, "start")
        .with_reason("resource limits are too low")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_starts_within_default_thread_limit() {
        assert_eq!(startable_threads(BLOCKING_THREADS + 2).unwrap(), BLOCKING_THREADS + 2);
        assert_eq!(runtime().unwrap().block_on(async { 1 }), 1);
    }
}
