//! The order in which blobs are moved.
//!
//! Images are moved in the requested order; of one image first the config, because it is small and often read first, then the
//! largest blobs. So images are completed one after the other, not all at the end. One exception: with `R` bytes queued and `c`
//! slots, a blob of at least `R / c` is next, whichever image it belongs to. Otherwise the whole run could wait for a large blob
//! that started last.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::transfer::table::{BlobId, ImageId};

/// The order in which blobs are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::transfer) enum BlobOrder {
    /// As at the top of this file.
    #[default]
    ImageByImage,
    /// As the images list them.
    AsListed,
}

/// What a blob is in its image; the config comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BlobRole {
    Config,
    Other,
}

/// Position of a blob in the order of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    image: ImageId,
    role: BlobRole,
    size: Reverse<u64>,
    blob: BlobId,
}

impl Rank {
    pub(super) fn new(image: ImageId, role: BlobRole, size: u64, blob: BlobId) -> Self {
        Self { image, role, size: Reverse(size), blob }
    }

    pub(super) fn size(&self) -> u64 {
        self.size.0
    }

    pub(super) fn blob(&self) -> BlobId {
        self.blob
    }
}

/// Blobs that have not been started.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: BlobOrder,
    by_rank: BTreeSet<Rank>,
    by_size: BTreeSet<(u64, Reverse<Rank>)>,
    by_id: BTreeSet<(BlobId, Rank)>,
    bytes: u64,
}

impl Queue {
    pub(super) fn new(order: BlobOrder) -> Self {
        Self { order, ..Self::default() }
    }

    pub(super) fn insert(&mut self, rank: Rank) {
        if self.by_rank.insert(rank) {
            self.by_size.insert((rank.size(), Reverse(rank)));
            self.by_id.insert((rank.blob, rank));
            self.bytes = self.bytes.saturating_add(rank.size());
        }
    }

    pub(super) fn remove(&mut self, rank: Rank) {
        if self.by_rank.remove(&rank) {
            self.by_size.remove(&(rank.size(), Reverse(rank)));
            self.by_id.remove(&(rank.blob, rank));
            self.bytes = self.bytes.saturating_sub(rank.size());
        }
    }

    /// Returns the next blob, if this many can be moved at the same time.
    pub(super) fn first(&self, slots: usize) -> Option<Rank> {
        match self.order {
            BlobOrder::AsListed => Some(self.by_id.first()?.1),
            BlobOrder::ImageByImage => {
                let &(largest, Reverse(rank)) = self.by_size.last()?;
                if largest.saturating_mul(slots as u64) >= self.bytes {
                    Some(rank)
                } else {
                    self.by_rank.first().copied()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BlobOrder::{AsListed, ImageByImage};
    use super::BlobRole::{Config, Other};
    use super::*;
    use crate::transfer::table::Id as _;

    fn sorted(order: BlobOrder, slots: usize, blobs: &[(usize, BlobRole, u64)]) -> Vec<usize> {
        let mut queue = Queue::new(order);
        for (id, &(image, role, size)) in blobs.iter().enumerate() {
            queue.insert(Rank::new(ImageId::new(image), role, size, BlobId::new(id)));
        }
        let next = || {
            let first = queue.first(slots)?;
            queue.remove(first);
            Some(first.blob().index())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn queue_order_is_image_then_config_then_size() {
        let blobs =
            [(0, Config, 1), (0, Other, 50), (0, Other, 60), (1, Config, 1), (1, Other, 70)];
        assert_eq!(sorted(ImageByImage, 2, &blobs), [0, 2, 4, 1, 3]);
        assert_eq!(sorted(AsListed, 2, &blobs), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn queue_largest_blob_of_short_run_goes_first() {
        let blobs = [(0, Other, 10), (0, Other, 10), (1, Other, 10), (2, Other, 90)];
        assert_eq!(sorted(ImageByImage, 2, &blobs)[0], 3);
        assert_eq!(
            sorted(ImageByImage, 1, &blobs)[0],
            0,
            "one slot takes all after each other anyway"
        );
    }
}
