//! The directory of one layer: its files, its short name, and its recorded metadata.

use std::io;

use rustix::fd::AsFd as _;
use rustix::fs::{AtFlags, Mode, mkdirat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::directory::OverlayDirectory;
use super::files;
use crate::boot::boot_id;
use crate::digest::Digest;
use crate::unpack::root::RootDir;

/// Prefix of directories that are being created or removed. The next run removes leftovers.
const UNFINISHED_PREFIX: &str = ".rpull-";

/// Length of a short name: a hundred of them fit into one page, the limit for mount options.
const SHORT_NAME_LENGTH: usize = 26;

/// Marks the directory of a complete layer.
pub(super) const COMMITTED: &str = "committed";

/// A layer directory that is being created.
pub(super) struct NewLayerDir<'a> {
    directory: &'a OverlayDirectory,
    temporary: String,
    published: bool,
}

/// The recorded metadata of a complete layer.
pub(super) struct LayerMetadata<'a> {
    pub(super) chain: &'a Digest,
    pub(super) diff_id: &'a Digest,
    /// The chain ids of the lower layers, base first.
    pub(super) lower: &'a [Digest],
    /// Bytes of its files.
    pub(super) size: u64,
}

pub(super) fn layer_path(chain: &Digest) -> String {
    format!("overlay2/{}", chain.encoded())
}

fn metadata_path(chain: &Digest) -> String {
    format!("layerdb/{}/{}", chain.algorithm_name(), chain.encoded())
}

/// Returns the short name of a layer, derived from its chain id.
pub(super) fn short_name(chain: &Digest) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digits = chain.encoded().bytes().map(|digit| char::from(digit).to_digit(16).unwrap_or(0));
    let bits: Vec<u32> =
        digits.flat_map(|digit| [3, 2, 1, 0].map(|shift| digit >> shift & 1)).collect();
    let letter = |five: &[u32]| five.iter().fold(0, |value, bit| value << 1 | *bit as usize);
    let letters =
        bits.chunks_exact(5).take(SHORT_NAME_LENGTH).map(|five| LETTERS.get(letter(five)));
    letters.map(|letter| char::from(letter.copied().unwrap_or(b'A'))).collect()
}

impl OverlayDirectory {
    /// Returns the size of a complete layer.
    pub(super) fn size_of(&self, chain: &Digest) -> io::Result<Option<u64>> {
        let committed = format!("{}/{COMMITTED}", layer_path(chain));
        let short = format!("overlay2/l/{}", short_name(chain));
        if ![committed, short].iter().all(|path| files::exists(self.handle(), path.as_bytes())) {
            return Ok(None);
        }
        let size = files::read(self.handle(), format!("{}/size", metadata_path(chain)).as_bytes())?;
        Ok(size.and_then(|text| String::from_utf8(text).ok()?.parse().ok()))
    }

    /// Opens the files of a complete layer.
    pub(super) fn diff_of(&self, chain: &Digest) -> io::Result<RootDir> {
        let diff = self.root().readable(format!("{}/diff", layer_path(chain)).as_bytes())?;
        Ok(RootDir::from_handle(diff))
    }

    /// Returns the layers that have a directory.
    pub(super) fn layers(&self) -> io::Result<Vec<Digest>> {
        let names = files::list(self.handle(), b"overlay2")?;
        let digest = |name: Vec<u8>| {
            let name = String::from_utf8(name).ok()?;
            let algorithm = if name.len() == 128 { "sha512" } else { "sha256" };
            format!("{algorithm}:{name}").parse().ok()
        };
        Ok(names.into_iter().filter_map(digest).collect())
    }

    /// Creates the directory of a layer under a temporary name.
    pub(super) fn begin_layer(&self) -> io::Result<NewLayerDir<'_>> {
        let temporary = format!("overlay2/{UNFINISHED_PREFIX}{:016x}", fastrand::u64(..));
        mkdirat(self.handle(), &temporary, Mode::from_raw_mode(0o710))?;
        let layer = NewLayerDir { directory: self, temporary, published: false };
        mkdirat(self.handle(), format!("{}/diff", layer.temporary), Mode::from_raw_mode(0o755))?;
        Ok(layer)
    }

    /// Removes a layer. The rename comes first: no other process sees a half removed layer.
    pub(super) fn remove_layer(&self, chain: &Digest) -> io::Result<()> {
        let removed = format!("overlay2/{UNFINISHED_PREFIX}{:016x}", fastrand::u64(..));
        files::rename(self.root(), layer_path(chain).as_bytes(), removed.as_bytes())?;
        let short = format!("overlay2/l/{}", short_name(chain));
        for path in [short, metadata_path(chain), removed] {
            files::remove(self.root(), path.as_bytes())?;
        }
        Ok(())
    }

    /// Removes leftovers of killed runs. The caller holds the lock of the directory.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for dir in ["overlay2", "layerdb/sha256", "layerdb/sha512"] {
            for name in files::list(self.handle(), dir.as_bytes())? {
                if name.starts_with(UNFINISHED_PREFIX.as_bytes()) {
                    files::remove(self.root(), &[dir.as_bytes(), b"/", &name].concat())?;
                }
            }
        }
        Ok(())
    }
}

