//! YAML with errors that name line and key.

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use crate::error::{Error, ErrorKind};

/// A YAML text with its name for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yaml<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
}

impl Yaml<'_> {
    pub(super) fn read<T: DeserializeOwned>(self) -> crate::error::Result<T> {
        serde_saphyr::from_str(self.text).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().map_or(1, |location| location.line());
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            // The policy belongs to the parser.
            let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
            self.invalid(line, message)
        })
    }

    /// The error about what is on this line.
    pub(super) fn invalid(self, line: u64, reason: &str) -> Error {
        let is_named =
            |key: &String| reason.starts_with("missing ") || reason.contains(&format!("`{key}`"));
        let key = self.key_at(line).filter(|key| !is_named(key));
        let reason = key.map_or(reason.to_owned(), |key| format!("`{key}`: {reason}"));
        Error::new(ErrorKind::InvalidInput, "mirror file").at(self.place(line)).with_reason(reason)
    }

    /// `FILE:LINE`
    pub(super) fn place(self, line: u64) -> String {
        format!("{}:{line}", self.file)
    }

    /// The key of the line, or that of the list which it is an item of.
    fn key_at(self, line: u64) -> Option<String> {
        let count = usize::try_from(line).ok()?;
        let lines: Vec<&str> = self.text.lines().take(count).collect();
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut most = usize::MAX;
        for line in lines.iter().rev() {
            let text = line.trim_start();
            if text.is_empty() || text.starts_with('#') || indent(line) > most {
                continue;
            }
            let item = text.trim_start_matches("- ");
            if let Some((key, rest)) = item.split_once(':')
                && (rest.is_empty() || rest.starts_with(' '))
                && !key.starts_with(['{', '[', '&', '*'])
            {
                return Some(key.trim_matches(['"', '\'']).to_owned());
            }
            most = indent(line);
        }
        None
    }
}

/// One text, or a list of texts, each with its line.
#[derive(Debug, Default)]
pub(super) struct OneOrMany(Vec<Spanned<String>>);

impl OneOrMany {
    /// The texts with their lines; `line` is that of a single one.
    pub(super) fn lines(&self, line: u64) -> impl Iterator<Item = (u64, &str)> {
        self.0.iter().map(move |text| (text.referenced.line().max(line), text.value.as_str()))
    }

    pub(super) fn one(text: &str) -> Self {
        let place = Location::UNKNOWN;
        Self(vec![Spanned::new(text.to_owned(), place, place)])
    }

    pub(super) fn from_seq<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(Self(texts))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMany::one(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        OneOrMany::from_seq(list)
    }
}
