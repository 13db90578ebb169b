//! Metadata that many files share, kept once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::layer::{Device, EntryKind, LayerEntry};

/// What most files of a directory have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Attributes {
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) device: Device,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct AttributeTable {
    all: Vec<Arc<Attributes>>,
    numbers: HashMap<Arc<Attributes>, u32>,
    size: usize,
}

impl AttributeTable {
    /// Returns the number of the entry's attributes.
    pub(super) fn add(&mut self, entry: LayerEntry) -> u32 {
        let LayerEntry { kind, mode, uid, gid, device, mut xattrs, .. } = entry;
        xattrs.sort();
        let attributes = Attributes { kind, mode, uid, gid, device, xattrs };
        if let Some(number) = self.numbers.get(&attributes) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let bytes = attributes.xattrs.iter().map(|(name, value)| name.len() + value.len() + 48);
        self.size += 2 * size_of::<Attributes>() + bytes.sum::<usize>();
        let attributes = Arc::new(attributes);
        self.all.push(Arc::clone(&attributes));
        self.numbers.insert(attributes, number);
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&Attributes> {
        self.all.get(number as usize).map(|attributes| &**attributes)
    }

    /// All by their number.
    #[cfg(feature = "cli")]
    pub(super) fn into_all(self) -> Vec<Arc<Attributes>> {
        self.all
    }

    /// Memory of all of them, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}
