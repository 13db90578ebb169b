//! Bytes that later layers hide: files deleted, replaced, or written again unchanged.

use std::collections::BTreeMap;

use super::finding::{Finding, LayerBytes, Rule};
use super::image::ImageSteps;
use super::top_paths::{TopPaths, files};
use crate::insight::files::{Change, ChangeKind, Hidden};
use crate::layer::EntryKind;

/// How a layer hides files of lower layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hiding {
    Deleted,
    Overwritten,
    /// With the same content, but other mode, owner or attributes.
    Metadata,
    /// With the same content, mode, owner and attributes.
    Unchanged,
}

#[derive(Debug, Default)]
struct Hiders {
    paths: TopPaths,
    /// Bytes by the layer that has them.
    from: BTreeMap<usize, u64>,
}

/// Collects what is hidden, by the layer that hides it.
#[derive(Debug, Default)]
pub(super) struct HiddenFiles {
    by_layer: BTreeMap<(usize, Hiding), Hiders>,
    /// How the directory was removed that implied changes are in.
    removing: Option<Hiding>,
    pub(super) total: Hidden,
}

impl HiddenFiles {
    pub(super) fn change(&mut self, layer: usize, change: &Change<'_>) {
        let hiding = match change.kind {
            ChangeKind::Deleted if change.implied => self.removing.unwrap_or(Hiding::Deleted),
            ChangeKind::Deleted => Hiding::Deleted,
            ChangeKind::Added => return,
            ChangeKind::Modified => hiding(change),
        };
        if !change.implied {
            self.removing = Some(hiding);
        }
        let (own, below) = (change.hidden, change.hidden_below);
        if own.bytes == 0 && below.bytes == 0 {
            return;
        }
        self.total.add(own);
        let hiders = self.by_layer.entry((layer, hiding)).or_default();
        hiders.paths.count(own.files, own.bytes);
        if let Some(before) = change.before {
            *hiders.from.entry(before.layer).or_default() += own.bytes;
        }
        if !change.implied {
            let note = (below.files > 0).then(|| files(own.files + below.files));
            hiders.paths.list(change.path, own.bytes.saturating_add(below.bytes), note);
        }
    }

    /// Bytes of `from` that `layer` hides.
    pub(super) fn between(&self, from: usize, layer: usize) -> u64 {
        let range = self.by_layer.range((layer, Hiding::Deleted)..=(layer, Hiding::Unchanged));
        range.filter_map(|(_, hiders)| hiders.from.get(&from)).sum()
    }

    pub(super) fn findings(self, image: &ImageSteps) -> Vec<Finding> {
        let finding = |((layer, hiding), Hiders { paths, from }): ((usize, Hiding), Hiders)| {
            let from = from.into_iter().filter(|(_, bytes)| *bytes > 0);
            let from: Vec<_> = from.map(|(layer, bytes)| LayerBytes { layer, bytes }).collect();
            let files = files(paths.files);
            let origins = origins(&from);
            let (rule, message, tip) = match hiding {
                Hiding::Deleted => (
                    Rule::DeletedLater,
                    format!("deletes {files} of {origins}, which stay in the image"),
                    "delete them in the instruction that creates them",
                ),
                Hiding::Overwritten => (
                    Rule::Overwritten,
                    format!("replaces {files} of {origins}, which stay in the image"),
                    "write the final content in one instruction",
                ),
                Hiding::Metadata => (
                    Rule::RewrittenUnchanged,
                    format!(
                        "changes only metadata of {files} of {origins}, and contains them again"
                    ),
                    "set owner and mode where the files are created, for example with COPY --chown --chmod",
                ),
                Hiding::Unchanged => (
                    Rule::RewrittenUnchanged,
                    format!("contains {files} of {origins} again, unchanged"),
                    "do not copy or touch the files again",
                ),
            };
            let finding = image.finding(rule, Some(layer), message, tip);
            finding.with_paths(paths).with_from(from)
        };
        self.by_layer.into_iter().map(finding).collect()
    }
}

fn hiding(change: &Change<'_>) -> Hiding {
    let (Some(before), Some(after)) = (change.before, change.after) else {
        return Hiding::Overwritten;
    };
    let are_files = before.kind == EntryKind::File && after.kind == EntryKind::File;
    let same_content = before.content.is_some() && before.content == after.content;
    match are_files && before.size == after.size && same_content {
        true if before.has_same_metadata(&after) => Hiding::Unchanged,
        true => Hiding::Metadata,
        false => Hiding::Overwritten,
    }
}

/// Names the layers: `layer 1`, `layers 1 and 2`, `4 layers`.
fn origins(from: &[LayerBytes]) -> String {
    match from {
        [] => "lower layers".to_owned(),
        [one] => format!("layer {}", one.layer),
        [one, two] => format!("layers {} and {}", one.layer, two.layer),
        several => format!("{} layers", several.len()),
    }
}
