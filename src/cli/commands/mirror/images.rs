//! Which images go where.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::ends::{Ends, target_key};
use crate::cli::args::Shard;
use crate::cli::image::open::OpenedLocation;
use crate::cli::run::destination::Destination;
use crate::content::{EndpointKind, Target};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::location::Location;
use crate::mirror::{EntrySource, ImageParts, MirrorEntry};
use crate::reference::Reference;
use crate::transfer::{ArtifactOptions, ImageRequest, PlatformRequest, PlatformSelection};

/// Lists of tags that are requested concurrently.
const CONCURRENCY: usize = 8;

/// What the command line selects of the file.
pub(super) struct Part {
    pub(super) shard: Option<Shard>,
    /// Instead of those in the file.
    pub(super) platforms: Option<PlatformSelection>,
}

/// An image of the file, for one target.
pub(super) struct MirrorImage {
    /// Its name at the target, or at the source if that is not known.
    pub(super) reference: String,
    pub(super) status: Status,
}

pub(super) enum Status {
    /// It may have changed.
    Pending(Box<Pending>),
    /// The target has it.
    Unchanged(Box<Pending>, Copied),
    Failed(Error),
}

/// An image with its open source and target.
pub(super) struct Pending {
    pub(super) request: ImageRequest,
    pub(super) target: Arc<dyn Target>,
    /// Its name at the source.
    pub(super) source: String,
    /// The tag never changes.
    pub(super) is_immutable: bool,
}

/// An image that the target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    /// Digest of the name at the source.
    pub(super) resolved: Digest,
    /// Digest of the name at the target.
    pub(super) digest: Digest,
}

impl MirrorImage {
    fn failed(reference: &str, error: Error) -> Self {
        Self { reference: reference.to_owned(), status: Status::Failed(error) }
    }

    /// The image, if it may have changed.
    pub(super) fn pending(&self) -> Option<&Pending> {
        match &self.status {
            Status::Pending(image) => Some(image),
            Status::Unchanged(..) | Status::Failed(_) => None,
        }
    }
}

/// What was found, or the name of what cannot be listed, and why.
type Listed<T> = Result<T, (String, Error)>;

/// An image before its target is open.
struct Found<'a> {
    entry: &'a MirrorEntry,
    opened: OpenedLocation,
    tag: Option<String>,
    to: Location,
}

/// Finds the images of all entries. What fails for one of them is its error.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if two images would get the same name, or `--creds` would be sent to several registries.
pub(super) async fn find(
    entries: &[MirrorEntry],
    part: &Part,
    ends: &mut Ends<'_>,
) -> Result<Vec<MirrorImage>> {
    let mut found: Vec<Result<Found<'_>, MirrorImage>> = Vec::new();
    for (entry, sources) in entries.iter().zip(sources(entries, ends).await) {
        for source in sources {
            match source {
                Ok(location) => found.extend(open(entry, &location, ends).await),
                Err((what, error)) => found.push(Err(MirrorImage::failed(&what, error))),
            }
        }
    }
    if let Some(shard) = part.shard {
        found.retain(|one| one.as_ref().is_ok_and(|one| shard.has(&one.to)) || one.is_err());
    }
    check(&found, ends)?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for one in found.iter().flatten() {
        *counts.entry(target_key(&one.to)).or_default() += 1;
    }
    let mut images = Vec::new();
    for one in found {
        images.push(match one {
            Ok(one) => {
                let count = counts.get(&target_key(&one.to)).copied().unwrap_or(1);
                let reference = one.to.to_string();
                match pending(one, part, count, ends).await {
                    Ok(image) => MirrorImage {
                        reference: image.request.reference.clone(),
                        status: Status::Pending(Box::new(image)),
                    },
                    Err(error) => MirrorImage::failed(&reference, error),
                }
            }
            Err(failed) => failed,
        });
    }
    Ok(images)
}

