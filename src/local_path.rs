//! Names of images that are paths of files or directories, and the locations to write for them.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::oci_layout_file;
use crate::reference::Reference;
use crate::reference::docker_hub::HUB;

/// Ends of the names of archives.
const ARCHIVE_SUFFIXES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

/// Parses the name of an image.
///
/// # Errors
/// [`ErrorKind::InvalidInput`]; for a path with the locations to write.
pub(crate) fn parse_name(text: &str) -> Result<Reference> {
    if is_path(text) {
        return Err(not_a_name(text));
    }
    match text.parse::<Reference>() {
        Ok(reference) if is_archive_name(text) && reference.registry() == HUB => {
            Err(not_a_name(text))
        }
        Err(_) if Path::new(path_of(text)).exists() => Err(not_a_name(text)),
        parsed => parsed,
    }
}

/// Whether the text begins as only paths do.
pub(crate) fn is_path(text: &str) -> bool {
    [".", "..", "~"].contains(&text)
        || ["./", "../", "/", "~/"].iter().any(|start| text.starts_with(start))
}

/// Returns the locations that a text can mean: for a file or an image layout that exists, else by its name.
pub(crate) fn locations(text: &str) -> Option<String> {
    let path = Path::new(path_of(text));
    if path.join(oci_layout_file::NAME).exists() {
        return Some(format!("`oci:{text}` for the image layout"));
    }
    path.is_file().then(|| archives(text))
}

fn not_a_name(text: &str) -> Error {
    // A shell replaces `~` only at the beginning of a word.
    let written = match text.strip_prefix('~') {
        Some(rest) => format!("$HOME{rest}"),
        None => text.to_owned(),
    };
    let found = locations(text).or_else(|| is_archive_name(text).then(|| archives(&written)));
    let hint = found.unwrap_or_else(|| format!("`oci:{written}` for an image layout"));
    Error::new(ErrorKind::InvalidInput, format!("image `{text}`"))
        .with_reason("is a path, not the name of an image")
        .with_hint(format!("write {hint}"))
}

fn archives(text: &str) -> String {
    format!("`oci-archive:{text}`, or `docker-archive:{text}` for the format of `docker save`")
}

/// Whether it is the name of an archive, and not that of an image with a tag.
fn is_archive_name(text: &str) -> bool {
    ARCHIVE_SUFFIXES.iter().any(|suffix| text.ends_with(suffix)) && !text.contains([':', '@'])
}

/// Returns the path of `PATH:NAME`.
fn path_of(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_rejected_with_location_to_write() {
        for (text, location) in [
            (".", "`oci:.` for an image layout"),
            ("./lay", "`oci:./lay`"),
            ("../lay:1.0", "`oci:../lay:1.0`"),
            ("/srv/lay", "`oci:/srv/lay`"),
            ("~/lay", "`oci:$HOME/lay`"),
            ("./a.tar", "`oci-archive:./a.tar`, or `docker-archive:./a.tar`"),
            ("a.tar", "`oci-archive:a.tar`"),
            ("build/a.tar.gz", "`oci-archive:build/a.tar.gz`"),
            ("src/", "`oci:src/`"),
            ("Cargo.toml", "`oci-archive:Cargo.toml`"),
        ] {
            let error = parse_name(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.reason(), "is a path, not the name of an image", "{text}");
            assert!(error.hint().unwrap().contains(location), "{text}: {:?}", error.hint());
        }
    }

    #[test]
    fn name_without_path_is_parsed() {
        for text in ["alpine", "src", "a.tar:1", "app:a.tar", "reg.test/a.tar", "localhost:5/a.tar"]
        {
            assert!(parse_name(text).is_ok(), "{text}");
        }
        let error = parse_name("missing/").unwrap_err();
        assert!(error.reason().contains("empty path component"), "{}", error.chain());
    }
}
