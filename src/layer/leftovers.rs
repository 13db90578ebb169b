//! What a layer has under the names that AUFS keeps for itself, while the layer is applied. AUFS linked files that had
//! several names to `.wh..wh.plnk/`, and other names of them are hard links to there.

use std::collections::HashMap;

/// By their paths; the reader of layers limits how many bytes these have.
#[derive(Debug)]
pub(crate) struct Leftovers<T>(HashMap<Vec<u8>, Leftover<T>>);

#[derive(Clone, Debug)]
pub(crate) enum Leftover<T> {
    /// It has bytes of its own.
    Own(T),
    /// It is another name of what has this path.
    NameOf(Vec<u8>),
}

impl<T> Default for Leftovers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Leftovers<T> {
    pub(crate) fn keep(&mut self, path: &[u8], own: T) -> Option<Leftover<T>> {
        self.0.insert(path.to_vec(), Leftover::Own(own))
    }

    /// Keeps a hard link. Whether it leads to anything does not matter until something else is linked to it.
    pub(crate) fn keep_link(&mut self, path: &[u8], link: &[u8]) -> Option<Leftover<T>> {
        let other = match self.0.get(link) {
            Some(known) => known.clone(),
            None => Leftover::NameOf(link.to_vec()),
        };
        self.0.insert(path.to_vec(), other)
    }

    /// What a hard link to this path leads to.
    pub(crate) fn get_mut(&mut self, path: &[u8]) -> Option<&mut Leftover<T>> {
        self.0.get_mut(path)
    }

    pub(crate) fn into_all(self) -> impl Iterator<Item = Leftover<T>> {
        self.0.into_values()
    }
}
