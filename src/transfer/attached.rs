//! Finds what belongs to an image without being part of it: what refers to its manifests, and what cosign keeps under
//! tags made of their digests. It goes before the image, so that a name never stands for an image without it.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::finder::{AT_ONCE, Finder};
use super::graph::{Graph, Wanted};
use crate::content::{Incoming, Label, Name, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::{Reference, digest_tags};
use crate::retry::RetryPolicy;

/// What refers to what refers to an image, and so on.
const MAX_DEPTH: usize = 8;

/// What may belong to one image.
const MAX_ATTACHED: usize = 10_000;

/// Bytes of all their documents together.
const MAX_BYTES: usize = 64 << 20;

/// What goes along with images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Along {
    /// What refers to their manifests, and to that.
    pub referrers: bool,
    /// What cosign keeps under tags made of their digests.
    pub digest_tags: bool,
}

/// One thing that belongs to an image.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Children before parents.
    pub documents: Vec<Document>,
    /// What it is called.
    pub label: Label,
    /// Whether it was found by what it refers to.
    pub is_referrer: bool,
    /// Whether the target had it before the run, the name included.
    pub complete: bool,
}

/// Finds everything that goes along with the image.
pub(super) async fn find(
    graph: &Graph,
    wanted: &Wanted,
    target: &dyn Target,
    along: Along,
    retry: &RetryPolicy,
) -> Result<Vec<Attached>> {
    let finder = Finder::new(&*wanted.source, &wanted.reference, Some(target), retry);
    let search = Search { finder, wanted, along };
    let too_much = |why: String| Error::new(ErrorKind::Document, &wanted.reference).because(why);
    let digests = |documents: &[Document]| -> Vec<Digest> {
        documents.iter().map(|document| document.digest().clone()).collect()
    };
    let mut level = digests(&graph.documents);
    let mut seen: HashSet<Digest> = level.iter().cloned().collect();
    let (mut attached, mut bytes) = (Vec::new(), 0);
    for depth in 0.. {
        let looking = std::mem::take(&mut level).into_iter().map(|subject| search.of(subject));
        let found: Vec<_> =
            stream::iter(looking.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
        for Found { name, documents, is_referrer } in found.into_iter().flatten() {
            // What has a tag needs it, however often it was met; who refers to himself is met once.
            let is_known = documents.last().is_none_or(|named| seen.contains(named.digest()));
            if is_referrer && is_known {
                continue;
            }
            level.extend(digests(&documents).into_iter().filter(|new| seen.insert(new.clone())));
            bytes += documents.iter().map(|document| document.bytes().len()).sum::<usize>();
            let label = Label { name, origins: graph.label.origins.clone(), index: None };
            attached.push(Attached { documents, label, is_referrer, complete: false });
        }
        if level.is_empty() {
            break;
        }
        if depth == MAX_DEPTH {
            return Err(too_much(format!("more than {MAX_DEPTH} levels of referrers")));
        }
        if attached.len() > MAX_ATTACHED || bytes > MAX_BYTES {
            return Err(too_much("more belongs to it than can be true".to_owned()));
        }
    }
    for one in &mut attached {
        let (documents, label) = (&one.documents, &one.label);
        let incoming = Incoming { documents, label, source: &*wanted.source };
        one.complete = target.survey(incoming).await?;
    }
    Ok(attached)
}

struct Search<'a> {
    finder: Finder<'a>,
    wanted: &'a Wanted,
    along: Along,
}

struct Found {
    /// What it is to be called.
    name: Name,
    /// Children before parents.
    documents: Vec<Document>,
    is_referrer: bool,
}

impl Search<'_> {
    /// What belongs to this manifest.
    async fn of(&self, subject: Digest) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        if self.along.referrers {
            for listed in self.wanted.source.referrers(&subject).await? {
                if let Some(document) = self.referrer(&listed, &subject).await? {
                    let name = by_digest(&self.wanted.target_name, document.digest());
                    let documents = self.whole(document).await?;
                    found.push(Found { name, documents, is_referrer: true });
                }
            }
        }
        if self.along.digest_tags {
            for tag in digest_tags(&subject) {
                match self.wanted.source.resolve(&beside(&self.wanted.name, &tag)).await {
                    Ok(document) => {
                        let name = beside(&self.wanted.target_name, &tag);
                        let documents = self.whole(document).await?;
                        found.push(Found { name, documents, is_referrer: false });
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// What a list of referrers names; lists that clients keep may be out of date, or wrong.
    async fn referrer(&self, listed: &Descriptor, subject: &Digest) -> Result<Option<Document>> {
        let Descriptor { media_type, digest, size, .. } = listed.clone();
        // What else the list says of it is the list's.
        let plain = Descriptor::new(media_type, digest, size);
        let why = match self.finder.document(&plain).await {
            Ok(document) => match document.subject() {
                Some(own) if own.digest == *subject => return Ok(Some(document)),
                _ => "does not refer to it",
            },
            Err(error) if error.kind() == ErrorKind::NotFound => "is not there",
            Err(error) => return Err(error),
        };
        tracing::warn!("{} is listed as a referrer of {subject}, but {why}", listed.digest);
        Ok(None)
    }

    async fn whole(&self, document: Document) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        self.finder.collect(document, 0, &mut HashSet::new(), &mut documents).await?;
        Ok(documents)
    }
}

/// The name of another tag in the repository that this name is in.
fn beside(name: &Name, tag: &str) -> Name {
    let Name::Ref(text) = name else { return Name::Tag(tag.to_owned()) };
    let beside = full(text).and_then(|reference| reference.with_tag(tag).ok());
    Name::Ref(beside.map_or_else(|| tag.to_owned(), |reference| reference.to_string()))
}

/// The name of something that has no tag in the repository that this name is in.
fn by_digest(name: &Name, digest: &Digest) -> Name {
    let Name::Ref(text) = name else { return Name::Digest(digest.clone()) };
    let repository = match full(text) {
        Some(reference) => format!("{}/{}", reference.registry(), reference.repository()),
        None => text.clone(),
    };
    Name::Ref(format!("{repository}@{digest}"))
}

/// A name with a registry and repository; a layout's own short name has none.
fn full(name: &str) -> Option<Reference> {
    name.parse().ok().filter(|reference: &Reference| reference.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_beside_an_image_is_in_its_repository() {
        let of = |name: &str| beside(&Name::Ref(name.to_owned()), "x").to_string();
        assert_eq!(of("localhost:5000/a/b:1"), "localhost:5000/a/b:x");
        assert_eq!(of("docker.io/library/alpine:3"), "docker.io/library/alpine:x");
        assert_eq!(of("v1"), "x");
        let digest = Digest::sha256(b"");
        assert_eq!(of(&format!("ghcr.io/a/b@{digest}")), "ghcr.io/a/b:x");
        let of = |name: &str| by_digest(&Name::Ref(name.to_owned()), &digest).to_string();
        assert_eq!(of("localhost:5000/a/b:1"), format!("localhost:5000/a/b@{digest}"));
        assert_eq!(of("v1"), format!("v1@{digest}"));
        assert_eq!(beside(&Name::Digest(digest.clone()), "x"), Name::Tag("x".to_owned()));
    }
}
