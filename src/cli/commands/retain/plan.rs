//! What may go from a repository without breaking what stays.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::survey::Survey;
use crate::cli::run::removals::{belongs_to_digest, owners_of_tag};
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

    /// Whether a rule keeps a tag.
    pub(super) fn keeps_by_rule(&self) -> bool {
        self.tags.iter().any(|tag| matches!(tag.kept, Some(Reason::Rule(_))))
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
    let known: Vec<Digest> = graph.digests().cloned().collect();
    let parts = tags.keys().filter(|name| belongs_to_digest(name));
    let owners: BTreeMap<&String, Vec<Digest>> =
        parts.map(|name| (name, owners_of_tag(name, &known))).collect();
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
    let mut staying = graph.with_needs(kept.iter().cloned());
    let mut going = graph.with_parts(others.iter().cloned());
    // Images without a tag may still be in use by their digest.
    let is_tagged = |owner: &Digest| going.contains(owner) || staying.contains(owner);
    let of_untagged = owners.iter().filter(|(_, owners)| !owners.iter().any(is_tagged));
    kept.extend(of_untagged.filter_map(|(name, _)| tags.get(*name)?.digest.clone()));
    staying.extend(graph.with_needs(kept));
    going.retain(|digest| !staying.contains(digest));

    let planned = tags.iter().map(|(name, tag)| {
        let goes = |owner: &Digest| going.contains(owner);
        let is_part = owners.get(name).is_some_and(|owners| !owners.iter().any(goes));
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
        let (kept, going, untagged) = (digest("aa"), digest("bb"), digest("cc"));
        let signature = Descriptor::for_bytes(MediaType::OCI_MANIFEST, b"signature");
        let mut graph = Graph::default();
        graph.add(&kept, &[], std::slice::from_ref(&signature));
        graph.add(&going, &[], &[]);
        let mut tags = BTreeMap::new();
        let mut add = |name: String, digest: Digest, kept: Option<KeptBy>| {
            let tag = SurveyedTag { digest: Some(digest), created: None, kept, is_unknown: false };
            tags.insert(name, tag);
        };
        add("new".into(), kept.clone(), Some(KeptBy::Pattern));
        add("old".into(), going.clone(), None);
        for owner in [&kept, &going, &untagged] {
            let list = Digest::sha256(owner.as_str().as_bytes());
            graph.add(&list, std::slice::from_ref(&signature), &[]);
            add(referrers_tag(owner), list, None);
        }
        let plan = plan(Survey { tags, graph });
        let names: Vec<String> = plan.going().map(|tag| tag.name.clone()).collect();
        assert_eq!(names, ["old".to_owned(), referrers_tag(&going)]);
        assert_eq!(plan.manifests, [Digest::sha256(going.as_str().as_bytes()), going]);
    }
}
