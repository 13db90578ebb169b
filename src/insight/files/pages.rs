//! A vector that a copy shares until one of both changes an element.

use std::sync::Arc;

/// Elements that are copied together when one of them changes.
const PAGE: usize = 128;

/// Elements by number. After a [`fork`](Self::fork) a change copies one page.
#[derive(Debug)]
pub(super) struct Pages<T> {
    /// What a fork shares.
    shared: Arc<Vec<T>>,
    /// The pages of `shared` that have changed since.
    changed: Vec<Option<Box<[T]>>>,
    /// The elements after the shared ones.
    own: Vec<T>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { shared: Arc::default(), changed: Vec::new(), own: Vec::new() }
    }
}

impl<T: Copy> Pages<T> {
    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    pub(super) fn push(&mut self, element: T) {
        self.own.push(element);
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(self.shared.len()) {
            Some(own) => self.own.get(own),
            None => match self.changed.get(index / PAGE) {
                Some(Some(page)) => page.get(index % PAGE),
                _ => self.shared.get(index),
            },
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if let Some(own) = index.checked_sub(self.shared.len()) {
            return self.own.get_mut(own);
        }
        let page = self.changed.get_mut(index / PAGE)?;
        let copy = || self.shared.chunks(PAGE).nth(index / PAGE).unwrap_or_default().into();
        page.get_or_insert_with(copy).get_mut(index % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Returns a vector with the same elements. They are in memory once.
    pub(super) fn fork(&mut self) -> Self {
        if self.len() > self.shared.len() || !self.changed.is_empty() {
            let all = if self.shared.is_empty() {
                std::mem::take(&mut self.own)
            } else {
                self.iter().copied().collect()
            };
            self.own = Vec::new();
            self.shared = Arc::new(all);
        }
        let pages = || (0..self.shared.len().div_ceil(PAGE)).map(|_| None).collect();
        self.changed = pages();
        Self { shared: Arc::clone(&self.shared), changed: pages(), own: Vec::new() }
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
}
