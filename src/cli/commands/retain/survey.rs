//! What a repository has: its tags, and what their manifests need.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::graph::Graph;
use crate::cli::image::created::created;
use crate::cli::run::removals::belongs_to_digest;
use crate::content::{self, Effort, Lookup as _, Presence, Source as _};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Document, TreeWalk, WalkLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CONCURRENT_REQUESTS, MAX_INDEX_DEPTH, MAX_REFERENCED, MAX_REFERRER_DEPTH};
use crate::mirror::{KeepRules, KeptBy};
use crate::name::ImageName;
use crate::registry::Repository;

/// Manifests whose lists are requested before their results are followed.
const BATCH: usize = 64;

const LIMITS: WalkLimits = WalkLimits {
    depth: MAX_INDEX_DEPTH + MAX_REFERRER_DEPTH,
    count: MAX_REFERENCED,
    what: "manifests",
};

/// A tag of the repository.
#[derive(Debug)]
pub(super) struct SurveyedTag {
    /// `None` if its manifest is missing.
    pub(super) digest: Option<Digest>,
    /// In RFC 3339, if its age was looked up.
    pub(super) created: Option<String>,
    /// The rule that keeps it.
    pub(super) kept: Option<KeptBy>,
    /// Whether its manifest cannot be read by this program.
    pub(super) is_unknown: bool,
}

/// The tags of a repository and their manifests.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) tags: BTreeMap<String, SurveyedTag>,
    pub(super) graph: Graph,
}

/// Reads the tags, their manifests, and the lists of what belongs to these.
///
/// # Errors
/// If something cannot be read: it might need what would be deleted.
pub(super) async fn survey(repository: &Repository, rules: &KeepRules) -> Result<Survey> {
    let names = repository.tags().await?;
    let by_name = rules.by_name(&names);
    let reading = names.into_iter().map(|tag| {
        let kept = by_name.get(&tag).copied();
        async move {
            let (surveyed, document) = read_tag(repository, rules, &tag, kept).await?;
            Ok::<_, Error>((tag, surveyed, document))
        }
    });
    let read: Vec<(String, SurveyedTag, Option<Document>)> =
        stream::iter(reading).buffered(CONCURRENT_REQUESTS).try_collect().await?;
    let mut survey = Survey { tags: BTreeMap::new(), graph: Graph::default() };
    let mut walk = TreeWalk::default();
    for (name, tag, document) in read {
        if let Some(document) = document {
            if let Some(subject) = document.subject() {
                survey.graph.add_subject(document.digest(), &subject.digest);
            }
            let children = Some(document.children().cloned().collect());
            walk.queue(0, [Manifest { descriptor: document.descriptor().clone(), children }]);
        }
        survey.tags.insert(name, tag);
    }
    follow(repository, walk, &mut survey.graph).await?;
    Ok(survey)
}

/// Reads what belongs to the manifests, and to that.
async fn follow(
    repository: &Repository,
    mut walk: TreeWalk<Manifest>,
    graph: &mut Graph,
) -> Result<()> {
    loop {
        let steps: Vec<_> = std::iter::from_fn(|| walk.next_step()).take(BATCH).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let reading = steps.iter().map(|step| step.item.read(repository));
        let read: Vec<_> = stream::iter(reading.collect::<Vec<_>>())
            .buffered(CONCURRENT_REQUESTS)
            .try_collect()
            .await?;
        for (step, (children, referrers)) in steps.iter().zip(read) {
            let digest = &step.item.descriptor.digest;
            graph.add(digest, &children, &referrers);
            let below = children.into_iter().chain(referrers);
            walk.queue(step.depth + 1, below.map(Manifest::from));
        }
        walk.check(&LIMITS)
            .map_err(|limit| limit.error("tags").at(&repository.endpoint().location))?;
    }
}

async fn read_tag(
    repository: &Repository,
    rules: &KeepRules,
    tag: &str,
    kept: Option<KeptBy>,
) -> Result<(SurveyedTag, Option<Document>)> {
    let name = ImageName::Tag(tag.to_owned());
    let unknown = |digest| SurveyedTag { digest, created: None, kept, is_unknown: true };
    let document = match repository.resolve(&name).await {
        Ok(document) => document,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((unknown(None), None)),
        // An old or foreign kind of manifest.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let found = repository.name(&name, Effort::Request).await?.present();
            return Ok((unknown(found.map(|found| found.digest)), None));
        }
        Err(error) => return Err(unreadable(error, repository, tag)),
    };
    let digest = Some(document.digest().clone());
    let mut surveyed = SurveyedTag { digest, created: None, kept, is_unknown: false };
    // A signature is kept or deleted with its image.
    if kept.is_none() && rules.has_age() && !belongs_to_digest(tag) {
        surveyed.created = match created(repository, document.clone()).await {
            Err(error) if error.kind() != ErrorKind::NotFound && !is_malformed(&error) => {
                return Err(error);
            }
            created => created.unwrap_or_default(),
        };
        surveyed.kept = rules.by_age(surveyed.created.as_deref(), Timestamp::now());
    }
    Ok((surveyed, Some(document)))
}

fn is_malformed(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidDocument | ErrorKind::Mismatch | ErrorKind::Unsupported
    )
}

fn unreadable(error: Error, repository: &Repository, tag: &str) -> Error {
    if !is_malformed(&error) {
        return error;
    }
    let image = format!("{}:{tag}", repository.endpoint().location);
    error.with_hint(format!(
        "nothing was deleted, because it might need other manifests; `rpull delete {image}` deletes it"
    ))
}

/// A manifest of the repository.
#[derive(Debug)]
struct Manifest {
    descriptor: Descriptor,
    /// What it lists, if it was read already.
    children: Option<Vec<Descriptor>>,
}

impl From<Descriptor> for Manifest {
    fn from(descriptor: Descriptor) -> Self {
        Self { descriptor, children: None }
    }
}

impl AsRef<Digest> for Manifest {
    fn as_ref(&self) -> &Digest {
        &self.descriptor.digest
    }
}

impl Manifest {
    /// Its children and its referrers.
    async fn read(&self, repository: &Repository) -> Result<(Vec<Descriptor>, Vec<Descriptor>)> {
        let children = match &self.children {
            Some(children) => children.clone(),
            None if self.descriptor.media_type.is_index() => {
                match content::fetch_document(repository, &self.descriptor).await {
                    Ok(document) => document.children().cloned().collect(),
                    Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                    Err(error) => return Err(error),
                }
            }
            None => Vec::new(),
        };
        match repository.referrers(&self.descriptor.digest).await? {
            Presence::Present(referrers) => Ok((children, referrers)),
            Presence::Absent | Presence::Unknown => Ok((children, Vec::new())),
        }
    }
}
