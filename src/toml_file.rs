//! Parses TOML files that people write. Errors name the file, the line and the key.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// A file and its text.
#[derive(Clone, Copy)]
pub(crate) struct TomlFile<'a> {
    /// For error texts: `configuration`.
    pub(crate) what: &'static str,
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
}

impl TomlFile<'_> {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the file is not TOML, or has a value of a wrong type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let reason = match self.key_at(&span) {
                Some(key) if !error.message().contains(&format!("`{key}`")) => {
                    format!("`{key}`: {}", error.message())
                }
                _ => error.message().to_owned(),
            };
            self.error_at(&span, &reason)
        })
    }

    /// The error for what begins at the start of the span.
    pub(crate) fn error_at(&self, span: &Range<usize>, reason: &str) -> Error {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::new(ErrorKind::InvalidInput, self.what)
            .at(format!("{}:{line}", self.path.display()))
            .with_reason(reason)
    }

    /// The key of the line on which the span begins, if it has one.
    fn key_at(&self, span: &Range<usize>) -> Option<&str> {
        let start = self.text.get(..span.start)?.rfind('\n').map_or(0, |end| end + 1);
        let (key, _) = self.text.get(start..)?.lines().next()?.split_once('=')?;
        Some(key.trim()).filter(|key| !key.is_empty())
    }
}
