//! Re-hashes blobs, on all cores.

use std::io::{self, Read as _};
use std::path::Path;

use super::blobs;
use super::parallel::on_all_cores;
use crate::control::PhaseCounter;
use crate::digest::{Digest, Hasher};
use crate::error::{ErrorKind, Result};
use crate::limits::BUFFER_SIZE;

/// Result of re-hashing one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RehashResult {
    Good {
        size: u64,
    },
    Bad {
        size: u64,
        reason: String,
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
    on_all_cores(digests, |digest| rehash_one(root, digest, counter))
}

fn rehash_one(root: &Path, digest: &Digest, counter: &PhaseCounter) -> Result<RehashResult> {
    let mut file = match blobs::open(root, digest) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RehashResult::Absent),
        Err(error) => return Ok(RehashResult::Bad { size: 0, reason: error.chain() }),
    };
    let mut hasher = Hasher::new(digest.algorithm()?);
    let mut buffer = vec![0; BUFFER_SIZE];
    let mut size = 0;
    loop {
        let bytes = match file.read(&mut buffer) {
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(RehashResult::Bad { size, reason: error.to_string() }),
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
    Ok(RehashResult::Bad { size, reason: format!("digest mismatch: got {found} ({size} bytes)") })
}
