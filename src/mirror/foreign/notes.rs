//! Keys of other tools that have no effect here.

use serde_json::Value;
use serde_saphyr::Spanned;

use crate::error::Result;
use crate::mirror::yaml::Yaml;

/// A key of another tool with any value.
pub(super) type AnyKey = Option<Spanned<Value>>;

/// What is said about keys that have no effect, each once.
pub(super) struct Notes<'a> {
    yaml: Yaml<'a>,
    said: Vec<&'static str>,
    pub(super) lines: Vec<String>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(yaml: Yaml<'a>) -> Self {
        Self { yaml, said: Vec::new(), lines: Vec::new() }
    }

    /// Notes that these keys have no effect, and why. Keys that turn something off have none anyway.
    pub(super) fn no_effect(&mut self, keys: &[(&'static str, &AnyKey, &str)]) {
        for (key, value, reason) in keys {
            let Some(line) = line(value.as_ref()) else { continue };
            if !self.said.contains(key) {
                self.said.push(*key);
                let place = self.yaml.place(line);
                self.lines.push(format!("{place}: `{key}` has no effect: {reason}"));
            }
        }
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) for the first of these keys that is present: without it, the result
    /// would be another.
    pub(super) fn refuse(&self, keys: &[(&'static str, &AnyKey, &str)]) -> Result<()> {
        let used =
            keys.iter().find_map(|(key, value, hint)| Some((line(value.as_ref())?, key, hint)));
        let Some((line, key, hint)) = used else { return Ok(()) };
        let error = self.yaml.invalid(line, &format!("`{key}` is not supported"));
        Err(if hint.is_empty() { error } else { error.with_hint(*hint) })
    }
}

/// The line of a key that is used.
fn line(value: Option<&Spanned<Value>>) -> Option<u64> {
    let value = value?;
    let is_off = match &value.value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    (!is_off).then(|| value.referenced.line())
}
