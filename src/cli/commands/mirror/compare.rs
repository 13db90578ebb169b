//! Which images have not changed: one HEAD at each end tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use tokio::sync::OnceCell;

use super::images::{Copied, MirrorImage, Pending, Status};
use super::state::State;
use crate::content::{Effort, Presence, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Side};
use crate::name::ImageName;
use crate::transfer::{ArtifactOptions, PlatformSelection};

/// Images that are compared concurrently.
const CONCURRENCY: usize = 16;

/// Digests of names at their sources, each asked for once. Endpoints are compared as objects.
type SourceDigests = Mutex<HashMap<(usize, ImageName), Arc<OnceCell<Option<Digest>>>>>;

/// What is known of an image before it is transferred.
enum Compared {
    Unchanged(Copied),
    /// What the target has under its name.
    Found(Box<Presence<Descriptor>>),
    /// Nothing was asked.
    Unknown,
}

/// Compares images in registries. Others are compared when they are transferred, which costs no requests.
pub(super) async fn compare(images: Vec<MirrorImage>, state: &State) -> Vec<MirrorImage> {
    let digests = SourceDigests::default();
    let comparing = images.iter().map(|image| async {
        match image.pending() {
            Some(pending) => compare_one(pending, state, &digests).await,
            None => Ok(Compared::Unknown),
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
    if has_artifacts || !is_remote {
        return Ok(Compared::Unknown);
    }
    let remembered = state.copied(image);
    if let Some(copied) = remembered.clone().filter(|_| image.is_immutable) {
        return Ok(Compared::Unchanged(copied));
    }
    let found = target.name(&request.target_name, Effort::Request).await;
    let found = found.map_err(|error| error.with_side(Side::Target))?;
    let Presence::Present(current) = &found else { return Ok(Compared::Found(Box::new(found))) };
    let Some(resolved) = source_digest(&*request.source, &request.name, digests).await else {
        return Ok(Compared::Found(Box::new(found)));
    };
    let copied = Copied { resolved, digest: current.digest.clone() };
    let is_whole = matches!(request.platforms, PlatformSelection::All);
    if (is_whole && copied.resolved == copied.digest) || remembered.as_ref() == Some(&copied) {
        return Ok(Compared::Unchanged(copied));
    }
    Ok(Compared::Found(Box::new(found)))
}

/// The digest of a name at its source. `None` if the source does not tell it: the transfer finds out why.
async fn source_digest(
    source: &dyn Source,
    name: &ImageName,
    digests: &SourceDigests,
) -> Option<Digest> {
    let key = (std::ptr::from_ref(source.endpoint()).addr(), name.clone());
    let cell = {
        let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(digests.entry(key).or_default())
    };
    let ask = || async {
        let found = source.name(name, Effort::Request).await;
        found.ok().and_then(Presence::present).map(|descriptor| descriptor.digest)
    };
    cell.get_or_init(ask).await.clone()
}
