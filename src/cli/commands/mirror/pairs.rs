//! Which images have a predecessor that deltas are made from.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

use super::created::SourceKnowledge;
use super::ends::target_key;
use super::image::{Found, MirrorImage};
use crate::cli::image::open::OpenedLocation;
use crate::limits::CONCURRENT_REQUESTS;
use crate::location::Location;
use crate::mirror::{pairs_by_time, pairs_by_version};
use crate::reference::Reference;

/// Positions of two images of the run.
pub(super) struct Pair {
    pub(super) old: usize,
    pub(super) new: usize,
    /// The repository that has both.
    pub(super) repository: Reference,
}

/// A tag of a series.
struct Tagged<'a> {
    position: usize,
    opened: &'a OpenedLocation,
    tag: &'a str,
    to: &'a Reference,
}

/// Returns consecutive tags of a source in one repository. If no tag has a version, creation times decide.
pub(super) async fn pairs(
    found: &[Result<Found<'_>, MirrorImage>],
    known: &SourceKnowledge<'_>,
) -> Vec<Pair> {
    let mut series: BTreeMap<[String; 3], Vec<Tagged<'_>>> = BTreeMap::new();
    for (position, one) in found.iter().enumerate() {
        let Ok(one) = one else { continue };
        let Location::Registry(to) = &one.to else { continue };
        let Some(tag) = one.tag.as_deref().filter(|_| one.entry.deltas) else { continue };
        let source = one.opened.source.endpoint().location.clone();
        let key = [one.entry.place.clone(), source, target_key(&one.to)];
        series.entry(key).or_default().push(Tagged { position, opened: &one.opened, tag, to });
    }
    let mut pairs = Vec::new();
    for images in series.into_values() {
        let tags: Vec<&str> = images.iter().map(|image| image.tag).collect();
        let consecutive = match pairs_by_version(&tags) {
            Some(pairs) => pairs,
            None if images.len() < 2 => continue,
            None => pairs_by_time(&creation_times(&images, known).await),
        };
        pairs.extend(consecutive.into_iter().filter_map(|(old, new)| {
            let (old, new) = (images.get(old)?, images.get(new)?);
            let repository = new.to.without_name();
            Some(Pair { old: old.position, new: new.position, repository })
        }));
    }
    pairs
}

async fn creation_times(images: &[Tagged<'_>], known: &SourceKnowledge<'_>) -> Vec<Option<String>> {
    let times =
        images.iter().map(|image| known.created_at(&image.opened.source, &image.opened.name));
    stream::iter(times.collect::<Vec<_>>()).buffered(CONCURRENT_REQUESTS).collect().await
}
