//! Layers that are not compressed, or hardly.

use super::finding::{Finding, Rule};
use super::image::ImageSteps;

/// Uncompressed bytes below which compression does not matter.
const MIN_BYTES: u64 = 100_000;

/// Share of its tar, in percent, from which a layer counts as not compressed at all.
const STORED_PERCENT: u64 = 98;

/// Largest share, in percent, that compression must be expected to leave. The estimate looks only at the beginning of each
/// file, and at single bytes.
const EXPECTED_PERCENT: u64 = 70;

/// Minimum bytes for frequencies that mean something.
const MIN_SAMPLE: usize = 256;

/// Estimates to how many bytes the files of a layer can be compressed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByteSample {
    bytes: u64,
    expected: u64,
}

impl ByteSample {
    /// Adds a file with this many bytes, which begins with these.
    pub(super) fn add(&mut self, size: u64, head: &[u8]) {
        // Millionths of the file.
        let entropy = entropy(head);
        self.bytes = self.bytes.saturating_add(size);
        let expected = size / 1_000_000 * entropy + size % 1_000_000 * entropy / 1_000_000;
        self.expected = self.expected.saturating_add(expected);
    }
}

/// Returns to how many of a million bytes a Huffman code would compress such bytes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of at most a million"
)]
fn entropy(bytes: &[u8]) -> u64 {
    if bytes.len() < MIN_SAMPLE {
        return 1_000_000;
    }
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let bits = |count: u32| {
        let share = f64::from(count) / bytes.len() as f64;
        -share * share.log2()
    };
    let bits: f64 = counts.into_iter().filter(|count| *count > 0).map(bits).sum();
    (bits / 8.0 * 1_000_000.0) as u64
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
        let is_stored = row.size.saturating_mul(100) >= tar.saturating_mul(STORED_PERCENT);
        let most = sample.bytes.saturating_mul(EXPECTED_PERCENT);
        if !is_stored || sample.expected.saturating_mul(100) > most {
            continue;
        }
        let saved = sample.bytes - sample.expected;
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
        assert_eq!(entropy(b"short"), 1_000_000);
        assert_eq!(entropy(&[7; 999]), 0);
        assert_eq!(entropy(&b"ab".repeat(200)), 125_000, "one bit of eight");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(entropy(&all), 1_000_000);
    }

    #[test]
    fn sample_weighs_files_by_size() {
        let mut sample = ByteSample::default();
        sample.add(4_000_000, &(0..=255).collect::<Vec<u8>>());
        sample.add(100_000, &[b'x'; 4096]);
        assert_eq!((sample.bytes, sample.expected), (4_100_000, 4_000_000));
    }
}
