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
        let fail = |error| failed("layers", "", error);
        let names = Applier::new(PathMap::default()).map_err(fail)?;
        let mut builder = TreeBuilder { names, left_out: SkipLog::default() };
        let take = |name: &str, layer: &mut BlobEntries<'_>| {
            read_layer(&mut builder, name, layer)?;
            builder.names.end_layer();
            Ok(())
        };
        let total = layers.iter().map(|layer| layer.size).sum();
        let counter = PhaseCounter::new(control, Phase::Flatten, total);
        let sizes = read_all(&BombGuard::default(), layers, &control.cancel, &counter, take)?;
        let TreeBuilder { names: Applier { names, .. }, left_out } = builder;
        let shown = shown(&names);
        if shown.bytes.saturating_sub(sizes.iter().sum()) > MAX_HOLE_BYTES {
            return Err(fail(io::Error::other("have sparse files whose holes are too large")));
        }
        Ok(Self { names, shown, sizes, skipped: left_out.into_list() })
    }
}

/// Applies what of the layers can be kept.
struct TreeBuilder {
    names: Applier<PathMap>,
    left_out: SkipLog,
}

impl TreeBuilder {
    fn entry(&mut self, mut entry: LayerEntry) -> io::Result<()> {
        if !matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
            entry.xattrs.clear();
        }
        entry.xattrs.retain(|(name, _)| {
            let keep = is_allowed(name);
            if !keep {
                self.left_out.note(SkipReason::ForeignAttribute, &entry.path);
            }
            keep
        });
        self.names.entry(entry)
    }
}

fn read_layer(builder: &mut TreeBuilder, name: &str, layer: &mut BlobEntries<'_>) -> Result<()> {
    let mut last = String::new();
    loop {
        let entry = match layer.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(error) => return Err(failed(name, &last, error)),
        };
        last = String::from_utf8_lossy(&entry.path).into_owned();
        builder.entry(entry).map_err(|error| failed(name, &last, error))?;
    }
}

fn shown(names: &PathMap) -> TreeTotals {
    let mut shown = TreeTotals::default();
    for item in items(names) {
        shown.entries += 1;
        if item.hardlink_to.is_none() && item.node.entry.kind == EntryKind::File {
            shown.files += 1;
            shown.bytes = shown.bytes.saturating_add(item.node.entry.size);
        }
    }
    shown
}
