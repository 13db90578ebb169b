//! Registries and repositories on the command line, for commands that work on a whole one.

use std::time::Duration;

use crate::cli::settings::{ForeignLayers, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::local_path;
use crate::location::{DefaultLocation, Location};
use crate::reference::{Reference, is_referrers_tag, registry_only};
use crate::registry::Client;
use crate::retry::RetryPolicy;

/// Delay before the second attempt of a question: all of its attempts take at most 1.5 s, as the user waits for nothing else.
const QUESTION_DELAY: Duration = Duration::from_millis(100);

const STORE_HINT: &str =
    "`rpull images` lists the images in the store, and `rpull rm` removes them";

/// Parses the name of a repository in a registry, without a tag.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], also for the store, layouts, archives and engines.
pub(in crate::cli) fn parse_repository(text: &str) -> Result<Reference> {
    let name_it = "write REGISTRY/REPOSITORY, such as `ghcr.io/org/app`";
    let hint = match Location::parse(text, DefaultLocation::Registry) {
        Err(_) if local_path::is_path(text) => name_it,
        Ok(Location::Registry(_)) | Err(_) => {
            return Reference::repository_only(text.strip_prefix("docker://").unwrap_or(text));
        }
        Ok(Location::Store(_) | Location::Id { .. }) => STORE_HINT,
        Ok(_) => name_it,
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("repository `{text}`"))
        .with_reason("is not in a registry")
        .with_hint(hint))
}

/// Parses the name of a registry.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], also for the store, layouts, archives and engines.
pub(in crate::cli) fn parse_registry(text: &str) -> Result<String> {
    registry_only(text.strip_prefix("docker://").unwrap_or(text)).map_err(|error| {
        let hint = match Location::parse(text, DefaultLocation::Registry) {
            Ok(Location::Store(_) | Location::Id { .. }) => STORE_HINT,
            Ok(Location::Registry(_)) | Err(_) => return error,
            Ok(_) => "write a host, such as `ghcr.io` or `localhost:5000`",
        };
        Error::new(ErrorKind::InvalidInput, format!("registry `{text}`"))
            .with_reason("is not a registry")
            .with_hint(hint)
    })
}

/// The tags of images in a repository.
pub(in crate::cli) struct ImageTags {
    pub(in crate::cli) tags: Vec<String>,
    /// Tags of lists of referrers, which are no images.
    pub(in crate::cli) referrer_lists: usize,
}

/// Lists the tags of a repository for `--all-tags`, which leaves out the same ones as a mirror.
pub(in crate::cli) async fn image_tags(
    client: &Client,
    repository: &Reference,
) -> Result<ImageTags> {
    let all = client.repository(repository)?.tags().await?;
    let (lists, tags): (Vec<_>, Vec<_>) = all.into_iter().partition(|tag| is_referrers_tag(tag));
    for tag in &lists {
        tracing::info!("leaving out {tag}: a list of referrers, not an image");
    }
    Ok(ImageTags { tags, referrer_lists: lists.len() })
}

/// Returns a client for a question about a registry or repository.
pub(in crate::cli) fn question_client(name: &str, settings: &Settings) -> Result<Client> {
    let mut options = settings.registry_options(name, ForeignLayers::Ignore)?;
    options.retry = for_question(options.retry);
    Ok(Client::new(options))
}

fn for_question(usual: RetryPolicy) -> RetryPolicy {
    RetryPolicy { base_delay: QUESTION_DELAY, ..usual }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::retry::retry;

    #[test]
    fn repository_must_be_in_registry() {
        for text in ["alpine", "docker://ghcr.io/org/app", "localhost:5000/app"] {
            assert!(parse_repository(text).is_ok(), "{text}");
        }
        for text in ["store:app", "oci:dir", "docker-archive:x.tar", "docker-daemon:app", "./lay"] {
            assert_eq!(parse_repository(text).unwrap_err().reason(), "is not in a registry");
        }
        let tagged = parse_repository("alpine:3").unwrap_err();
        assert!(tagged.reason().contains("without the tag"), "{}", tagged.chain());
    }

    #[test]
    fn registry_must_be_host() {
        for text in ["ghcr.io", "docker://ghcr.io", "localhost:5000", "store:5000"] {
            assert!(parse_registry(text).is_ok(), "{text}");
        }
        for text in ["store:app", "store:1f0a63b7e5d2", "oci:dir", "docker-archive:x.tar"] {
            assert_eq!(parse_registry(text).unwrap_err().reason(), "is not a registry", "{text}");
        }
        assert!(parse_registry("ghcr.io/org").unwrap_err().reason().contains("a registry only"));
        assert!(parse_registry("ghcr.io:x").unwrap_err().reason().contains("invalid port"));
    }

    #[tokio::test(start_paused = true)]
    async fn question_to_refusing_host_fails_soon() {
        let (began, mut tries) = (Instant::now(), 0);
        let error = retry::<(), _>(&for_question(RetryPolicy::default()), || {
            tries += 1;
            async { Err(Error::new(ErrorKind::Transport, "limits").transient(None)) }
        })
        .await
        .unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(tries == 5 && error.to_string().contains("tried 5 times"), "{error}");
    }
}
