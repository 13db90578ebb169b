//! A vector that a copy shares until one of both changes an element.

use std::sync::Arc;

/// Elements that are copied together when one of them changes.
const PAGE: usize = 128;

/// Elements that are allocated together. A vector that grows is moved, and what it leaves is too small for the next one:
/// the second tree of a run would take twice its memory.
const BLOCK: usize = 32 * PAGE;

/// Elements by number. After a [`fork`](Self::fork) a change copies one page.
#[derive(Debug)]
pub(super) struct Pages<T> {
    /// What a fork shares.
    shared: Arc<Blocks<T>>,
    /// The pages of `shared` that have changed since.
    changed: Vec<Option<Box<[T]>>>,
    /// The elements after the shared ones.
    own: Blocks<T>,
}

/// A vector in blocks of [`BLOCK`] elements; only the last one may have fewer.
#[derive(Debug)]
struct Blocks<T> {
    blocks: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), length: 0 }
    }
}

impl<T> Blocks<T> {
    fn push(&mut self, element: T) {
        match self.blocks.last_mut().filter(|last| last.len() < BLOCK) {
            // Small trees take little.
            Some(last) => last.push(element),
            None => self.blocks.push(vec![element]),
        }
        self.length += 1;
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.blocks.get_mut(index / BLOCK)?.get_mut(index % BLOCK)
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { shared: Arc::default(), changed: Vec::new(), own: Blocks::default() }
    }
}

impl<T: Copy> Pages<T> {
    pub(super) fn len(&self) -> usize {
        self.shared.length + self.own.length
    }

    pub(super) fn push(&mut self, element: T) {
        self.own.push(element);
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(self.shared.length) {
            Some(own) => self.own.get(own),
            None => match self.changed.get(index / PAGE) {
                Some(Some(page)) => page.get(index % PAGE),
                _ => self.shared.get(index),
            },
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if let Some(own) = index.checked_sub(self.shared.length) {
            return self.own.get_mut(own);
        }
        let page = self.changed.get_mut(index / PAGE)?;
        // A block has whole pages.
        let block = self.shared.blocks.get(index / BLOCK).map_or(&[][..], Vec::as_slice);
        let copy = || block.chunks(PAGE).nth(index % BLOCK / PAGE).unwrap_or_default().into();
        page.get_or_insert_with(copy).get_mut(index % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Returns a vector with the same elements. They are in memory once.
    pub(super) fn fork(&mut self) -> Self {
        if self.len() > self.shared.length || !self.changed.is_empty() {
            let all = if self.shared.length == 0 {
                std::mem::take(&mut self.own)
            } else {
                let mut all = Blocks::default();
                self.iter().for_each(|element| all.push(*element));
                all
            };
            self.own = Blocks::default();
            self.shared = Arc::new(all);
        }
        let pages = || (0..self.shared.length.div_ceil(PAGE)).map(|_| None).collect();
        self.changed = pages();
        Self { shared: Arc::clone(&self.shared), changed: pages(), own: Blocks::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pages: &Pages<usize>) -> Vec<usize> {
        pages.iter().copied().collect()
    }

    #[test]
    fn fork_of_pages_changes_alone() {
        let mut one = Pages::default();
        (0..PAGE + 7).for_each(|number| one.push(number));
        let wanted = all(&one);
        let mut other = one.fork();
        *other.get_mut(PAGE + 1).unwrap() = 0;
        other.push(9);
        assert_eq!(all(&one), wanted);
        *one.get_mut(3).unwrap() = 77;
        assert_eq!((one.get(3), other.get(3)), (Some(&77), Some(&3)));
        assert_eq!((other.get(PAGE + 1), other.get(PAGE + 7)), (Some(&0), Some(&9)));
        assert_eq!((one.len(), one.get(PAGE + 7), other.len()), (PAGE + 7, None, PAGE + 8));
        let again = other.fork();
        assert_eq!(all(&again), all(&other));
        assert_eq!((other.get_mut(PAGE + 8), all(&one)[3]), (None, 77));
    }

    #[test]
    fn pages_of_many_blocks_keep_elements_through_forks() {
        let mut one = Pages::default();
        (0..3 * BLOCK + 5).for_each(|number| one.push(number));
        let mut other = one.fork();
        for index in [0, BLOCK - 1, BLOCK, 2 * BLOCK + PAGE, 3 * BLOCK + 4] {
            *other.get_mut(index).unwrap() += 1;
            assert_eq!((one.get(index), other.get(index)), (Some(&index), Some(&(index + 1))));
        }
        (0..BLOCK).for_each(|number| other.push(number));
        let again = other.fork();
        assert_eq!(all(&again), all(&other));
        assert_eq!((other.len(), again.get(4 * BLOCK + 5)), (4 * BLOCK + 5, None));
        assert_eq!(all(&one), (0..3 * BLOCK + 5).collect::<Vec<_>>());
    }
}
