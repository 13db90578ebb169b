//! Operations on bytes that all models share: load, compare, and look up positions by a hash.

/// A table of positions by hash; 0 stands for none.
pub(super) struct Slots<T, const N: usize>(Box<[T; N]>);

impl<T: Copy + Default, const N: usize> Slots<T, N> {
    pub(super) fn new() -> Self {
        // Boxed directly: the arrays are too large for the stack.
        let slots = vec![T::default(); N].into_boxed_slice().try_into();
        Self(slots.unwrap_or_else(|_| Box::new([T::default(); N])))
    }

    #[inline]
    pub(super) fn get(&self, slot: usize) -> T {
        self.0.get(slot % N).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn set(&mut self, slot: usize, value: T) {
        if let Some(place) = self.0.get_mut(slot % N) {
            *place = value;
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(T::default());
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

/// An index as tables hold it. Indexes are far below 2^32.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "an index in a buffer of 512 KiB")]
pub(super) fn mark(index: usize) -> u32 {
    index as u32
}

/// Eight bytes, lowest first; 0 beyond the end.
#[inline]
pub(super) fn load64(plain: &[u8], at: usize) -> u64 {
    plain.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[inline]
pub(super) fn load32(plain: &[u8], at: usize) -> u32 {
    plain.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// How many bytes agree from `a` and `b`, where `b` is the earlier one; at most `most`.
#[inline]
pub(super) fn common(plain: &[u8], a: usize, b: usize, most: usize) -> usize {
    let (Some(mut ours), Some(mut theirs)) = (plain.get(a..), plain.get(b..)) else { return 0 };
    let mut count = 0;
    while let (Some((x, rest)), Some((y, their_rest))) =
        (ours.split_first_chunk::<8>(), theirs.split_first_chunk::<8>())
    {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return most.min(count + difference.trailing_zeros() as usize / 8);
        }
        count += 8;
        if count >= most {
            return most;
        }
        (ours, theirs) = (rest, their_rest);
    }
    let same = ours.iter().zip(theirs).take_while(|(x, y)| x == y).count();
    most.min(count + same)
}

/// Whether `from` is before `at` and at most `most` away.
#[inline]
pub(super) fn is_within(at: usize, from: u32, most: usize) -> bool {
    at.wrapping_sub(from as usize).wrapping_sub(1) < most
}

/// Whether a candidate is at most so far before a position, and begins with the lower four of the bytes there.
#[inline]
pub(super) fn has_four(
    plain: &[u8],
    position: usize,
    bytes: u64,
    candidate: u32,
    farthest: usize,
) -> bool {
    is_within(position, candidate, farthest)
        && load32(plain, candidate as usize) == (bytes & 0xffff_ffff) as u32
}
