//! Advice on an image: bytes that are wasted, files that should not be in it, and steps that could be better.
//!
//! An [`Analyzer`] is given everything that [`read_layers`](super::files::read_layers) passes while it reads the layers
//! once; [`Analyzer::finish`] gives the findings. It keeps only totals and the largest paths, beside what it must remember
//! of paths that several layers have: 24 bytes for each.

mod build_context;
mod build_steps;
mod caches;
mod compression;
mod duplicates;
mod efficiency;
mod finding;
mod hidden;
mod image;
pub mod limits;
mod paths;
mod secrets;
#[cfg(test)]
mod tests;
mod top_paths;

use serde::Serialize;

use self::build_context::BuildContext;
use self::build_steps::{consecutive_runs, copies_before_runs};
use self::caches::caches;
use self::compression::{ByteSample, badly_compressed};
use self::duplicates::duplicates;
use self::efficiency::EfficiencyScore;
pub use self::finding::{Finding, FindingPath, LayerBytes, Rule, Severity};
use self::hidden::HiddenFiles;
use self::image::ImageSteps;
use self::secrets::Secrets;
use super::files::{Change, ContentId, FileTree, LayerTotals};
use crate::config::ImageConfig;
use crate::document::ImageManifest;

/// How the layers are stored where they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredAs {
    /// As a registry would give them.
    Blobs,
    /// Always uncompressed, as by `docker save`: the compression of the layers is not judged.
    PlainTars,
}

/// Collects what is said about an image while its layers are read, base first.
#[derive(Debug)]
pub struct Analyzer {
    image: ImageSteps,
    stored_as: StoredAs,
    efficiency: EfficiencyScore,
    hidden: HiddenFiles,
    secrets: Secrets,
    context: BuildContext,
    samples: Vec<ByteSample>,
    /// Bytes of the files that each layer adds or modifies.
    bytes: Vec<u64>,
}

/// Uncompressed bytes of files that are in the image, but not visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waste {
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What dive calls wasted: all sizes of the paths that it discovers in more than one layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DiveScore {
    /// Bytes.
    pub wasted_bytes: u64,
    /// Ratio of the wasted bytes to the bytes of all layers but the first. It may exceed 1.
    pub user_wasted_percent: f64,
}

/// The result for an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Analysis {
    /// dive's score, from 0 to 1.
    pub efficiency: f64,
    /// Uncompressed bytes of the files of all layers.
    pub bytes: u64,
    /// Files that later layers hide.
    pub wasted: Waste,
    /// dive's other numbers.
    pub dive: DiveScore,
    /// The gravest first, then those that cost the most.
    pub findings: Vec<Finding>,
}

impl Analyzer {
    /// Begins with the image's documents.
    pub fn new(manifest: &ImageManifest, config: &ImageConfig, stored_as: StoredAs) -> Self {
        Self {
            image: ImageSteps::new(manifest, config),
            stored_as,
            efficiency: EfficiencyScore::default(),
            hidden: HiddenFiles::default(),
            secrets: Secrets::default(),
            context: BuildContext::default(),
            samples: vec![ByteSample::default(); manifest.layers.len()],
            bytes: Vec::new(),
        }
    }

    /// Takes the first bytes of a regular file of a layer, before the layer's changes.
    pub fn head(&mut self, layer: usize, content: ContentId, size: u64, head: &[u8]) {
        self.secrets.head(content, head);
        if let Some(sample) = self.samples.get_mut(layer) {
            sample.add(size, head);
        }
    }

    /// Takes a change of a layer.
    pub fn change(&mut self, layer: usize, change: &Change<'_>) {
        self.efficiency.change(change);
        self.hidden.change(layer, change);
        self.secrets.change(layer, change);
        self.context.change(layer, self.image.is_copied(layer), change);
    }

    /// Takes the totals of a layer, after its changes.
    pub fn end_layer(&mut self, totals: &LayerTotals) {
        self.bytes.push(totals.bytes);
    }

    /// Returns the result. `sizes` has the uncompressed bytes of the layers' tars.
    pub fn finish(self, tree: &FileTree, sizes: &[u64]) -> Analysis {
        let Self { image, hidden, efficiency, .. } = self;
        let wasted = Waste { files: hidden.total.files, bytes: hidden.total.bytes };
        let mut findings = self.secrets.findings(&image);
        findings.extend(duplicates(tree, &image));
        findings.extend(caches(tree, &image));
        findings.extend(self.context.findings(&image));
        findings.extend(consecutive_runs(&image, &hidden));
        findings.extend(copies_before_runs(&image, &self.bytes));
        if self.stored_as == StoredAs::Blobs {
            findings.extend(badly_compressed(&image, sizes, &self.samples));
        }
        findings.extend(hidden.findings(&image));
        let rank = |finding: &Finding| {
            let first = std::cmp::Reverse((finding.severity, finding.bytes));
            (first, finding.rule, finding.layer)
        };
        findings.sort_by_key(rank);
        let wasted_bytes = efficiency.wasted();
        let user = self.bytes.iter().skip(1).sum();
        let dive = DiveScore { wasted_bytes, user_wasted_percent: ratio(wasted_bytes, user) };
        let bytes = self.bytes.iter().sum();
        Analysis { efficiency: efficiency.score(), bytes, wasted, dive, findings }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is rounded when it is shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
