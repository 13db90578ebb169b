//! Rejects an image before anything moves if one of its blobs is missing at source and target: an archive may omit blobs that
//! its recipient should have.

#![expect(clippy::indexing_slicing, reason = "tables are indexed by ids of their own rows")]

use std::collections::HashSet;
use std::sync::Arc;

use crate::content::{BlobPresence, Effort, EndpointKind, Source};
use crate::digest::Digest;
use crate::error::{Error, ErrorDetail, ErrorKind, Result, Side};
use crate::transfer::plan::build::{Plan, PlannedBlob};
use crate::transfer::plan::show::BlobState;
use crate::transfer::request::ImageRequest;
use crate::transfer::table::{ImageId, Table, TargetId};
use crate::transfer::target_state::TargetState;
use crate::verifier::verified_inline_data;

impl Plan {
    /// Returns the images that cannot be completed, each with an error that lists its missing blobs. Costs one request for each
    /// blob that an archive omits.
    pub(in crate::transfer) async fn images_without_source(
        &self,
        requests: &Table<ImageId, &ImageRequest>,
        targets: &Table<TargetId, &TargetState>,
    ) -> Result<Vec<(ImageId, Error)>> {
        let mut missing = HashSet::new();
        for (id, blob) in self.blobs.iter() {
            let mut sources = blob.images.iter().map(|image| &requests[*image].source);
            if self.is_missing(blob, &mut sources, targets[blob.target]).await? {
                missing.insert(id);
            }
        }
        let images = self.images.iter().filter_map(|(image, blobs)| {
            let needed: Vec<&PlannedBlob> = blobs
                .iter()
                .filter(|blob| missing.contains(blob))
                .map(|blob| &self.blobs[*blob])
                .collect();
            let target = &targets[needed.first()?.target].inner.endpoint().location;
            let digests = needed.iter().map(|blob| blob.descriptor.digest.clone()).collect();
            Some((image, omitted(requests[image], target, digests)))
        });
        Ok(images.collect())
    }

    async fn is_missing(
        &self,
        blob: &PlannedBlob,
        sources: &mut (dyn Iterator<Item = &Arc<dyn Source>> + Send),
        target: &TargetState,
    ) -> Result<bool> {
        let descriptor = &blob.descriptor;
        let is_to_come = matches!(blob.state, BlobState::Missing | BlobState::Partial(_));
        if !is_to_come || descriptor.size == 0 || verified_inline_data(descriptor).is_some() {
            return Ok(false);
        }
        for source in sources {
            if !source.endpoint().kind.may_omit_content()
                || source.blob(descriptor, Effort::Local).await? != BlobPresence::Absent
            {
                return Ok(false);
            }
        }
        let found = target.inner.blob(descriptor, Effort::Request).await?;
        Ok(matches!(found, BlobPresence::Absent | BlobPresence::Partial(_)))
    }
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
