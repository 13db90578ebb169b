//! Advice on the order and number of build steps.

use super::finding::{Finding, LayerBytes, Rule};
use super::hidden::HiddenFiles;
use super::image::ImageSteps;
use crate::insight::kind::LayerKind;

/// Uncompressed bytes from which a layer is much.
const MUCH: u64 = 1_000_000;

/// Returns each sequence of commands that directly follow each other and that each created a layer.
pub(super) fn consecutive_runs(image: &ImageSteps, hidden: &HiddenFiles) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut runs: Vec<usize> = Vec::new();
    let steps = image.steps.iter().map(|step| step.layer.filter(|_| step.kind == LayerKind::Run));
    for layer in steps.chain([None]) {
        if let Some(layer) = layer {
            runs.push(layer);
            continue;
        }
        if let [first, .., last] = runs.as_slice() {
            findings.push(run_finding(image, hidden, &runs, (*first, *last)));
        }
        runs.clear();
    }
    findings
}

fn run_finding(
    image: &ImageSteps,
    hidden: &HiddenFiles,
    runs: &[usize],
    (first, last): (usize, usize),
) -> Finding {
    let hidden_of = |from: usize| {
        let later = runs.iter().filter(|layer| **layer > from);
        let bytes = later.map(|layer| hidden.between(from, *layer)).sum();
        LayerBytes { layer: from, bytes }
    };
    let from: Vec<_> =
        runs.iter().map(|layer| hidden_of(*layer)).filter(|from| from.bytes > 0).collect();
    let bytes = from.iter().map(|from| from.bytes).sum();
    let message = format!("layers {first} to {last} are {} RUN in a row", runs.len());
    let tip = "join them with && or a here-document if they always change together";
    image
        .finding(Rule::ConsecutiveRuns, Some(first), message, tip)
        .with_bytes(bytes)
        .with_from(from)
}

/// Returns large layers of files that precede a command with a large layer: any change of a file repeats the command.
/// `bytes` has the uncompressed bytes of the files that each layer adds.
pub(super) fn copies_before_runs(image: &ImageSteps, bytes: &[u64]) -> Vec<Finding> {
    let size = |layer: usize| bytes.get(layer).copied().unwrap_or_default();
    let is_large = |layer: &usize| size(*layer) >= MUCH;
    let mut findings = Vec::new();
    for copy in (1..image.layers.len()).filter(|layer| image.is_copied(*layer)).filter(is_large) {
        let after = copy + 1..image.layers.len();
        let run = after.filter(is_large).find(|layer| image.kind(*layer) == LayerKind::Run);
        let Some(run) = run else { continue };
        let message = format!("a change of what it copies also repeats layer {run}");
        let tip = "copy only what the command needs (such as a lock file) before it, and the rest after it";
        let finding = image.finding(Rule::CopyBeforeRun, Some(copy), message, tip);
        let repeated = LayerBytes { layer: run, bytes: size(run) };
        findings.push(finding.with_from(vec![repeated]));
    }
    findings
}
