//! Files of a layer under names reserved by AUFS, kept while the layer is applied.
//!
//! AUFS linked files with several names into `.wh..wh.plnk/`; their other names are hard links to there.

use std::collections::HashMap;

/// The files by path. [`Entries`](super::Entries) limits the bytes of the paths.
#[derive(Debug)]
pub(crate) struct AufsFiles<T>(HashMap<Vec<u8>, AufsFile<T>>);

#[derive(Clone, Debug)]
pub(crate) enum AufsFile<T> {
    /// A file with content of its own.
    Own(T),
    /// Another name of the file at this path.
    NameOf(Vec<u8>),
}

impl<T> Default for AufsFiles<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> AufsFiles<T> {
    pub(crate) fn keep(&mut self, path: &[u8], file: T) -> Option<AufsFile<T>> {
        self.0.insert(path.to_vec(), AufsFile::Own(file))
    }

    /// Keeps a hard link. Its target is checked only when another entry links to it.
    pub(crate) fn keep_link(&mut self, path: &[u8], link: &[u8]) -> Option<AufsFile<T>> {
        let other = match self.0.get(link) {
            Some(existing) => existing.clone(),
            None => AufsFile::NameOf(link.to_vec()),
        };
        self.0.insert(path.to_vec(), other)
    }

    /// Returns the target of a hard link to this path.
    pub(crate) fn get_mut(&mut self, path: &[u8]) -> Option<&mut AufsFile<T>> {
        self.0.get_mut(path)
    }

    pub(crate) fn into_all(self) -> impl Iterator<Item = AufsFile<T>> {
        self.0.into_values()
    }
}