/// The places of each entry's images, or what cannot be listed.
async fn sources(entries: &[MirrorEntry], ends: &mut Ends<'_>) -> Vec<Vec<Listed<Location>>> {
    let mut repositories: Vec<Vec<Listed<Reference>>> = Vec::new();
    for entry in entries {
        repositories.push(match &entry.from {
            EntrySource::Repository(repository) => vec![Ok(repository.clone())],
            EntrySource::Repositories { registry, pattern } => match ends.catalog(registry).await {
                Ok(names) => {
                    let names = names.iter().filter(|name| pattern.matches(name));
                    let full = names.map(|name| format!("{registry}/{name}"));
                    full.map(|name| {
                        Reference::repository_only(&name).map_err(|error| (name, error))
                    })
                    .collect()
                }
                Err(error) => vec![Err((format!("{registry}/{pattern}"), error))],
            },
            EntrySource::Image(_) => Vec::new(),
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
        match ends.listed(repository) {
            Ok(handle) => opened.push((repository.clone(), handle)),
            Err(error) => drop(lists.insert(repository.clone(), Err(error))),
        }
    }
    let listing = opened.into_iter().map(|(repository, handle)| async move {
        let tags = handle.tags().await.map_err(|error| error.with_side(Side::Source));
        (repository, tags)
    });
    let listing = stream::iter(listing.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY);
    lists.extend(listing.collect::<Vec<_>>().await);
    let each = entries.iter().zip(repositories).map(|(entry, repositories)| {
        if let EntrySource::Image(location) = &entry.from {
            return vec![Ok(location.clone())];
        }
        let tagged = repositories.into_iter().map(|repository| tagged(entry, &repository?, &lists));
        let tagged = tagged.map(|result| result.unwrap_or_else(|failed| vec![Err(failed)]));
        tagged.flatten().collect()
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

/// Opens the source of an image, and finds its targets.
async fn open<'a>(
    entry: &'a MirrorEntry,
    location: &Location,
    ends: &mut Ends<'_>,
) -> Vec<Result<Found<'a>, MirrorImage>> {
    let failed = |error: Error| MirrorImage::failed(&location.to_string(), error);
    let opened = match ends.source(location).await {
        Ok(opened) => opened,
        Err(error) => return vec![Err(failed(error.with_side(Side::Source)))],
    };
    let own = match location {
        Location::Registry(reference) => Some(reference.clone()),
        _ => opened.full_name.parse().ok(),
    };
    let parts = own.as_ref().map_or(
        ImageParts { registry: "", repository: &opened.full_name, tag: None, digest: None },
        ImageParts::from,
    );
    let targets = entry.to.iter().map(|to| {
        let to = to.render(&parts).map_err(|error| {
            failed(Error::new(ErrorKind::InvalidInput, &entry.place).with_reason(error.chain()))
        })?;
        let tag = parts.tag.map(str::to_owned);
        Ok(Found { entry, opened: opened.clone(), tag, to })
    });
    targets.collect()
}

fn check(found: &[Result<Found<'_>, MirrorImage>], ends: &Ends<'_>) -> Result<()> {
    let mut names: HashMap<String, &Found<'_>> = HashMap::new();
    for one in found.iter().flatten() {
        let own_name = if one.to.is_unnamed() { one.opened.full_name.as_str() } else { "" };
        let name = format!("{} {own_name}", one.to);
        if let Some(other) = names.insert(name, one) {
            let (first, second) = (&other.opened.reference, &one.opened.reference);
            let places = format!("{}, {}", other.entry.place, one.entry.place);
            return Err(Error::new(ErrorKind::InvalidInput, "mirror file")
                .at(places)
                .with_reason(format!("`{}` is the target of both {first} and {second}", one.to))
                .with_hint("use `{{repository}}` or `{{tag}}` in `to`"));
        }
    }
    let at_registry = |one: &&Found<'_>| one.opened.source.endpoint().address.is_some();
    let sources = found.iter().flatten().filter(at_registry);
    let sources = sources.filter_map(|one| one.opened.full_name.parse().ok());
    let targets = found.iter().flatten().filter_map(|one| one.to.registry().cloned());
    let references: Vec<Reference> = sources.chain(targets).collect();
    ends.settings.check_creds(&references)
}

/// Opens the target of an image, which gets `count` images.
async fn pending(
    found: Found<'_>,
    part: &Part,
    count: usize,
    ends: &mut Ends<'_>,
) -> Result<Pending> {
    let Found { entry, opened, tag, to } = found;
    let OpenedLocation { source, name, reference, full_name, .. } = opened;
    let destination = match &to {
        Location::Registry(reference) => Destination::for_push(reference.clone(), None)?,
        other => Destination::parse(&other.to_string(), None)?,
    };
    let artifacts = ArtifactOptions { referrers: entry.referrers, digest_tags: entry.digest_tags };
    destination.check_artifacts(artifacts)?;
    if ends.must_continue {
        destination.check_continuable()?;
    }
    let usual = match source.endpoint().kind {
        // `docker save` writes the whole index of an image, but only the platforms that it has; engines keep it so.
        EndpointKind::Archive | EndpointKind::Engine => PlatformSelection::Available,
        _ => PlatformSelection::All,
    };
    let named = part.platforms.clone().or_else(|| match entry.platforms.as_slice() {
        [] => None,
        [one] => Some(PlatformSelection::Single(PlatformRequest::exact(one.clone()))),
        several => Some(PlatformSelection::FilteredIndex(several.to_vec())),
    });
    let platforms = destination.platforms(named, usual)?;
    let target_name = destination.name(&full_name)?;
    let target = ends.target(&to, &destination, count).await;
    let own_name = destination.reference().unwrap_or_else(|| {
        if to.is_unnamed() { format!("{to}:{target_name}") } else { to.to_string() }
    });
    let request = ImageRequest {
        reference: own_name,
        target_name,
        platforms,
        artifacts: Some(artifacts),
        ..ImageRequest::new(source, name)
    };
    Ok(Pending {
        request,
        target: target.map_err(|error| error.with_side(Side::Target))?,
        source: reference,
        is_immutable: tag.is_some_and(|tag| entry.immutable.matches(&tag)),
    })
}

impl Shard {
    /// Whether images for this target are in the part.
    fn has(self, target: &Location) -> bool {
        let digest = Digest::sha256(target_key(target).as_bytes());
        let start = digest.encoded().get(..16).unwrap_or_default();
        u64::from_str_radix(start, 16).unwrap_or_default() % self.parts == self.part
    }
}
