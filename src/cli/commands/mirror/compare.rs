//! Which images have not changed: one HEAD at each end tells.

use futures_util::{StreamExt as _, stream};

use super::image::{Copied, MirrorImage, Pending, Status};
use super::source_digests::SourceDigests;
use super::state::State;
use crate::content::{Effort, Presence};
use crate::descriptor::Descriptor;
use crate::error::{Error, Side};
use crate::transfer::{ArtifactOptions, PlatformSelection};

/// Images that are compared concurrently.
const CONCURRENCY: usize = 16;

/// What is known of an image before it is transferred.
enum Compared {
    Unchanged(Copied),
    /// What the target has under its name.
    Found(Box<Presence<Descriptor>>),
    /// It has failed already.
    Failed,
}

/// Compares images in registries. Others are compared when they are transferred, which costs no further requests.
pub(super) async fn compare(
    images: Vec<MirrorImage>,
    state: &State,
    digests: &SourceDigests,
) -> Vec<MirrorImage> {
    let comparing = images.iter().map(|image| async {
        match image.pending() {
            Some(pending) => compare_one(pending, state, digests).await,
            None => Ok(Compared::Failed),
        }
    });
    let comparing = stream::iter(comparing.collect::<Vec<_>>()).buffered(CONCURRENCY);
    let compared: Vec<_> = comparing.collect().await;
    let compared = images.into_iter().zip(compared).map(|(image, compared)| {
        let status = match (image.status, compared) {
            (Status::Pending(pending), Ok(Compared::Unchanged(copied))) => {
                Status::Unchanged(pending, copied)
            }
            (Status::Pending(mut pending), Ok(Compared::Found(found))) => {
                pending.request.found_at_target = Some(*found);
                Status::Pending(pending)
            }
            (_, Err(error)) => Status::Failed(error),
            (status, Ok(_)) => status,
        };
        MirrorImage { status, ..image }
    });
    compared.collect()
}

async fn compare_one(
    image: &Pending,
    state: &State,
    digests: &SourceDigests,
) -> Result<Compared, Error> {
    let (request, target) = (&image.request, &image.target);
    let has_artifacts = request.artifacts.is_some_and(|all| all != ArtifactOptions::default());
    let is_remote = [target.endpoint(), request.source.endpoint()]
        .iter()
        .all(|endpoint| endpoint.address.is_some());
    let may_be_unchanged = is_remote && !has_artifacts;
    let remembered = state.copied(image).filter(|_| may_be_unchanged);
    if let Some(copied) = remembered.clone().filter(|_| image.is_immutable) {
        return Ok(Compared::Unchanged(copied));
    }
    let found = target.name(&request.target_name, Effort::Request).await;
    let found = found.map_err(|error| error.with_side(Side::Target))?;
    if !may_be_unchanged {
        return Ok(Compared::Found(Box::new(found)));
    }
    let Presence::Present(current) = &found else { return Ok(Compared::Found(Box::new(found))) };
    let Some(resolved) = digests.get(&*request.source, &request.name).await else {
        return Ok(Compared::Found(Box::new(found)));
    };
    let copied = Copied { resolved, digest: current.digest.clone() };
    let is_whole = matches!(request.platforms, PlatformSelection::All);
    if (is_whole && copied.resolved == copied.digest) || remembered.as_ref() == Some(&copied) {
        return Ok(Compared::Unchanged(copied));
    }
    Ok(Compared::Found(Box::new(found)))
}
