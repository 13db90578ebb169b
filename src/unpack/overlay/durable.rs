//! Tracks which layers a power failure may have damaged. Layers are published without waiting for the disk; their file
//! `committed` has the boot id of their creation, or states that they are synced.

use std::io;
use std::path::Path;

use rustix::fd::AsFd as _;
use rustix::fs::syncfs;

use super::directory::OverlayDirectory;
use super::files;
use super::layer_dir::{COMMITTED, layer_path};
use crate::atomic_file::{self, Fsync};
use crate::boot::boot_id;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};

/// Content of `committed` for a synced layer.
const SYNCED: &str = "on disk";

/// Whether a complete layer can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Synced,
    /// Created since the last boot.
    SameBoot,
    /// The machine was restarted since then: files may be empty or full of zeros.
    Unsynced,
}

impl OverlayDirectory {
    /// Returns the size of a complete and trusted layer; `None` if it must be unpacked again.
    ///
    /// # Errors
    /// If it must be unpacked again and is mounted.
    pub(super) fn trusted_size(&self, chain: &Digest) -> io::Result<Option<u64>> {
        let size = self.size_of(chain)?;
        if size.is_none() || self.durability(chain)? != Durability::Unsynced {
            return Ok(size);
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if Self::is_mounted(&mounts, chain) {
            let reason = format!(
                "layer {} may be incomplete after the last shutdown and is mounted",
                chain.encoded()
            );
            let error = Error::new(ErrorKind::Unpack, "overlay").with_reason(reason);
            return Err(io::Error::other(error.with_hint("unmount it and run the command again")));
        }
        Ok(None)
    }

    fn durability(&self, chain: &Digest) -> io::Result<Durability> {
        let path = format!("{}/{COMMITTED}", layer_path(chain));
        let content = files::read(self.handle(), path.as_bytes())?.unwrap_or_default();
        Ok(match content {
            content if content == SYNCED.as_bytes() => Durability::Synced,
            content if content == boot_id().as_bytes() => Durability::SameBoot,
            _ => Durability::Unsynced,
        })
    }

    /// Syncs these layers to disk and records it.
    pub(super) fn make_durable(&self, chains: &[Digest]) -> io::Result<()> {
        let root = self.root().as_fd();
        syncfs(root)?;
        for chain in chains {
            if self.durability(chain)? == Durability::Synced {
                continue;
            }
            let layer = self.root().readable(layer_path(chain).as_bytes())?;
            let committed = Path::new(COMMITTED);
            // The second sync is for all of them.
            atomic_file::replace(layer.as_fd(), committed, SYNCED.as_bytes(), Fsync::None)?;
        }
        Ok(syncfs(root)?)
    }
}
