//! The merged tree of an image's layers.

use std::io;

use super::order::items;
use super::path_map::PathMap;
use crate::control::{Control, PhaseCounter};
use crate::error::Result;
use crate::image_layers::apply::Applier;
use crate::image_layers::read::{BlobEntries, read_all};
use crate::image_layers::skipped::{SkipLog, SkipReason};
use crate::image_layers::xattr_filter::is_allowed;
use crate::image_layers::{LayerBlob, Skipped, failed};
use crate::layer::{BombGuard, EntryKind, LayerEntry};
use crate::progress::Phase;

/// Maximum bytes of holes in all files. A sparse map of a few bytes can declare many, and each is written.
const MAX_HOLE_BYTES: u64 = 64 << 30;

/// A tree of names with their metadata and the layer entries that have their data.
#[derive(Debug)]
pub struct Tree {
    pub(super) names: PathMap,
    /// Totals of the visible files.
    pub shown: TreeTotals,
    /// Uncompressed bytes of each layer.
    pub sizes: Vec<u64>,
    /// Metadata that is not kept, one item per reason.
    pub skipped: Vec<Skipped>,
}

/// Totals of the visible files of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeTotals {
    /// Number of names, including the root.
    pub entries: u64,
    /// Number of regular files; hard links count once.
    pub files: u64,
    /// Bytes of these files, holes included.
    pub bytes: u64,
}

impl Tree {
    /// Reads layers, base first.
    ///
    /// # Errors
    /// With [the position](crate::error::Error::layer) of the layer:
    /// [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) for another `diff_id`, otherwise as for unpacking,
    /// and for a tree that is too large.
    pub fn read(layers: Vec<LayerBlob<'_>>, control: &Control) -> Result<Self> {
        let tree_error = |error| failed("layers", "", error);
        let names = Applier::new(PathMap::default()).map_err(tree_error)?;
        let mut builder = TreeBuilder { names, skipped: SkipLog::default() };
        let apply = |name: &str, layer: &mut BlobEntries<'_>| {
            apply_layer(&mut builder, name, layer)?;
            builder.names.end_layer();
            Ok(())
        };
        let total = layers.iter().map(|layer| layer.size).sum();
        let counter = PhaseCounter::new(control, Phase::Flatten, total);
        let sizes = read_all(&BombGuard::default(), layers, &control.cancel, &counter, apply)?;
        let TreeBuilder { names: Applier { names, .. }, skipped } = builder;
        let shown = visible_totals(&names);
        if shown.bytes.saturating_sub(sizes.iter().sum()) > MAX_HOLE_BYTES {
            return Err(tree_error(io::Error::other(
                "have sparse files whose holes are too large",
            )));
        }
        Ok(Self { names, shown, sizes, skipped: skipped.into_list() })
    }
}

/// Applies entries without the attributes that a flattened tree does not have.
struct TreeBuilder {
    names: Applier<PathMap>,
    skipped: SkipLog,
}

impl TreeBuilder {
    fn apply(&mut self, mut entry: LayerEntry) -> io::Result<()> {
        if !matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
            entry.xattrs.clear();
        }
        entry.xattrs.retain(|(name, _)| {
            let is_allowed = is_allowed(name);
            if !is_allowed {
                self.skipped.note(SkipReason::ForeignAttribute, &entry.path);
            }
            is_allowed
        });
        self.names.entry(entry)
    }
}

fn apply_layer(builder: &mut TreeBuilder, name: &str, layer: &mut BlobEntries<'_>) -> Result<()> {
    let mut last_path = String::new();
    loop {
        let entry = match layer.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(name, &last_path, error)),
        };
        last_path = String::from_utf8_lossy(&entry.path).into_owned();
        builder.apply(entry).map_err(|error| failed(name, &last_path, error))?;
    }
}

fn visible_totals(names: &PathMap) -> TreeTotals {
    let mut totals = TreeTotals::default();
    for item in items(names) {
        totals.entries += 1;
        if item.hardlink_to.is_none() && item.inode.entry.kind == EntryKind::File {
            totals.files += 1;
            totals.bytes = totals.bytes.saturating_add(item.inode.entry.size);
        }
    }
    totals
}
