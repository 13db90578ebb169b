//! Which manifests need which.

use std::collections::{HashMap, HashSet};

use crate::descriptor::Descriptor;
use crate::digest::Digest;

/// Manifests of a repository, and what belongs to them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// What indexes list.
    children: HashMap<Digest, Vec<Digest>>,
    /// Referrers and the manifests of digest tags.
    attached: HashMap<Digest, Vec<Digest>>,
    subjects: HashMap<Digest, Digest>,
}

impl Graph {
    pub(super) fn add(
        &mut self,
        manifest: &Digest,
        children: &[Descriptor],
        referrers: &[Descriptor],
    ) {
        let digests = |listed: &[Descriptor]| listed.iter().map(|one| one.digest.clone()).collect();
        self.children.insert(manifest.clone(), digests(children));
        let referrers: Vec<Digest> = digests(referrers);
        self.attached.entry(manifest.clone()).or_default().extend(referrers);
    }

    /// The manifests that were read.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.children.keys()
    }

    /// Adds a referrer, which the registry need not list.
    pub(super) fn add_subject(&mut self, referrer: &Digest, subject: &Digest) {
        self.subjects.insert(referrer.clone(), subject.clone());
        self.attach(subject, referrer);
    }

    /// Adds a manifest that belongs to another one.
    pub(super) fn attach(&mut self, to: &Digest, attached: &Digest) {
        self.attached.entry(to.clone()).or_default().push(attached.clone());
    }

    /// The manifests with all that belongs to them.
    pub(super) fn with_parts(&self, roots: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
        self.closure(roots, false)
    }

    /// The manifests with all that they need: what belongs to them, and to what they refer to.
    pub(super) fn with_needs(&self, roots: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
        self.closure(roots, true)
    }

    fn closure(
        &self,
        roots: impl IntoIterator<Item = Digest>,
        with_subjects: bool,
    ) -> HashSet<Digest> {
        let (mut open, mut found): (Vec<Digest>, _) = (roots.into_iter().collect(), HashSet::new());
        while let Some(digest) = open.pop() {
            let lists = [self.children.get(&digest), self.attached.get(&digest)];
            let below: Vec<Digest> = lists.into_iter().flatten().flatten().cloned().collect();
            let subject = self.subjects.get(&digest).filter(|_| with_subjects).cloned();
            if found.insert(digest) {
                open.extend(below.into_iter().chain(subject));
            }
        }
        found
    }

    /// These manifests in an order to delete them, with those that belong to them: what is attached to a manifest before it, so that the
    /// next run finds what an interrupted one leaves; what an index lists after it, because some registries refuse the
    /// opposite.
    pub(super) fn deletion_order(
        &self,
        roots: Vec<Digest>,
        to_delete: &HashSet<Digest>,
    ) -> Vec<Digest> {
        enum Step {
            Enter(Digest),
            Delete(Digest),
        }
        let mut steps: Vec<Step> = roots.into_iter().rev().map(Step::Enter).collect();
        let (mut seen, mut order) = (HashSet::new(), Vec::new());
        while let Some(step) = steps.pop() {
            let digest = match step {
                Step::Enter(digest) => digest,
                Step::Delete(digest) => {
                    order.push(digest);
                    continue;
                }
            };
            if !to_delete.contains(&digest) || !seen.insert(digest.clone()) {
                continue;
            }
            let enter = |list: &HashMap<Digest, Vec<Digest>>| {
                let listed = list.get(&digest).into_iter().flatten();
                listed.rev().cloned().map(Step::Enter).collect::<Vec<_>>()
            };
            let (children, attached) = (enter(&self.children), enter(&self.attached));
            steps.extend(children);
            steps.push(Step::Delete(digest));
            steps.extend(attached);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MediaType;

    fn digest(name: &str) -> Digest {
        Digest::sha256(name.as_bytes())
    }

    fn listed(names: &str) -> Vec<Descriptor> {
        let names = names.split_whitespace();
        names.map(|name| Descriptor::for_bytes(MediaType::OCI_MANIFEST, name.as_bytes())).collect()
    }

    /// An index of two platforms; it and one of them are signed, and so is the signature of the index.
    fn graph() -> Graph {
        let mut graph = Graph::default();
        graph.add(&digest("index"), &listed("amd64 arm64"), &listed("sig"));
        graph.add(&digest("amd64"), &[], &listed("sbom"));
        graph.add(&digest("sig"), &[], &listed("sig2"));
        graph.add_subject(&digest("sig"), &digest("index"));
        graph
    }

    #[test]
    fn needs_of_referrer_include_its_subject() {
        let all: HashSet<Digest> =
            ["index", "amd64", "arm64", "sig", "sbom", "sig2"].map(digest).into();
        let graph = graph();
        assert_eq!(graph.with_parts([digest("index")]), all);
        assert_eq!(graph.with_needs([digest("sig")]), all);
        assert_eq!(graph.with_parts([digest("sig")]), ["sig", "sig2"].map(digest).into());
    }

    #[test]
    fn deletion_is_attached_then_index_then_children() {
        let graph = graph();
        let to_delete = graph.with_parts([digest("index")]);
        let order = graph.deletion_order(vec![digest("index")], &to_delete);
        assert_eq!(order, ["sig2", "sig", "index", "sbom", "amd64", "arm64"].map(digest));
        let order = graph.deletion_order(vec![digest("amd64")], &to_delete);
        assert_eq!(order, ["sbom", "amd64"].map(digest));
    }
}
