//! Which images have not changed: one HEAD at each end tells, and costs no request at a local one.

use futures_util::{StreamExt as _, stream};

use super::image::{Copied, MirrorImage, Pending, Status};
use super::source_digests::SourceDigests;
use super::state::MirrorState;
use crate::content::{self, BlobPresence, Effort, Endpoint, EndpointKind, Presence, Target};
use crate::descriptor::Descriptor;
use crate::document::{TreeWalk, WalkStep};
use crate::error::{Error, Side};
use crate::transfer::{ArtifactOptions, ImageRequest, PlatformSelection};

/// Images that are compared concurrently. A run that finds nothing new consists of these requests, so they are more than others.
const CONCURRENT_COMPARISONS: usize = 16;

/// What is known of an image before it is transferred.
enum Compared {
    Unchanged(Copied),
    /// What the target has under its name.
    Found(Box<Presence<Descriptor>>),
    /// It has failed already.
    Failed,
}

/// Compares images in registries and layouts. Others are compared when they are transferred, which costs no further requests.
pub(super) async fn compare(
    images: Vec<MirrorImage>,
    state: &MirrorState,
    digests: &SourceDigests,
) -> Vec<MirrorImage> {
    let comparing = images.iter().map(|image| async {
        match image.pending() {
            Some(pending) => compare_one(pending, state, digests).await,
            None => Ok(Compared::Failed),
        }
    });
    let comparing = stream::iter(comparing.collect::<Vec<_>>()).buffered(CONCURRENT_COMPARISONS);
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
    state: &MirrorState,
    digests: &SourceDigests,
) -> Result<Compared, Error> {
    let (request, target) = (&image.request, &image.target);
    let has_artifacts = request.artifacts.is_some_and(|all| all != ArtifactOptions::default());
    let is_remote = target.endpoint().address.is_some();
    // An archive is written anew by each run.
    let is_kept = is_remote || target.endpoint().kind == EndpointKind::Layout;
    let may_be_unchanged = is_kept && !has_artifacts && is_one_document(request).await;
    let remembered = state.copied(image).filter(|_| may_be_unchanged);
    let immutable = remembered.clone().filter(|_| image.is_immutable);
    if let Some(copied) = immutable.clone().filter(|_| is_remote) {
        return Ok(Compared::Unchanged(copied));
    }
    let found = target.name(&request.target_name, Effort::Request).await;
    let found = found.map_err(|error| error.with_side(Side::Target))?;
    if !may_be_unchanged {
        return Ok(Compared::Found(Box::new(found)));
    }
    let Presence::Present(current) = &found else { return Ok(Compared::Found(Box::new(found))) };
    if !is_remote && !is_complete(&**target, current).await {
        return Ok(Compared::Found(Box::new(found)));
    }
    if let Some(copied) = immutable.filter(|copied| copied.digest == current.digest) {
        return Ok(Compared::Unchanged(copied));
    }
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

/// Whether the name at the source is one document, which decides alone what is copied. A layout may have a manifest for each
/// platform under one name, and archives and engines may lack some of an index.
async fn is_one_document(request: &ImageRequest) -> bool {
    let Endpoint { address, kind, .. } = request.source.endpoint();
    match kind {
        _ if address.is_some() => true,
        EndpointKind::Layout => {
            let entries = request.source.platform_entries(&request.name).await;
            matches!(entries, Ok(Presence::Present(entries)) if entries.len() == 1)
        }
        _ => false,
    }
}

/// Whether a local target has everything below the document: nothing else checks what others delete there.
async fn is_complete(target: &dyn Target, root: &Descriptor) -> bool {
    let mut walk = TreeWalk::default();
    walk.queue(0, [root.clone()]);
    while let Some(WalkStep { item, depth }) = walk.next_step() {
        let Ok(document) = content::fetch_document(target, &item).await else { return false };
        for blob in document.blobs().filter(|blob| !blob.is_foreign()) {
            if !matches!(target.blob(blob, Effort::Local).await, Ok(BlobPresence::Complete)) {
                return false;
            }
        }
        walk.queue(depth + 1, document.children().cloned());
    }
    true
}
