//! The lower layers of an overlay layer while it is applied, and the whiteouts that it will write.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::merged::{MergedEntry, MergedView};
use super::stack::LayerStack;
use super::xattr::OverlayXattr;

/// Maximum bytes of all paths that one layer whites out.
const MAX_WHITEOUT_BYTES: usize = 64 << 20;

/// Lower layers and whiteouts of one layer.
#[derive(Debug)]
pub(in crate::unpack) struct OverlayState {
    lower: LowerLayers,
    pub(super) namespace: OverlayXattr,
    /// Paths without symbolic links whose lower entries are hidden.
    pub(super) whiteouts: BTreeSet<Vec<u8>>,
    /// Bytes of all these paths.
    whiteout_bytes: usize,
    /// Whether the layer has an entry for its root.
    pub(super) root_is_explicit: bool,
}

#[derive(Debug)]
enum LowerLayers {
    /// The base layer has no lower layers.
    Base,
    Ready(MergedView),
    Pending(Arc<LayerStack>, usize),
}

impl OverlayState {
    /// Creates the state of the layer at this position of the stack.
    pub(super) fn new(stack: &Arc<LayerStack>, number: usize, namespace: OverlayXattr) -> Self {
        let lower = match number {
            0 => LowerLayers::Base,
            number => LowerLayers::Pending(Arc::clone(stack), number),
        };
        Self {
            lower,
            namespace,
            whiteouts: BTreeSet::new(),
            whiteout_bytes: 0,
            root_is_explicit: false,
        }
    }

    /// Returns the lower layers; `None` for the base. Waits until they are complete.
    fn merged(&mut self) -> io::Result<Option<&mut MergedView>> {
        if let LowerLayers::Pending(stack, number) = &self.lower {
            self.lower =
                LowerLayers::Ready(MergedView::new(stack.wait_for_lower(*number)?, self.namespace));
        }
        match &mut self.lower {
            LowerLayers::Ready(merged) => Ok(Some(merged)),
            LowerLayers::Base | LowerLayers::Pending(..) => Ok(None),
        }
    }

    /// Returns the entry of the lower layers at this path, unless this layer hides it.
    pub(super) fn find(&mut self, path: &[u8]) -> io::Result<Option<MergedEntry>> {
        if self.is_whited_out(path) {
            return Ok(None);
        }
        match self.merged()? {
            Some(merged) => merged.find(path),
            None => Ok(None),
        }
    }

    fn is_whited_out(&self, path: &[u8]) -> bool {
        !self.whiteouts.is_empty()
            && (self.whiteouts.contains(path)
                || directories_to(path).any(|parent| self.whiteouts.contains(parent)))
    }

    pub(super) fn add_whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        if !matches!(self.lower, LowerLayers::Base) && self.whiteouts.insert(path.to_vec()) {
            self.whiteout_bytes += path.len();
            if self.whiteout_bytes > MAX_WHITEOUT_BYTES {
                return Err(io::Error::other("has too many whiteouts"));
            }
        }
        Ok(())
    }

    /// Returns the root of the lower layers.
    pub(super) fn root(&mut self) -> io::Result<Option<MergedEntry>> {
        self.merged()?.map_or(Ok(None), |merged| merged.root())
    }

    /// Replaces a whiteout of the root by one for each lower entry in it: the kernel ignores an opaque marker on the root.
    pub(super) fn expand_root_opaque(&mut self) -> io::Result<()> {
        if !self.whiteouts.remove(&b""[..]) {
            return Ok(());
        }
        let names = self.merged()?.map_or_else(|| Ok(Vec::new()), |merged| merged.names())?;
        names.iter().try_for_each(|name| self.add_whiteout(name))
    }
}

/// Returns the directories above a path, including the root.
pub(super) fn directories_to(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    std::iter::once(0).chain(ends).filter_map(|end| path.get(..end))
}
