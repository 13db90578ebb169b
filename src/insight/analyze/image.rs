//! The layers and build steps that findings refer to.

use super::finding::{Finding, LayerBytes, Rule};
use super::top_paths::TopPaths;
use crate::config::ImageConfig;
use crate::document::ImageManifest;
use crate::insight::command::{classify, display_command};
use crate::insight::kind::LayerKind;
use crate::insight::layers::{LayerRow, layers};
use crate::insight::steps;

/// A step of the build history.
#[derive(Clone, Debug)]
pub(super) struct BuildStep {
    /// The layer that it created.
    pub(super) layer: Option<usize>,
    /// What it did, also if it created the base.
    pub(super) kind: LayerKind,
}

/// The layers of an image, and the steps that created them.
#[derive(Clone, Debug)]
pub(super) struct ImageSteps {
    pub(super) layers: Vec<LayerRow>,
    /// Oldest first.
    pub(super) steps: Vec<BuildStep>,
}

impl ImageSteps {
    pub(super) fn new(manifest: &ImageManifest, config: &ImageConfig) -> Self {
        let step = |step: crate::insight::HistoryStep<'_>| BuildStep {
            layer: step.layer.map(|(index, _)| index),
            kind: step.entry.map_or(LayerKind::Other, classify),
        };
        let steps = steps(manifest, config).into_iter().map(step).collect();
        Self { layers: layers(manifest, config), steps }
    }

    /// What created the layer, also if it is the base.
    pub(super) fn kind(&self, layer: usize) -> LayerKind {
        let step = self.steps.iter().find(|step| step.layer == Some(layer));
        step.map_or(LayerKind::Other, |step| step.kind)
    }

    /// The command that created the layer, in one line.
    pub(super) fn command(&self, layer: usize) -> String {
        self.layers.get(layer).map(|row| display_command(&row.created_by)).unwrap_or_default()
    }

    /// Whether the layer has files of the build context: those of a build stage are not.
    pub(super) fn is_copied(&self, layer: usize) -> bool {
        let command = self.layers.get(layer).map_or("", |row| &row.created_by);
        matches!(self.kind(layer), LayerKind::Copy | LayerKind::Add) && !command.contains("--from=")
    }

    /// A finding about a layer, without bytes and paths.
    pub(super) fn finding(
        &self,
        rule: Rule,
        layer: Option<usize>,
        message: String,
        tip: &str,
    ) -> Finding {
        Finding {
            rule,
            severity: rule.severity(),
            layer,
            digest: layer.and_then(|layer| Some(self.layers.get(layer)?.digest.clone())),
            command: layer.map(|layer| self.command(layer)).unwrap_or_default(),
            bytes: 0,
            message,
            tip: tip.to_owned(),
            from: Vec::new(),
            files: 0,
            paths: Vec::new(),
        }
    }
}

impl Finding {
    pub(super) fn with_paths(mut self, paths: TopPaths) -> Self {
        (self.files, self.bytes) = (paths.files, paths.bytes);
        self.paths = paths.into_paths();
        self
    }

    pub(super) fn with_from(mut self, from: Vec<LayerBytes>) -> Self {
        self.from = from;
        self
    }

    pub(super) fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }
}
