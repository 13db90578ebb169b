//! Whether a delta pays.

use std::time::Duration;

/// When layers are rebuilt from deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaUse {
    /// If that is expected to take less time than receiving the layers.
    #[non_exhaustive]
    IfFaster {
        /// Bytes per second that are expected to be received.
        rate: u64,
    },
    /// If fewer bytes are received.
    IfSmaller,
}

/// A delta must save this many bytes: finding and applying it is not free.
const MIN_SAVING_BYTES: u64 = 1 << 20;

/// Longest time to rebuild one layer, expected or not, where it can be received instead.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// Whether a delta of so many bytes is worth carrying for a layer: it has at most 0.7 of its bytes.
pub fn pays(delta: u64, layer: u64) -> bool {
    delta.saturating_mul(10) <= layer.saturating_mul(7)
}

/// Whether a layer of so many bytes may be rebuilt from a registry's delta: one of a small layer saves too little.
pub fn can_pay(layer: u64) -> bool {
    layer > MIN_SAVING_BYTES
}

impl DeltaUse {
    /// Whether to rebuild a layer, given its bytes, those of its tar and of its delta, and what compressed it.
    pub(super) fn accepts(self, layer: u64, tar: u64, delta: u64, encoder: &str) -> bool {
        if !pays(delta, layer) || layer - delta < MIN_SAVING_BYTES {
            return false;
        }
        let rebuilding = time_of(tar, replay_rate(encoder));
        match self {
            Self::IfSmaller => true,
            Self::IfFaster { rate } => {
                let receiving = time_of(delta, rate);
                rebuilding < LONGEST && rebuilding + receiving < time_of(layer, rate)
            }
        }
    }
}

/// Time for bytes at a rate per second, in whole milliseconds.
fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / rate.max(1))
}

/// Bytes of tar per second that one core rebuilds, decompressing the old layers included: measured, rounded down.
fn replay_rate(encoder: &str) -> u64 {
    let (family, level) = encoder.split_at_checked(1).unwrap_or_default();
    let megabytes = match (family, level) {
        ("a", _) | ("b", "1") => 100,
        ("b", _) => 65,
        ("g" | "z", "8" | "9") => 6,
        ("g", _) => 25,
        _ => 15,
    };
    megabytes * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_is_accepted_where_it_is_faster_or_smaller() {
        let (layer, tar, delta) = (95 << 20, 200 << 20, 2 << 20);
        let at = |rate| DeltaUse::IfFaster { rate };
        for (when, encoder, expected) in [
            (at(6 << 20), "b5", true),
            (at(12 << 20), "b5", true),
            (at(12 << 20), "g6", false),
            (at(6 << 20), "g6", true),
            (at(100 << 20), "b5", false),
            (at(u64::MAX), "a1", false),
            (at(1), "z9", true),
            (DeltaUse::IfSmaller, "z9", true),
            (DeltaUse::IfSmaller, "", true),
        ] {
            assert_eq!(when.accepts(layer, tar, delta, encoder), expected, "{when:?} {encoder}");
        }
        assert!(!DeltaUse::IfSmaller.accepts(10 << 20, 20 << 20, 8 << 20, "b5"));
        assert!(!DeltaUse::IfSmaller.accepts(1 << 20, 2 << 20, 1 << 10, "b5"));
    }
}
