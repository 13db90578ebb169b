//! Which paths of an image to show.

use std::sync::atomic::{AtomicBool, Ordering};

use glob::{MatchOptions, Pattern};

use crate::error::{Error, ErrorKind, Result};
use crate::layer::{is_below, split};

/// `*` stays within one directory, `**` does not.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Paths and patterns; without any, every path is shown.
#[derive(Debug, Default)]
pub(super) struct PathFilter(Vec<Item>);

#[derive(Debug)]
enum Item {
    /// This path and what is below it.
    Path(TypedPath),
    Glob(Pattern),
    /// A pattern for the last component alone.
    NameGlob(Pattern),
}

/// A path as typed and as it is in a layer, and whether anything was found there.
#[derive(Debug)]
struct TypedPath {
    text: String,
    path: Vec<u8>,
    is_found: AtomicBool,
}

impl PathFilter {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a malformed pattern.
    pub(super) fn parse(texts: &[String]) -> Result<Self> {
        texts.iter().map(|text| item(text)).collect::<Result<_>>().map(Self)
    }

    /// Whether to show a path, which has no slash at its ends.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        // Each item notes whether it was found.
        let matching = self.0.iter().filter(|item| item.matches(path)).count();
        self.0.is_empty() || matching > 0
    }

    /// Whether it shows every path.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that every path without wildcards was found by [`PathFilter::matches`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the first that was not.
    pub(super) fn check_found(&self, image: &str, reason: &str) -> Result<()> {
        let missing = self.0.iter().find_map(|item| match item {
            Item::Path(own) if !own.is_found.load(Ordering::Relaxed) => Some(&own.text),
            _ => None,
        });
        missing.map_or(Ok(()), |text| {
            Err(Error::new(ErrorKind::NotFound, image).at(text).with_reason(reason))
        })
    }
}

fn item(text: &str) -> Result<Item> {
    let path = clean(text);
    if !path.contains(['*', '?', '[']) {
        // The root is always there.
        let is_found = AtomicBool::new(path.is_empty());
        return Ok(Item::Path(TypedPath { text: text.to_owned(), path: path.into(), is_found }));
    }
    let pattern = Pattern::new(&path).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("pattern `{text}`")).with_reason(error.msg)
    })?;
    Ok(if text.contains('/') { Item::Glob(pattern) } else { Item::NameGlob(pattern) })
}

/// A path as it is in a layer: without slashes at its ends, `.` and empty components.
pub(super) fn clean(text: &str) -> String {
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

impl Item {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Path(own) => {
                let is_shown = is_below(path, &own.path);
                own.is_found.fetch_or(is_shown, Ordering::Relaxed);
                is_shown
            }
            Self::Glob(pattern) => pattern.matches_with(&String::from_utf8_lossy(path), OPTIONS),
            Self::NameGlob(pattern) => {
                let (_, name) = split(path);
                pattern.matches_with(&String::from_utf8_lossy(name), OPTIONS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_filter_takes_paths_and_patterns() {
        for (filter, path, wanted) in [
            ("/etc/", "etc", true),
            ("./etc", "etc/apt/sources.list", true),
            ("etc", "etcetera", false),
            ("/", "anything", true),
            ("etc/*.conf", "etc/a.conf", true),
            ("/etc/*.conf", "etc/sub/a.conf", false),
            ("etc/**/*.conf", "etc/sub/deep/a.conf", true),
            ("*.pyc", "usr/lib/x.pyc", true),
            ("*.pyc", "x.pyc/y", false),
            ("?", ".", true),
        ] {
            let filter = PathFilter::parse(&[filter.to_owned()]).unwrap();
            assert_eq!(filter.matches(path.as_bytes()), wanted, "{filter:?} {path}");
        }
        let several = PathFilter::parse(&["a".into(), "b".into()]).unwrap();
        assert!(several.matches(b"b") && !several.matches(b"c"));
        assert!(PathFilter::parse(&[]).unwrap().matches(b"x"));
        let error = PathFilter::parse(&["a/[".into()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
