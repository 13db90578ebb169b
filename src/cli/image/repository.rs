//! Repositories on the command line, for commands that work on a whole repository.

use crate::error::{Error, ErrorKind, Result};
use crate::location::{DefaultLocation, Location};
use crate::reference::Reference;

/// Parses the name of a repository in a registry, without a tag.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], also for the store, layouts, archives and engines.
pub(in crate::cli) fn parse_repository(text: &str) -> Result<Reference> {
    let hint = match Location::parse(text, DefaultLocation::Registry) {
        Ok(Location::Registry(_)) | Err(_) => {
            return Reference::repository_only(text.strip_prefix("docker://").unwrap_or(text));
        }
        Ok(Location::Store(_) | Location::Id { .. }) => {
            "`rpull images` lists the images in the store, and `rpull rm` removes them"
        }
        Ok(_) => "write REGISTRY/REPOSITORY, such as `ghcr.io/org/app`",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("repository `{text}`"))
        .with_reason("is not in a registry")
        .with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_must_be_in_registry() {
        for text in ["alpine", "docker://ghcr.io/org/app", "localhost:5000/app"] {
            assert!(parse_repository(text).is_ok(), "{text}");
        }
        for text in ["store:app", "oci:dir", "docker-archive:x.tar", "docker-daemon:app"] {
            assert_eq!(parse_repository(text).unwrap_err().reason(), "is not in a registry");
        }
        let tagged = parse_repository("alpine:3").unwrap_err();
        assert!(tagged.reason().contains("without the tag"), "{}", tagged.chain());
    }
}
