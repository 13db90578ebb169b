//! What can be deleted from a repository without breaking what is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::survey::Survey;
use crate::cli::run::removals::{belongs_to_digest, owners_of_tag};
use crate::digest::Digest;
use crate::mirror::KeptBy;

/// A tag, and whether it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedTag {
    pub(super) name: String,
    /// `None` if its manifest is missing.
    pub(super) digest: Option<Digest>,
    /// In RFC 3339, if its age was looked up and is known.
    pub(super) created: Option<String>,
    /// `None` if it is to be deleted.
    pub(super) kept: Option<Reason>,
}

/// Why a tag is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Reason {
    Rule(KeptBy),
    Safety(SafetyReason),
}

/// Why a tag is kept that no rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SafetyReason {
    /// It belongs to an image that is kept, or to one that has no tag.
    DigestTag,
    /// Its manifest is missing, or of an unknown kind.
    Unreadable,
    /// Its manifest is needed, and the registry cannot delete a single tag.
    Manifest,
}

/// What is kept, and what is deleted.
#[derive(Debug)]
pub(super) struct RetentionPlan {
    /// Sorted by name.
    pub(super) tags: Vec<PlannedTag>,
    /// Manifests to delete, in this order.
    pub(super) manifests: Vec<Digest>,
}

impl RetentionPlan {
    /// The tags to delete.
    pub(super) fn to_delete(&self) -> impl Iterator<Item = &PlannedTag> {
        self.tags.iter().filter(|tag| tag.kept.is_none())
    }

    /// Whether a rule keeps a tag.
    pub(super) fn keeps_by_rule(&self) -> bool {
        self.tags.iter().any(|tag| matches!(tag.kept, Some(Reason::Rule(_))))
    }

    /// Whether another plan deletes the same.
    pub(super) fn deletes_same(&self, other: &Self) -> bool {
        let manifests = |plan: &Self| plan.manifests.iter().cloned().collect::<BTreeSet<_>>();
        self.to_delete().eq(other.to_delete()) && manifests(self) == manifests(other)
    }
}

/// Decides what is kept: what the rules keep, what cannot be read, and all that these need.
pub(super) fn plan(survey: Survey) -> RetentionPlan {
    let Survey { tags, mut graph } = survey;
    let known: Vec<Digest> = graph.digests().cloned().collect();
    let digest_tags = tags.keys().filter(|name| belongs_to_digest(name));
    let owners: BTreeMap<&String, Vec<Digest>> =
        digest_tags.map(|name| (name, owners_of_tag(name, &known))).collect();
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for (name, tag) in &tags {
        let Some(digest) = &tag.digest else { continue };
        for owner in owners.get(name).into_iter().flatten() {
            graph.attach(owner, digest);
        }
        if tag.kept.is_some() || tag.is_unknown {
            kept.push(digest.clone());
        } else if !owners.contains_key(name) {
            others.push(digest.clone());
        }
    }
    let mut to_keep = graph.with_needs(kept.iter().cloned());
    let mut to_delete = graph.with_parts(others.iter().cloned());
    // Images without a tag may still be in use by their digest.
    let is_tagged = |owner: &Digest| to_delete.contains(owner) || to_keep.contains(owner);
    let of_untagged = owners.iter().filter(|(_, owners)| !owners.iter().any(is_tagged));
    kept.extend(of_untagged.filter_map(|(name, _)| tags.get(*name)?.digest.clone()));
    to_keep.extend(graph.with_needs(kept));
    to_delete.retain(|digest| !to_keep.contains(digest));

    let planned = tags.iter().map(|(name, tag)| {
        let is_deleted = |owner: &Digest| to_delete.contains(owner);
        let is_needed = owners.get(name).is_some_and(|owners| !owners.iter().any(is_deleted));
        let kept = match tag.kept {
            _ if tag.is_unknown => Some(Reason::Safety(SafetyReason::Unreadable)),
            Some(rule) => Some(Reason::Rule(rule)),
            None => is_needed.then_some(Reason::Safety(SafetyReason::DigestTag)),
        };
        let (digest, created) = (tag.digest.clone(), tag.created.clone());
        PlannedTag { name: name.clone(), digest, created, kept }
    });
    RetentionPlan { tags: planned.collect(), manifests: graph.deletion_order(others, &to_delete) }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Graph;
    use super::super::survey::SurveyedTag;
    use super::*;
    use crate::descriptor::Descriptor;
    use crate::media::MediaType;
    use crate::reference::referrers_tag;

    #[test]
    fn referrers_list_with_part_of_digest_stays_or_goes_with_its_image() {
        let digest = |fill: &str| format!("sha512:{}", fill.repeat(64)).parse::<Digest>().unwrap();
        let (kept, to_delete, untagged) = (digest("aa"), digest("bb"), digest("cc"));
        let signature = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"signature");
        let mut graph = Graph::default();
        graph.add(&kept, &[], std::slice::from_ref(&signature));
        graph.add(&to_delete, &[], &[]);
        let mut tags = BTreeMap::new();
        let mut add = |name: String, digest: Digest, kept: Option<KeptBy>| {
            let tag = SurveyedTag { digest: Some(digest), created: None, kept, is_unknown: false };
            tags.insert(name, tag);
        };
        add("new".into(), kept.clone(), Some(KeptBy::Pattern));
        add("old".into(), to_delete.clone(), None);
        for owner in [&kept, &to_delete, &untagged] {
            let list = Digest::sha256(owner.as_str().as_bytes());
            graph.add(&list, std::slice::from_ref(&signature), &[]);
            add(referrers_tag(owner), list, None);
        }
        let plan = plan(Survey { tags, graph });
        let names: Vec<String> = plan.to_delete().map(|tag| tag.name.clone()).collect();
        assert_eq!(names, ["old".to_owned(), referrers_tag(&to_delete)]);
        assert_eq!(plan.manifests, [Digest::sha256(to_delete.as_str().as_bytes()), to_delete]);
    }
}
