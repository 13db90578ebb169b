//! Which images entries select at their sources.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use futures_util::{StreamExt as _, stream};

use super::ends::Ends;
use crate::cli::size::plural;
use crate::error::{Error, Result, Side};
use crate::limits::CONCURRENT_REQUESTS;
use crate::location::Location;
use crate::mirror::{EntrySource, MirrorEntry, tag_in_layout};
use crate::name::ImageName;
use crate::reference::Reference;

/// What was found, or the name of what cannot be listed, and why.
pub(super) type Listed<T> = Result<T, (String, Error)>;

/// The sources of an entry.
pub(super) struct Sources {
    /// The places of its images, or what cannot be listed.
    pub(super) images: Vec<Listed<Location>>,
    /// Repositories that were looked at, also those without images.
    pub(super) repositories: Vec<Reference>,
    /// How many tags or names they have, as far as they were listed.
    listed: usize,
}

impl Sources {
    /// Why the entry selects no image, if so.
    pub(super) fn nothing_selected(&self, entry: &MirrorEntry) -> Option<String> {
        if !self.images.is_empty() {
            return None;
        }
        let tags = plural(self.listed as u64, "tag");
        Some(match &entry.from {
            EntrySource::Repositories { registry, rules } if self.repositories.is_empty() => {
                format!("no repository of {registry} matches `{rules}`")
            }
            EntrySource::Repositories { registry, rules } => {
                format!("0 of {tags} of repositories `{registry}/{rules}` match")
            }
            EntrySource::Repository(repository) => format!("0 of {tags} of {repository} match"),
            EntrySource::Layout(path) => format!("0 of {tags} of oci:{} match", path.display()),
            EntrySource::Image(location) => format!("{location} is not an image"),
        })
    }
}

/// Finds the sources of all entries; tags of a repository are listed once.
pub(super) async fn sources(entries: &[MirrorEntry], ends: &mut Ends<'_>) -> Vec<Sources> {
    let mut repositories: Vec<Vec<Listed<Reference>>> = Vec::new();
    for entry in entries {
        repositories.push(match &entry.from {
            EntrySource::Repository(repository) => vec![Ok(repository.clone())],
            EntrySource::Repositories { registry, rules } => match ends.catalog(registry).await {
                Ok(names) => {
                    let names = names.iter().filter(|name| rules.matches(name));
                    let full = names.map(|name| format!("{registry}/{name}"));
                    full.map(|name| {
                        Reference::repository_only(&name).map_err(|error| (name, error))
                    })
                    .collect()
                }
                Err(error) => vec![Err((format!("{registry}/{rules}"), error))],
            },
            EntrySource::Layout(_) | EntrySource::Image(_) => Vec::new(),
        });
    }
    let to_list: HashSet<&Reference> = entries
        .iter()
        .zip(&repositories)
        .filter(|(entry, _)| entry.tags.only_names().is_none())
        .flat_map(|(_, repositories)| repositories.iter().flatten())
        .collect();
    let mut lists = HashMap::new();
    let mut opened = Vec::new();
    for repository in to_list {
        match ends.repository_to_list(repository) {
            Ok(handle) => opened.push((repository.clone(), handle)),
            Err(error) => drop(lists.insert(repository.clone(), Err(error))),
        }
    }
    let listing = opened.into_iter().map(|(repository, handle)| async move {
        let tags = handle.tags().await.map_err(|error| error.with_side(Side::Source));
        (repository, tags)
    });
    let listing = stream::iter(listing.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_REQUESTS);
    lists.extend(listing.collect::<Vec<_>>().await);
    let each = entries.iter().zip(repositories).map(|(entry, listed)| {
        let repositories: Vec<Reference> = listed.iter().flatten().cloned().collect();
        let tags = repositories.iter().filter_map(|one| lists.get(one)?.as_ref().ok());
        let mut count = tags.map(Vec::len).sum();
        let images = match &entry.from {
            EntrySource::Image(location) => vec![Ok(location.clone())],
            EntrySource::Layout(path) => {
                let (images, names) = in_layout(entry, path, ends);
                count = names;
                images
            }
            EntrySource::Repository(_) | EntrySource::Repositories { .. } => {
                let tagged = listed.into_iter().map(|one| tagged(entry, &one?, &lists));
                let tagged = tagged.map(|one| one.unwrap_or_else(|failed| vec![Err(failed)]));
                tagged.flatten().collect()
            }
        };
        Sources { images, repositories, listed: count }
    });
    each.collect()
}

/// The selected tags of a repository.
fn tagged(
    entry: &MirrorEntry,
    repository: &Reference,
    lists: &HashMap<Reference, Result<Vec<String>>>,
) -> Listed<Vec<Listed<Location>>> {
    let tags = match (entry.tags.only_names(), lists.get(repository)) {
        (Some(_), _) | (None, None) => entry.tags.select(&[]),
        (None, Some(Ok(tags))) => entry.tags.select(tags),
        (None, Some(Err(error))) => return Err((repository.to_string(), error.clone_for())),
    };
    let images = tags.iter().map(|tag| {
        let image = repository.with_tag(tag).map(Location::Registry);
        image.map_err(|error| (repository.to_string(), error))
    });
    Ok(images.collect())
}

/// The selected images of a layout, and how many names it has; one without names has only one image.
fn in_layout(
    entry: &MirrorEntry,
    path: &Path,
    ends: &mut Ends<'_>,
) -> (Vec<Listed<Location>>, usize) {
    let location = |name: ImageName| Location::Layout { path: path.to_owned(), name };
    let entries = match ends.layout(path).and_then(|layout| layout.entries()) {
        Ok(entries) => entries,
        Err(error) => return (vec![Err((location(ImageName::Only).to_string(), error))], 0),
    };
    let mut names: Vec<String> =
        entries.into_iter().filter_map(|entry| entry.names.into_iter().next()).collect();
    // There may be one for each platform, and not beside each other.
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if names.is_empty() {
        return (vec![Ok(location(ImageName::Only))], 0);
    }
    let tags: Vec<String> = names.iter().map(|name| tag_in_layout(name)).collect();
    let selected = entry.tags.select(&tags);
    let missing = selected.iter().filter(|tag| !tags.contains(tag)).cloned();
    let found = names.iter().zip(&tags).filter(|(_, tag)| selected.contains(tag));
    let images = missing.chain(found.map(|(name, _)| name.clone()));
    (images.map(|name| Ok(location(ImageName::Layout(name)))).collect(), names.len())
}
