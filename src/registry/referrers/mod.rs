//! Referrers of a manifest: signatures, SBOMs, attestations. Spec: distribution-spec "Listing Referrers".
//!
//! Without the API, clients maintain the list under a tag made of the digest (the "referrers tag schema").

mod api;
pub(super) mod tag_schema;

use std::iter::Peekable;
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

pub(super) use self::api::has_api;
use self::api::{ApiResponse, Refusal, RefusalReason};
use super::Repository;
use super::mirrors::read::{Need, first_answer};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{TreeWalk, WalkLimits, WalkStep};
use crate::error::{ErrorDetail, Result};
use crate::limits::{Budget, Exceeded, MAX_REFERRER_DEPTH, MAX_REFERRERS};

/// How far referrers of referrers are followed.
const LIMITS: WalkLimits =
    WalkLimits { depth: MAX_REFERRER_DEPTH, count: MAX_REFERRERS, what: "referrers" };

/// A manifest with a subject, and its own referrers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Referrer {
    /// The manifest.
    pub descriptor: Descriptor,
    /// Manifests whose subject it is.
    pub referrers: Vec<Referrer>,
}

impl Repository {
    /// The referrers of this digest and their referrers, each once; only those of `artifact_type`, if given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDocument`](crate::error::ErrorKind::InvalidDocument) if they are too many or nested too deep.
    pub async fn referrer_tree(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>> {
        let fail = |limit: Exceeded| limit.error("referrers").at(self.full_name());
        let (mut spent, mut budget) = (self.counter.read().total(), Budget::default());
        let (mut walk, mut found) = (TreeWalk::below(subject.clone()), Vec::new());
        let (mut subject, mut depth) = (subject.clone(), 0);
        loop {
            let list = |host| list(host, &subject, artifact_type);
            let listed = first_answer(self, Need::Referrers, list).await?;
            let new = walk.queue(depth + 1, listed);
            let now = self.counter.read().total();
            let since = now - std::mem::replace(&mut spent, now);
            budget.requests(since, new).map_err(fail)?;
            walk.check(&LIMITS).map_err(fail)?;
            let Some(step) = walk.next_step() else { break };
            (subject, depth) = (step.item.digest.clone(), step.depth);
            found.push(step);
        }
        Ok(nested(&mut found.into_iter().peekable(), 1))
    }
}

/// Builds a tree from the steps of a walk from this depth on: deeper steps belong to the step before them.
fn nested(steps: &mut Peekable<IntoIter<WalkStep<Descriptor>>>, depth: usize) -> Vec<Referrer> {
    let mut found = Vec::new();
    while let Some(step) = steps.next_if(|step| step.depth == depth) {
        let referrers = nested(steps, depth + 1);
        found.push(Referrer { descriptor: step.item, referrers });
    }
    found
}

/// The referrers of this digest, from the API or else from the referrers tag.
pub(super) async fn list(
    repository: &Repository,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>> {
    subject.algorithm()?;
    let no_api = &repository.transport.no_referrers_api;
    let mut listed = if no_api.load(Ordering::Relaxed) {
        list_from_tag_schema(repository, subject, None).await?
    } else {
        match api::list(repository, subject, artifact_type).await? {
            ApiResponse::List(listed) => listed,
            ApiResponse::NoList(refusal) => {
                tracing::info!("{}; falling back to the referrers tag", refusal.error.chain());
                if refusal.reason != RefusalReason::Other
                    && refusal.error.detail() != Some(ErrorDetail::RepositoryNotFound)
                {
                    no_api.store(true, Ordering::Relaxed);
                }
                list_from_tag_schema(repository, subject, Some(refusal)).await?
            }
        }
    };
    listed.retain(|one| {
        artifact_type.is_none_or(|wanted| one.artifact_type.as_deref() == Some(wanted))
    });
    Ok(listed)
}

/// The list under the referrers tag, after the API failed with `refusal` or was found to be unsupported.
async fn list_from_tag_schema(
    repository: &Repository,
    subject: &Digest,
    refusal: Option<Refusal>,
) -> Result<Vec<Descriptor>> {
    match (tag_schema::entries(repository, subject).await?, refusal) {
        (Some(entries), _) => Ok(entries),
        // Neither has a list; a refusal that says more than that must not be lost.
        (None, Some(Refusal { error, reason: RefusalReason::Other })) => Err(error),
        (None, Some(Refusal { error, reason: RefusalReason::NotAnApi })) => {
            tracing::warn!("{}; referrers there may be incomplete", error.chain());
            Ok(Vec::new())
        }
        (None, _) => Ok(Vec::new()),
    }
}
