//! Titles: the names of an artifact's files, and the annotations of its blobs.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path};

use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// Annotation of a blob that is a tar of a directory: the digest of the uncompressed tar, as oras writes it.
pub(super) const TAR_DIGEST: &str = "io.deis.oras.content.digest";

/// Annotation of a blob that is to be unpacked when it is pulled.
pub(super) const UNPACK: &str = "io.deis.oras.content.unpack";

/// The type of a directory: its tar.
pub(super) const DIRECTORY: MediaType = MediaType::OCI_LAYER_GZIP;

/// A relative path that does not lead out of its directory: `notes.txt`, `docs/a.md`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Title(Vec<String>);

impl Title {
    /// Parses the title of a blob that is pulled.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`] if there can be no file of that name in the directory.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Self::parse_or_reason(text).map_err(|reason| {
            Error::new(ErrorKind::Unpack, format!("title `{text}`")).with_reason(reason)
        })
    }

    /// Parses a title. The error is the reason.
    pub(super) fn parse_or_reason(text: &str) -> Result<Self, &'static str> {
        const OUTSIDE: &str = "leads out of the directory";
        if text.contains('\0') {
            return Err("has a NUL character, which no file name has");
        }
        if text.contains('\\') {
            return Err("has a backslash, which separates directories on some systems");
        }
        let mut parts = Vec::new();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(part) => {
                    parts.push(part.to_str().ok_or(OUTSIDE)?.to_owned());
                }
                Component::CurDir => {}
                _ => return Err(OUTSIDE),
            }
        }
        if parts.is_empty() {
            return Err("is not the name of a file");
        }
        Ok(Self(parts))
    }

    /// The title of a file that is pushed: its path as typed, or its name if another user could not have it there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a path without a name, or one that is not UTF-8.
    pub(super) fn from_path(path: &Path) -> Result<Self> {
        let invalid = |reason| {
            Error::new(ErrorKind::InvalidInput, format!("file `{}`", path.display()))
                .with_reason(reason)
        };
        let is_inside =
            |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.components().all(is_inside)
            && let Some(text) = path.to_str()
            && let Ok(title) = Self::parse(text)
        {
            return Ok(title);
        }
        let name = path.file_name().ok_or_else(|| invalid("has no name"))?;
        let name = OsStr::to_str(name).ok_or_else(|| invalid("has a name that is not UTF-8"))?;
        Self::parse(name).map_err(|_| invalid("has a name that cannot be a title"))
    }

    /// The directories, and the name in them.
    pub(super) fn split(&self) -> (&[String], &str) {
        match self.0.split_last() {
            Some((name, directories)) => (directories, name),
            None => (&[], ""),
        }
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_leading_out_is_refused() {
        for (text, title) in [
            ("notes.txt", Some("notes.txt")),
            ("./docs//a.md", Some("docs/a.md")),
            ("docs/", Some("docs")),
            ("..", None),
            ("a/../../b", None),
            ("a/../b", None),
            ("/etc/passwd", None),
            ("", None),
            (".", None),
            ("a\0b", None),
            ("..\\b", None),
        ] {
            let parsed = Title::parse(text);
            assert_eq!(parsed.ok().map(|title| title.to_string()).as_deref(), title, "{text:?}");
        }
    }

    #[test]
    fn title_of_file_is_its_path_as_typed_or_its_name() {
        for (path, title) in [
            ("notes.txt", Some("notes.txt")),
            ("./docs/a.md", Some("docs/a.md")),
            ("../docs/a.md", Some("a.md")),
            ("/srv/a.md", Some("a.md")),
            ("docs/", Some("docs")),
            ("..", None),
            ("/", None),
        ] {
            let made = Title::from_path(Path::new(path));
            assert_eq!(made.ok().map(|title| title.to_string()).as_deref(), title, "{path}");
        }
    }
}
