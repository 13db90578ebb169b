//! The build history of an edited image, which must have one step with a layer for each layer.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::edited_object::{EditedObject, raw};
use crate::config::{HistoryEntry, ImageConfig};
use crate::error::Result;

const HISTORY: &str = "history";

/// A step of the build history that adds a layer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Step {
    /// What the step did, as a Dockerfile says it: `COPY app /`.
    pub created_by: String,
    /// When, in RFC 3339. It also becomes the creation time of the image.
    pub created: Option<String>,
}

impl Step {
    /// A step without a time.
    pub fn new(created_by: impl Into<String>) -> Self {
        Self { created_by: created_by.into(), created: None }
    }

    crate::setters::setters! {
        optional into created: String;
    }

    pub(super) fn entry(&self) -> Result<Box<RawValue>> {
        let mut entry = Map::new();
        if let Some(created) = &self.created {
            entry.insert("created".to_owned(), created.as_str().into());
        }
        entry.insert("created_by".to_owned(), self.created_by.as_str().into());
        raw(HISTORY, &Value::Object(entry))
    }
}

fn with_layer(history: &[HistoryEntry]) -> usize {
    history.iter().filter(|entry| !entry.empty_layer).count()
}

/// Whether the history has one step per layer. Some builders write none.
pub(super) fn is_complete(config: &ImageConfig) -> bool {
    with_layer(&config.history) == config.rootfs.diff_ids.len()
}

/// Adds a step, unless the history is not that of the layers.
pub(super) fn push(object: &mut EditedObject, config: &ImageConfig, step: &Step) -> Result<()> {
    if !is_complete(config) {
        return Ok(());
    }
    let mut history = object.list(HISTORY)?;
    history.push(step.entry()?);
    object.set(HISTORY, &history)
}

/// Sets the history to this one step.
pub(super) fn replace(object: &mut EditedObject, step: &Step) -> Result<()> {
    object.set(HISTORY, &[step.entry()?])
}

/// Exchanges the steps of the old base for those of the new one. Histories that are not those of their layers are left out.
pub(super) fn rebase(
    object: &mut EditedObject,
    own: &ImageConfig,
    old_base: &ImageConfig,
    (new_object, new_base): (&EditedObject, &ImageConfig),
) -> Result<()> {
    if !is_complete(own) || !is_complete(new_base) {
        object.remove(HISTORY);
        return Ok(());
    }
    let mut history = new_object.list(HISTORY)?;
    let upper = upper_steps(own, old_base);
    history.extend(object.list(HISTORY)?.into_iter().skip(upper));
    object.set(HISTORY, &history)
}

/// The number of steps that belong to the base.
fn upper_steps(own: &ImageConfig, base: &ImageConfig) -> usize {
    let layers = base.rootfs.diff_ids.len();
    let steps = base.history.len();
    if own.history.get(..steps).is_some_and(|first| with_layer(first) == layers) {
        return steps;
    }
    let mut seen = 0;
    own.history
        .iter()
        .take_while(|entry| {
            seen += usize::from(!entry.empty_layer);
            seen <= layers
        })
        .count()
}