impl NewLayerDir<'_> {
    /// Opens the directory for its files.
    pub(super) fn diff(&self) -> io::Result<RootDir> {
        let diff = self.directory.root().readable(format!("{}/diff", self.temporary).as_bytes())?;
        Ok(RootDir::from_handle(diff))
    }

    /// Publishes the layer. The rename is the last step, so a layer that exists is complete.
    pub(super) fn publish(mut self, metadata: &LayerMetadata<'_>) -> io::Result<()> {
        let root = self.directory.root();
        let (path, short) = (layer_path(metadata.chain), short_name(metadata.chain));
        {
            let dir = root.readable(self.temporary.as_bytes())?;
            files::write(dir.as_fd(), b"link", short.as_bytes())?;
            if !metadata.lower.is_empty() {
                let names =
                    metadata.lower.iter().rev().map(|chain| format!("l/{}", short_name(chain)));
                let lower = names.collect::<Vec<_>>().join(":");
                files::write(dir.as_fd(), b"lower", lower.as_bytes())?;
            }
            files::write(dir.as_fd(), COMMITTED.as_bytes(), boot_id().as_bytes())?;
        }
        self.directory
            .create_short_link(&short, &format!("../{}/diff", metadata.chain.encoded()))?;
        self.directory.write_metadata(metadata)?;
        // An incomplete or unsynced layer may exist.
        files::remove(root, path.as_bytes())?;
        files::rename(root, self.temporary.as_bytes(), path.as_bytes())?;
        self.published = true;
        Ok(())
    }
}

impl Drop for NewLayerDir<'_> {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = files::remove(self.directory.root(), self.temporary.as_bytes())
        {
            tracing::warn!(
                "failed to remove {}: {error}",
                self.directory.path().join(&self.temporary).display()
            );
        }
    }
}

impl OverlayDirectory {
    fn create_short_link(&self, short: &str, target: &str) -> io::Result<()> {
        let links = self.root().directory(b"overlay2/l")?;
        match readlinkat(&links, short, Vec::new()) {
            Ok(found) if found.to_bytes() == target.as_bytes() => return Ok(()),
            Ok(_) => unlinkat(&links, short, AtFlags::empty())?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(symlinkat(target, &links, short)?)
    }

    fn write_metadata(&self, metadata: &LayerMetadata<'_>) -> io::Result<()> {
        let chain = metadata.chain;
        let dir = format!("layerdb/{}", chain.algorithm_name());
        files::create_dir(self.handle(), dir.as_bytes(), 0o755)?;
        let temporary = format!("{dir}/{UNFINISHED_PREFIX}{:016x}", fastrand::u64(..));
        mkdirat(self.handle(), &temporary, Mode::from_raw_mode(0o755))?;
        {
            let entry = self.root().readable(temporary.as_bytes())?;
            let size = metadata.size.to_string();
            for (name, text) in [
                ("diff", Some(metadata.diff_id.as_str())),
                ("parent", metadata.lower.last().map(Digest::as_str)),
                ("size", Some(&size[..])),
                ("cache-id", Some(chain.encoded())),
            ] {
                if let Some(text) = text {
                    files::write(entry.as_fd(), name.as_bytes(), text.as_bytes())?;
                }
            }
        }
        let entry = metadata_path(chain);
        files::remove(self.root(), entry.as_bytes())?;
        files::rename(self.root(), temporary.as_bytes(), entry.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_name_is_base32_of_chain_id() {
        let name = |byte: &str| short_name(&format!("sha256:{}", byte.repeat(32)).parse().unwrap());
        assert_eq!(name("00"), "A".repeat(26));
        assert_eq!(name("ff"), "7".repeat(26));
        assert_eq!(name("f0"), "6DYPB4HQ6DYPB4HQ6DYPB4HQ6D");
    }
}
