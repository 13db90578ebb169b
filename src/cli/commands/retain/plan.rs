//! What may go from a repository without breaking what stays.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::survey::Survey;
use crate::cli::run::removals::tagged_digest;
use crate::digest::Digest;
use crate::mirror::KeptBy;

/// A tag, and whether it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedTag {
    pub(super) name: String,
    /// `None` if its manifest is missing.
    pub(super) digest: Option<Digest>,
    /// In RFC 3339, if its age was looked up and is known.
    pub(super) created: Option<String>,
    /// `None` if it goes.
    pub(super) kept: Option<Reason>,
}

/// Why a tag stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Reason {
    Rule(KeptBy),
    Part(Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// It belongs to an image that stays, or to one that has no tag.
    DigestTag,
    /// Its manifest is missing, or of an unknown kind.
    Unreadable,
    /// Its manifest stays, and the registry cannot delete a single tag.
    Manifest,
}

/// What stays, and what goes.
#[derive(Debug)]
pub(super) struct Plan {
    /// Sorted by name.
    pub(super) tags: Vec<PlannedTag>,
    /// Manifests that go, in the order in which they are deleted.
    pub(super) manifests: Vec<Digest>,
}

impl Plan {
    /// The tags that go.
    pub(super) fn going(&self) -> impl Iterator<Item = &PlannedTag> {
        self.tags.iter().filter(|tag| tag.kept.is_none())
    }

    /// Whether another plan deletes the same.
    pub(super) fn deletes_same(&self, other: &Self) -> bool {
        let manifests = |plan: &Self| plan.manifests.iter().cloned().collect::<BTreeSet<_>>();
        self.going().eq(other.going()) && manifests(self) == manifests(other)
    }
}

/// Decides what stays: what the rules keep, what cannot be read, and all that these need.
pub(super) fn plan(survey: Survey) -> Plan {
    let Survey { tags, mut graph } = survey;
    let subjects: BTreeMap<&String, Digest> =
        tags.keys().filter_map(|name| Some((name, tagged_digest(name)?))).collect();
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for (name, tag) in &tags {
        let Some(digest) = &tag.digest else { continue };
        if let Some(subject) = subjects.get(name) {
            graph.attach(subject, digest);
        }
        if tag.kept.is_some() || tag.is_unknown {
            kept.push(digest.clone());
        } else if !subjects.contains_key(name) {
            others.push(digest.clone());
        }
    }
    let mut staying = graph.with_needs(kept.iter().cloned());
    let mut going = graph.with_parts(others.iter().cloned());
    // Images without a tag may still be in use by their digest.
    let of_untagged = subjects
        .iter()
        .filter(|(_, subject)| !going.contains(*subject) && !staying.contains(*subject));
    kept.extend(of_untagged.filter_map(|(name, _)| tags.get(*name)?.digest.clone()));
    staying.extend(graph.with_needs(kept));
    going.retain(|digest| !staying.contains(digest));

    let planned = tags.iter().map(|(name, tag)| {
        let is_part = subjects.get(name).is_some_and(|subject| !going.contains(subject));
        let kept = match tag.kept {
            _ if tag.is_unknown => Some(Reason::Part(Part::Unreadable)),
            Some(rule) => Some(Reason::Rule(rule)),
            None => is_part.then_some(Reason::Part(Part::DigestTag)),
        };
        let (digest, created) = (tag.digest.clone(), tag.created.clone());
        PlannedTag { name: name.clone(), digest, created, kept }
    });
    Plan { tags: planned.collect(), manifests: graph.deletion_order(others, &going) }
}
