//! Walks trees of documents: indexes in indexes, referrers of referrers.

use std::collections::HashSet;

use crate::digest::Digest;
use crate::limits::Exceeded;

/// The documents of a tree that have not been read yet, each digest once.
///
/// Does no I/O: the caller takes a step, reads its document in any way (blocking, async, from a cache), and queues what the
/// document lists one level below.
///
/// ```text
/// walk.queue(0, roots)
/// while let Some(step) = walk.next_step() {
///     let document = read(&step.item)
///     walk.queue(step.depth + 1, document.children().cloned())
///     walk.check(&limits)?
/// }
/// ```
///
/// - **Order.** Parents before children, depth first in the order of the lists, if one step is taken at a time. To read
///   several documents concurrently, take several steps before queueing what they list. The reverse order is *not* always
///   children before parents: an index may list what a later index lists, too.
/// - **Repeats.** Only the first occurrence of a digest is queued, with its depth there. So an index that lists the same
///   digest a thousand times costs no more than one, and there are no cycles.
/// - **Limits.** A local tree is finite, because each file is read once. For lists from a server, call [`TreeWalk::check`]
///   after each list.
/// - **Cost.** Memory for each digest, and for each queued item.
#[derive(Debug)]
pub(crate) struct TreeWalk<T> {
    /// A stack: the last item is taken first.
    open: Vec<WalkStep<T>>,
    seen: HashSet<Digest>,
    /// Depth of the deepest queued item.
    depth: usize,
}

/// The next document to read.
#[derive(Debug)]
pub(crate) struct WalkStep<T> {
    /// Returns the descriptor of the document.
    pub(crate) item: T,
    /// Number of lists that lead to it; 0 for a root.
    pub(crate) depth: usize,
}

/// Limits of a walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkLimits {
    /// Maximum depth of a step.
    pub(crate) depth: usize,
    /// Maximum number of digests.
    pub(crate) count: usize,
    /// What is limited, in the plural, for the error.
    pub(crate) what: &'static str,
}

impl<T> Default for TreeWalk<T> {
    fn default() -> Self {
        Self { open: Vec::new(), seen: HashSet::new(), depth: 0 }
    }
}

impl<T: AsRef<Digest>> TreeWalk<T> {
    /// A walk below a document that was already read, and is not read again if it lists itself.
    pub(crate) fn below(root: Digest) -> Self {
        Self { seen: HashSet::from([root]), ..Self::default() }
    }

    /// Queues the new ones of these items, in this order, before all queued ones. Returns their number.
    pub(crate) fn queue(&mut self, depth: usize, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.open.len();
        for item in items {
            if self.seen.insert(item.as_ref().clone()) {
                self.open.push(WalkStep { item, depth });
                self.depth = self.depth.max(depth);
            }
        }
        if let Some(new) = self.open.get_mut(before..) {
            new.reverse();
        }
        self.open.len() - before
    }

    /// Removes and returns the next item.
    pub(crate) fn next_step(&mut self) -> Option<WalkStep<T>> {
        self.open.pop()
    }

    /// # Errors
    /// The exceeded limit.
    pub(crate) fn check(&self, limits: &WalkLimits) -> Result<(), Exceeded> {
        let &WalkLimits { depth, count, what } = limits;
        if self.seen.len() > count {
            Err(Exceeded::Count { count, what })
        } else if self.depth > depth {
            Err(Exceeded::Depth { depth, what })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const LIMITS: WalkLimits = WalkLimits { depth: 2, count: 4, what: "indexes" };

    fn digests(names: &str) -> Vec<Digest> {
        names.split_whitespace().map(|name| Digest::sha256(name.as_bytes())).collect()
    }

    /// The digests in the order and at the depths in which they are read, of a tree of lists.
    fn walked(root: &str, lists: &[(&str, &str)]) -> Vec<(Digest, usize)> {
        let lists: HashMap<Digest, Vec<Digest>> =
            lists.iter().map(|(name, below)| (digests(name).remove(0), digests(below))).collect();
        let (mut walk, mut found) = (TreeWalk::default(), Vec::new());
        walk.queue(0, digests(root));
        while let Some(WalkStep { item, depth }) = walk.next_step() {
            walk.queue(depth + 1, lists.get(&item).cloned().unwrap_or_default());
            found.push((item, depth));
        }
        found
    }

    #[test]
    fn tree_walk_is_depth_first_and_visits_each_once() {
        let tree = [("a", "b c a"), ("b", "d b d"), ("d", "a c e"), ("c", "f")];
        let expected: Vec<_> = digests("a b d e c f").into_iter().zip([0, 1, 2, 3, 1, 2]).collect();
        assert_eq!(walked("a", &tree), expected);
        assert_eq!(
            walked("x y x", &[]),
            digests("x y").into_iter().zip([0, 0]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn tree_walk_below_does_not_visit_root() {
        let mut walk = TreeWalk::below(digests("a").remove(0));
        assert_eq!(walk.queue(1, digests("a b a")), 1);
        assert_eq!(walk.next_step().map(|step| step.item), digests("b").pop());
        assert!(walk.next_step().is_none());
    }

    #[test]
    fn tree_walk_limits_count_digests_and_depth() {
        let mut walk = TreeWalk::default();
        walk.queue(2, digests("a b c d a b c d"));
        assert_eq!(walk.check(&LIMITS), Ok(()));
        walk.queue(3, digests("a b"));
        assert_eq!(walk.check(&LIMITS), Ok(()), "nothing new is deeper");
        walk.queue(2, digests("e"));
        let error = walk.check(&LIMITS).unwrap_err().error("tag a");
        assert!(error.to_string().contains("more than 4 indexes"), "{error}");
        let mut walk = TreeWalk::default();
        walk.queue(3, digests("a"));
        let error = walk.check(&LIMITS).unwrap_err().error("tag a");
        assert!(error.to_string().contains("more than 2 levels of indexes"), "{error}");
    }
}
