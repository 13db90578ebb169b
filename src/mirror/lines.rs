//! Images from lines of text, one `SRC DST` each.

use std::collections::BTreeMap;

use super::file::{EntrySource, MirrorEntry, MirrorFile};
use super::template::Template;
use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};

impl MirrorFile {
    /// Reads lines with the place of an image and its target. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the line.
    pub(crate) fn from_lines(text: &str, file: &str) -> Result<Self> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let entries = lines.map(|(number, line)| {
            let place = format!("{file}:{number}");
            let invalid = |reason: &str| {
                Error::new(ErrorKind::InvalidInput, "mirror").at(&place).with_reason(reason)
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[from, to] = words.as_slice() else { return Err(invalid("expected `SRC DST`")) };
            let from = Location::parse(from, DefaultLocation::Registry)
                .map_err(|error| invalid(&error.chain()))?;
            let to = Template::parse(to).map_err(|reason| invalid(&reason))?;
            Ok(MirrorEntry::new(place, EntrySource::Image(from), vec![to]))
        });
        let entries = entries.collect::<Result<_>>()?;
        Ok(Self { entries, registries: BTreeMap::new(), notes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_image_and_target() {
        let text = "alpine r.io/alpine\n\n# comment\n  oci:a:1\tstore:b:1  \n";
        let file = MirrorFile::from_lines(text, "stdin").unwrap();
        let read = file.entries.iter().map(|entry| match &entry.from {
            EntrySource::Image(location) => (location.to_string(), entry.place.as_str()),
            other => panic!("{other:?}"),
        });
        let read: Vec<_> = read.collect();
        let alpine = "docker.io/library/alpine:latest".to_owned();
        assert_eq!(read, [(alpine, "stdin:1"), ("oci:a:1".to_owned(), "stdin:4")]);
    }

    #[test]
    fn malformed_line_is_named() {
        for (text, expected) in [
            ("alpine", "mirror: stdin:1: expected `SRC DST`"),
            ("a:1 b:1\na b c", "mirror: stdin:2: expected `SRC DST`"),
            ("A b", "mirror: stdin:1: reference `A`: "),
            ("a docker-daemon:b", "mirror: stdin:1: "),
        ] {
            let error = MirrorFile::from_lines(text, "stdin").unwrap_err().chain();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
