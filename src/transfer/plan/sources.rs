//! Rejects an image before anything moves if one of its blobs is missing at source and target: an archive may omit blobs that
//! its recipient should have.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use crate::content::{BlobPresence, Effort, EndpointKind};
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Side};
use crate::transfer::plan::build::{Plan, PlannedBlob};
use crate::transfer::plan::show::BlobState;
use crate::transfer::request::ImageRequest;
use crate::transfer::resolve::finder::CONCURRENCY;
use crate::transfer::side::OnSide as _;
use crate::transfer::table::{ImageId, Table, TargetId};
use crate::transfer::target_state::TargetState;
use crate::verifier::verified_inline_data;

/// Ends of a run that cannot provide or take all blobs.
#[derive(Default)]
pub(in crate::transfer) struct Unavailable {
    /// Images that cannot be completed.
    pub(in crate::transfer) images: Vec<(ImageId, Error)>,
    /// Targets that did not answer.
    pub(in crate::transfer) targets: HashMap<TargetId, Error>,
}

/// What the ends of one blob answered.
#[derive(Default)]
struct Answers {
    /// No source has it, nor the target.
    is_missing: bool,
    /// Images whose source could not be asked.
    failed_sources: Vec<(ImageId, Error)>,
    failed_target: Option<Error>,
}

impl Plan {
    /// Returns the images that cannot be completed, each with an error that lists its missing blobs, and the targets that
    /// cannot be asked. Costs one request for each blob that an archive omits, several at once.
    pub(in crate::transfer) async fn images_without_source(
        &self,
        requests: &Table<ImageId, &ImageRequest>,
        targets: &Table<TargetId, &TargetState>,
    ) -> Unavailable {
        let omittable = self.blobs.iter().filter(|(_, blob)| may_be_omitted(blob, requests));
        let asking = omittable
            .map(|(id, blob)| async move { (id, ask(blob, requests, targets[blob.target]).await) });
        // Collected, because a lazy iterator of borrowing futures is not `Send`.
        let mut asking = stream::iter(asking.collect::<Vec<_>>()).buffered(CONCURRENCY);
        let (mut unavailable, mut missing) = (Unavailable::default(), HashSet::new());
        while let Some((id, answers)) = asking.next().await {
            unavailable.images.extend(answers.failed_sources);
            if let Some(error) = answers.failed_target {
                unavailable.targets.entry(self.blobs[id].target).or_insert(error);
            }
            if answers.is_missing {
                missing.insert(id);
            }
        }
        unavailable.images.extend(self.images.iter().filter_map(|(image, blobs)| {
            let needed: Vec<&PlannedBlob> = blobs
                .iter()
                .filter(|blob| missing.contains(blob))
                .map(|blob| &self.blobs[*blob])
                .collect();
            let target = &targets[needed.first()?.target].inner.endpoint().location;
            let digests = needed.iter().map(|blob| blob.descriptor.digest.clone()).collect();
            Some((image, omitted(requests[image], target, digests)))
        }));
        unavailable
    }
}

fn may_be_omitted(blob: &PlannedBlob, requests: &Table<ImageId, &ImageRequest>) -> bool {
    let mut sources = blob.images.iter().map(|image| &requests[*image].source);
    matches!(blob.state, BlobState::Missing | BlobState::Partial(_))
        && blob.descriptor.size > 0
        && verified_inline_data(&blob.descriptor).is_none()
        && sources.all(|source| source.endpoint().kind.may_omit_content())
}

/// Asks the sources of a blob, and the target if none of them has it.
async fn ask(
    blob: &PlannedBlob,
    requests: &Table<ImageId, &ImageRequest>,
    target: &TargetState,
) -> Answers {
    let (descriptor, mut answers) = (&blob.descriptor, Answers::default());
    for image in &blob.images {
        let answer = requests[*image].source.blob(descriptor, Effort::Local).await;
        match answer.on(Side::Source) {
            Ok(BlobPresence::Absent) => {}
            Ok(_) => return answers,
            Err(error) => answers.failed_sources.push((*image, error)),
        }
    }
    if answers.failed_sources.len() < blob.images.len() {
        match target.inner.blob(descriptor, Effort::Request).await.on(Side::Target) {
            Ok(BlobPresence::Absent | BlobPresence::Partial(_)) => answers.is_missing = true,
            Ok(_) => {}
            Err(error) => answers.failed_target = Some(error),
        }
    }
    answers
}

fn omitted(request: &ImageRequest, target: &str, missing: Vec<Digest>) -> Error {
    let digests: Vec<&str> = missing.iter().map(Digest::as_str).collect();
    let is_archive = request.source.endpoint().kind == EndpointKind::Archive;
    Error::new(ErrorKind::NotFound, "blobs")
        .at(&request.source.endpoint().location)
        .with_reason(format!("missing at the source and at {target}: {}", digests.join(", ")))
        .with_side(Side::Source)
        .with_missing(missing)
        .with_detail(is_archive.then_some(ErrorDetail::BlobOmitted))
}
