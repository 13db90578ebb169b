//! What earlier runs have copied. It saves requests; without it, or with a wrong one, there are more of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::image::{Copied, MirrorImage, Pending, Status};
use crate::atomic_file::{AtomicFile, Fsync};
use crate::cli::args::{Mirror, Shard};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::{ImageResult, PlatformSelection};
use crate::user_dir::user_dir;

/// The version of the file's format.
const VERSION: u32 = 1;

/// Creation times in RFC 3339 by digest; `None` for images without one.
pub(super) type CreationTimes = BTreeMap<Digest, Option<String>>;

/// What was copied, by name at the target.
#[derive(Debug)]
pub(super) struct MirrorState {
    /// `None` if nothing is remembered.
    path: Option<PathBuf>,
    file: StateFile,
    has_changed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct StateFile {
    version: u32,
    images: BTreeMap<String, Record>,
    /// When images of entries with a rule for that were created, by digest at the source.
    #[serde(default, skip_serializing_if = "CreationTimes::is_empty")]
    created: CreationTimes,
    /// Between which digests at the target deltas were made or do not pay, by the name of the newer image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    deltas: BTreeMap<String, DeltaRecord>,
}

impl Default for StateFile {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            created: CreationTimes::new(),
            deltas: BTreeMap::new(),
        }
    }
}

/// One copied image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    source: String,
    /// Digest of the name at the source.
    resolved: Digest,
    /// Digest of the name at the target.
    digest: Digest,
    platforms: String,
}

/// Deltas that need not be checked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeltaRecord {
    from: Digest,
    to: Digest,
}

impl MirrorState {
    /// Reads the file of the arguments, or that of the mirror file in the user's state directory. What cannot be read is a
    /// warning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the state would replace the mirror file.
    pub(super) fn open(args: &Mirror) -> Result<Self> {
        check_path(args)?;
        let path = args.state.clone().or_else(|| default_path(args.file.as_deref()?, args.shard));
        let file = path.as_deref().and_then(read).unwrap_or_default();
        Ok(Self { path, file, has_changed: false })
    }

    /// What was copied for this image, if it was copied in the same way.
    pub(super) fn copied(&self, image: &Pending) -> Option<Copied> {
        let record = self.file.images.get(&image.request.reference)?;
        let is_same = record.source == image.source
            && record.platforms == platforms(&image.request.platforms);
        let Record { resolved, digest, .. } = record.clone();
        is_same.then_some(Copied { resolved, digest })
    }

    /// Remembers what has been copied, or has not changed.
    pub(super) fn record(&mut self, images: &[MirrorImage], results: &[ImageResult]) {
        let mut results = results.iter();
        for image in images {
            match &image.status {
                Status::Unchanged(pending, copied) => self.insert(pending, copied.clone()),
                Status::Pending(pending) => {
                    let Some(result) = results.next() else { continue };
                    let summary = &result.report.summary;
                    if let (None, Some(resolved), Some(digest)) =
                        (result.first_error(), &summary.resolved, &summary.digest)
                    {
                        let (resolved, digest) = (resolved.clone(), digest.clone());
                        self.insert(pending, Copied { resolved, digest });
                    }
                }
                Status::Failed(_) => {}
            }
        }
    }

    /// Creation times that are known.
    pub(super) fn creation_times(&self) -> &CreationTimes {
        &self.file.created
    }

    /// Remembers creation times instead of the former ones.
    pub(super) fn set_created(&mut self, created: CreationTimes) {
        self.has_changed |= self.file.created != created;
        self.file.created = created;
    }

    /// Forgets an image that was deleted.
    pub(super) fn forget(&mut self, name: &str) {
        self.has_changed |= self.file.images.remove(name).is_some();
        self.has_changed |= self.file.deltas.remove(name).is_some();
    }

    /// Whether an earlier run has made the deltas of this image, or found that none pays.
    pub(super) fn has_deltas(&self, name: &str, from: &Digest, to: &Digest) -> bool {
        let record = self.file.deltas.get(name);
        record.is_some_and(|record| record.from == *from && record.to == *to)
    }

    /// Records that the deltas between these digests are made or do not pay.
    pub(super) fn record_deltas(&mut self, name: &str, from: Digest, to: Digest) {
        self.file.deltas.insert(name.to_owned(), DeltaRecord { from, to });
        self.has_changed = true;
    }

    fn insert(&mut self, image: &Pending, copied: Copied) {
        let Copied { resolved, digest } = copied;
        let platforms = platforms(&image.request.platforms);
        let record = Record { source: image.source.clone(), resolved, digest, platforms };
        let name = image.request.reference.clone();
        let former = self.file.images.insert(name, record.clone());
        self.has_changed |= former.as_ref() != Some(&record);
    }

    /// Writes the file, if anything has changed. A failure is a warning.
    pub(super) fn save(&self) {
        let Some(path) = self.path.as_deref().filter(|_| self.has_changed) else { return };
        if let Err(error) = write(path, &self.file) {
            tracing::warn!("the state is not saved: {}: {error}", path.display());
        }
    }
}

fn check_path(args: &Mirror) -> Result<()> {
    let path = |path: &Option<PathBuf>| path.as_deref()?.canonicalize().ok();
    match (path(&args.state), path(&args.file)) {
        (Some(state), Some(file)) if state == file => {
            Err(Error::new(ErrorKind::InvalidInput, "`--state`")
                .at(file.display().to_string())
                .with_reason("is the mirror file, which the state would replace")
                .with_hint("give a file of its own, which need not exist"))
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Option<StateFile> {
    let ignoring = |reason: &str| {
        tracing::warn!("ignoring the state in {}: {reason}", path.display());
        None
    };
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice::<StateFile>(&bytes) {
            Ok(file) if file.version == VERSION => Some(file),
            Ok(file) => ignoring(&format!("its version is {}, not {VERSION}", file.version)),
            Err(error) => ignoring(&error.to_string()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => ignoring(&error.to_string()),
    }
}

fn write(path: &Path, state: &StateFile) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = AtomicFile::create(path, 0o644)?;
    file.file().write_all(serde_json::to_string_pretty(state)?.as_bytes())?;
    file.publish(Fsync::None)
}

/// `$XDG_STATE_HOME/rpull/mirror-<hash>.json`, for a mirror file of this path. Parts have files of their own, `mirror-<hash>-1-of-3.json`:
/// they may run at the same time, and each replaces its whole file.
fn default_path(file: &Path, shard: Option<Shard>) -> Option<PathBuf> {
    let dir = user_dir(|name| std::env::var_os(name), "XDG_STATE_HOME", ".local/state")?;
    let file = std::fs::canonicalize(file).ok()?;
    let hash = Digest::sha256(file.as_os_str().as_encoded_bytes());
    let part = shard.map(|Shard { part, parts }| format!("-{}-of-{parts}", part + 1));
    let name = format!("mirror-{}{}.json", hash.short(), part.unwrap_or_default());
    Some(dir.join("rpull").join(name))
}

/// The selection as text, for comparison.
fn platforms(selection: &PlatformSelection) -> String {
    match selection {
        PlatformSelection::All => "all".to_owned(),
        PlatformSelection::Single(one) => one.platform.to_string(),
        PlatformSelection::FilteredIndex(several) => {
            several.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}
