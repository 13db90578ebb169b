//! Which images go where.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use super::created::SourceKnowledge;
use super::ends::{Ends, target_key};
use super::image::{Found, MirrorImage, NamedLayout, NamedTarget, Pending, Status};
use super::pairs::{Pair, pairs};
use super::sources::sources;
use crate::cli::args::Shard;
use crate::cli::image::open::OpenedLocation;
use crate::cli::run::destination::Destination;
use crate::cli::size::plural;
use crate::content::EndpointKind;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::limits::CONCURRENT_REQUESTS;
use crate::location::Location;
use crate::mirror::{ImageParts, MirrorEntry};
use crate::reference::{Reference, is_tag};
use crate::transfer::{ArtifactOptions, ImageRequest, PlatformRequest, PlatformSelection};

/// What the command line selects of the file.
pub(super) struct FileSelection {
    pub(super) shard: Option<Shard>,
    /// Instead of those in the file.
    pub(super) platforms: Option<PlatformSelection>,
}

/// The images of the file, and the targets that it names in registries and layouts.
pub(super) struct Selection<'a> {
    pub(super) images: Vec<MirrorImage>,
    pub(super) targets: Vec<NamedTarget<'a>>,
    pub(super) layouts: Vec<NamedLayout<'a>>,
    /// Images between which deltas are made.
    pub(super) pairs: Vec<Pair>,
}

/// Finds the images of all entries. What fails for one of them is its error.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if two images would get the same name, or `--creds` would be sent to several registries.
pub(super) async fn find<'a>(
    entries: &'a [MirrorEntry],
    selection: &FileSelection,
    known: &SourceKnowledge<'_>,
    ends: &mut Ends<'_>,
) -> Result<Selection<'a>> {
    let mut found: Vec<Result<Found<'_>, MirrorImage>> = Vec::new();
    let (mut targets, mut layouts) = (Vec::new(), Vec::new());
    for (entry, sources) in entries.iter().zip(sources(entries, ends).await) {
        if let Some(reason) = sources.nothing_selected(entry) {
            tracing::warn!("{}: selects no image: {reason}", entry.place);
        }
        for repository in &sources.repositories {
            let parts = ImageParts::from(repository);
            let to = entry.to.iter();
            targets.extend(
                to.clone()
                    .filter_map(|to| to.repository(&parts))
                    .map(|to| NamedTarget { entry, to }),
            );
            let paths = to.filter_map(|to| to.layout(&parts));
            layouts.extend(paths.map(|path| NamedLayout { entry, path, name: None }));
        }
        for source in sources.images {
            match source {
                Ok(location) => found.extend(open(entry, &location, ends).await),
                Err((what, error)) => found.push(Err(MirrorImage::failed(&what, error))),
            }
        }
    }
    if let Some(shard) = selection.shard {
        found.retain(|one| one.as_ref().is_ok_and(|one| shard.has(&one.to)) || one.is_err());
        targets.retain(|target| shard.has(&Location::Registry(target.to.clone())));
        layouts.retain(|layout| shard.has(&layout.location()));
    }
    check(&found, ends)?;
    let found = young_enough(found, known).await;
    let pairs = pairs(&found, known).await;
    targets.extend(
        found.iter().flatten().filter_map(|one| {
            Some(NamedTarget { entry: one.entry, to: one.to.registry()?.clone() })
        }),
    );
    let images = open_targets(found, selection, &mut layouts, ends).await;
    Ok(Selection { images, targets, layouts, pairs })
}

/// Opens the targets of all images, and notes which of them are layouts.
async fn open_targets<'a>(
    found: Vec<Result<Found<'a>, MirrorImage>>,
    selection: &FileSelection,
    layouts: &mut Vec<NamedLayout<'a>>,
    ends: &mut Ends<'_>,
) -> Vec<MirrorImage> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for one in found.iter().flatten() {
        *counts.entry(target_key(&one.to)).or_default() += 1;
    }
    let mut images = Vec::new();
    for one in found {
        images.push(match one {
            Ok(one) => {
                let count = counts.get(&target_key(&one.to)).copied().unwrap_or(1);
                let (entry, to) = (one.entry, one.to.clone());
                match pending(one, selection, count, ends).await {
                    Ok(image) => {
                        if let Location::Layout { path, .. } = to {
                            let name = Some(image.request.target_name.clone());
                            layouts.push(NamedLayout { entry, path, name });
                        }
                        MirrorImage {
                            reference: image.request.reference.clone(),
                            status: Status::Pending(Box::new(image)),
                        }
                    }
                    Err(error) => MirrorImage::failed(&to.to_string(), error),
                }
            }
            Err(failed) => failed,
        });
    }
    images
}

/// Omits images that are too old for their entries.
async fn young_enough<'a>(
    found: Vec<Result<Found<'a>, MirrorImage>>,
    known: &SourceKnowledge<'_>,
) -> Vec<Result<Found<'a>, MirrorImage>> {
    let now = Timestamp::now();
    let checks = found.iter().map(|one| async move {
        let Ok(Found { entry, opened, tag, .. }) = one else { return true };
        let Some(rule) = &entry.tags.created else { return true };
        if tag.as_ref().is_some_and(|tag| entry.tags.names(tag)) {
            return true;
        }
        let created = known.created_at(&opened.source, &opened.name).await;
        rule.accepts(created.as_deref(), now)
    });
    let checks = stream::iter(checks.collect::<Vec<_>>()).buffered(CONCURRENT_REQUESTS);
    let accepted: Vec<bool> = checks.collect().await;
    warn_of_too_old(&found, &accepted);
    found
        .into_iter()
        .zip(accepted)
        .filter(|(_, is_accepted)| *is_accepted)
        .map(|(one, _)| one)
        .collect()
}

/// Warns about entries of which `created` leaves nothing.
fn warn_of_too_old(found: &[Result<Found<'_>, MirrorImage>], accepted: &[bool]) {
    let mut remaining: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for (one, is_accepted) in found.iter().zip(accepted) {
        if let Ok(one) = one {
            let (count, is_any) = remaining.entry(&one.entry.place).or_default();
            *count += 1;
            *is_any |= is_accepted;
        }
    }
    for (place, (count, is_any)) in remaining {
        if !is_any {
            let images = plural(count, "image");
            tracing::warn!("{place}: selects no image: `created` excludes {images}");
        }
    }
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
    let mut parts = own.as_ref().map_or(
        ImageParts { registry: "", repository: &opened.full_name, tag: None, digest: None },
        ImageParts::from,
    );
    if matches!(location, Location::Layout { .. }) && is_tag(&opened.full_name) {
        parts.tag = Some(&opened.full_name);
    }
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
    selection: &FileSelection,
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
    let named = selection.platforms.clone().or_else(|| match entry.platforms.as_slice() {
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
    /// Whether images for this target are in the shard.
    fn has(self, target: &Location) -> bool {
        let digest = Digest::sha256(target_key(target).as_bytes());
        let start = digest.encoded().get(..16).unwrap_or_default();
        u64::from_str_radix(start, 16).unwrap_or_default() % self.parts == self.part
    }
}
