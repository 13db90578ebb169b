//! Re-hashes blobs, on all cores.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::blobs;
use crate::control::PhaseCounter;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::BUFFER_SIZE;

/// Result of re-hashing one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RehashResult {
    Good {
        size: u64,
    },
    Bad {
        size: u64,
        why: String,
    },
    /// The blob does not exist.
    Absent,
}

/// Returns one result per digest, in order.
///
/// # Errors
/// [`ErrorKind::Interrupted`] where it was cancelled. An unreadable blob is a result, not an error.
pub(super) fn rehash(
    root: &Path,
    digests: &[Digest],
    counter: &PhaseCounter,
) -> Result<Vec<RehashResult>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, RehashResult)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(digest) = digests.get(at) else { return Ok(done) };
            done.push((at, one(root, digest, counter)?));
        }
    };
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(digests.len())).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(panicked()))
        };
        workers.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let mut done: Vec<(usize, RehashResult)> = done.into_iter().flatten().collect();
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, verdict)| verdict).collect())
}

fn one(root: &Path, digest: &Digest, counter: &PhaseCounter) -> Result<RehashResult> {
    let mut file = match blobs::open(root, digest) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RehashResult::Absent),
        Err(error) => return Ok(RehashResult::Bad { size: 0, why: error.chain() }),
    };
    let mut hasher = Hasher::new(digest.algorithm()?);
    let mut piece = vec![0; BUFFER_SIZE];
    let mut size = 0;
    loop {
        let bytes = match file.read(&mut piece) {
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(RehashResult::Bad { size, why: error.to_string() }),
        };
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        size += bytes.len() as u64;
        counter.add(bytes.len() as u64)?;
    }
    let found = hasher.finish();
    if found == *digest {
        return Ok(RehashResult::Good { size });
    }
    Ok(RehashResult::Bad { size, why: format!("digest mismatch: got {found} ({size} bytes)") })
}

fn panicked() -> Error {
    Error::new(ErrorKind::Interrupted, "check").with_reason("interrupted")
}
