//! Layers that are not compressed, or hardly.

use super::finding::{Finding, Rule};
use super::image::ImageSteps;

/// Uncompressed bytes below which compression does not matter.
const MIN_BYTES: u64 = 100_000;

/// How much larger than estimated a layer must be, in percent. The estimate ignores repeated strings, and most layers are
/// smaller than it.
const TOLERANCE: u64 = 125;

/// Counts of the bytes in samples of a layer's files.
#[derive(Clone, Debug)]
pub(super) struct ByteSample {
    counts: [u64; 256],
}

impl Default for ByteSample {
    fn default() -> Self {
        Self { counts: [0; 256] }
    }
}

impl ByteSample {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(count) = self.counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
    }

    /// Returns to how many of a million bytes a Huffman code would compress such bytes; `None` without a sample.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of at most a million"
    )]
    fn entropy(&self) -> Option<u64> {
        let total: u64 = self.counts.iter().sum();
        let bits = |count: u64| {
            let share = count as f64 / total as f64;
            -share * share.log2()
        };
        let bits: f64 =
            self.counts.iter().filter(|count| **count > 0).map(|count| bits(*count)).sum();
        (total > 0).then_some((bits / 8.0 * 1_000_000.0) as u64)
    }
}

/// Returns layers that are larger than necessary. `sizes` has the uncompressed bytes of the layers' tars.
pub(super) fn badly_compressed(
    image: &ImageSteps,
    sizes: &[u64],
    samples: &[ByteSample],
) -> Vec<Finding> {
    let layers = image.layers.iter().zip(sizes).zip(samples);
    let mut findings = Vec::new();
    for ((row, tar), sample) in layers.filter(|((_, tar), _)| **tar >= MIN_BYTES) {
        let Some(entropy) = sample.entropy() else { continue };
        let expected = tar / 1_000_000 * entropy + tar % 1_000_000 * entropy / 1_000_000;
        let saved = row.size.saturating_sub(expected);
        if row.size.saturating_mul(100) < expected.saturating_mul(TOLERANCE) {
            continue;
        }
        let tip = "build with `--output type=image,compression=zstd` or gzip, level 6 or higher";
        let (rule, message) = if row.size >= *tar && row.uncompressed_size.is_some() {
            (Rule::UncompressedLayer, "is not compressed".to_owned())
        } else {
            let percent = row.size.saturating_mul(100) / tar;
            (Rule::PoorCompression, format!("is compressed to {percent} % only"))
        };
        let finding = image.finding(rule, Some(row.index), message, tip);
        findings.push(finding.with_bytes(saved));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_sample_is_share_of_bytes() {
        let entropy = |bytes: &[u8]| {
            let mut sample = ByteSample::default();
            sample.add(bytes);
            sample.entropy()
        };
        assert_eq!(entropy(b""), None);
        assert_eq!(entropy(&[7; 99]), Some(0));
        assert_eq!(entropy(b"abababab"), Some(125_000), "one bit of eight");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(entropy(&all), Some(1_000_000));
    }
}
