//! What is in a memory, and under which names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::content::{Provenance, check_content};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{ImageName, choice, several_images};

pub(super) const LOCATION: &str = "memory";

/// The content that the handles of one memory share.
#[derive(Clone, Default)]
pub(super) struct SharedContent(Arc<Mutex<Content>>);

impl SharedContent {
    pub(super) fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct Content {
    pub(super) blobs: HashMap<Digest, Bytes>,
    pub(super) documents: BTreeMap<Digest, (Document, Provenance)>,
    pub(super) names: BTreeMap<String, Digest>,
    pub(super) partials: HashMap<Digest, Arc<Partial>>,
}

/// The bytes of a blob that is not committed yet.
#[derive(Default)]
pub(super) struct Partial {
    bytes: Mutex<Vec<u8>>,
    /// Held by the writer of the blob; a second one waits for it.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Partial {
    pub(super) fn length(&self) -> u64 {
        self.bytes().len() as u64
    }

    pub(super) fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names that are stored: a digest needs no other.
pub(super) fn texts(names: &[ImageName]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for name in names {
        match name {
            ImageName::Tag(text) | ImageName::Layout(text) => texts.push(text.clone()),
            ImageName::Digest(_) => {}
            ImageName::Only => {
                return Err(Error::new(ErrorKind::InvalidInput, "name")
                    .at(LOCATION)
                    .with_reason("an image in memory needs a name or its digest"));
            }
        }
    }
    Ok(texts)
}

pub(super) fn not_found(what: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::NotFound, what).at(LOCATION).with_reason("not found")
}

impl Content {
    pub(super) fn bytes(&self, digest: &Digest) -> Option<Bytes> {
        let document = || self.documents.get(digest).map(|(document, _)| document.bytes());
        self.blobs.get(digest).or_else(document).cloned()
    }

    pub(super) fn has(&self, descriptor: &Descriptor) -> bool {
        self.bytes(&descriptor.digest).is_some_and(|bytes| bytes.len() as u64 == descriptor.size)
    }

    pub(super) fn check(&self, document: &Document) -> Result<()> {
        check_content(document, LOCATION, |content| Ok(self.has(content)))
    }

    pub(super) fn insert(
        &mut self,
        document: &Document,
        provenance: &Provenance,
        names: &[String],
    ) {
        let digest = document.digest();
        self.documents.insert(digest.clone(), (document.clone(), provenance.clone()));
        for name in names {
            self.names.insert(name.clone(), digest.clone());
        }
    }

    pub(super) fn resolve(&self, name: &ImageName) -> Result<Document> {
        let digest = match name {
            ImageName::Digest(digest) => digest,
            ImageName::Tag(text) | ImageName::Layout(text) => {
                self.names.get(text).ok_or_else(|| not_found(text))?
            }
            ImageName::Only => self.only()?,
        };
        let found = self.documents.get(digest).map(|(document, _)| document.clone());
        found.ok_or_else(|| not_found(name.to_string()))
    }

    /// The only manifest that has a name; the only one where none has.
    fn only(&self) -> Result<&Digest> {
        let with_name: HashSet<&Digest> = self.names.values().collect();
        let mut all: Vec<&Digest> = self.documents.keys().collect();
        all.retain(|digest| with_name.is_empty() || with_name.contains(digest));
        match all.as_slice() {
            [] => Err(not_found("image")),
            [only] => Ok(only),
            several => {
                let names = |digest: &Digest| {
                    let own = self.names.iter().filter(|(_, named)| *named == digest);
                    own.map(|(name, _)| name.clone()).collect::<Vec<_>>()
                };
                let choices: Vec<_> =
                    several.iter().map(|digest| choice(&names(digest), digest)).collect();
                Err(several_images(LOCATION, &choices))
            }
        }
    }

    pub(super) fn partial(&mut self, digest: &Digest) -> Arc<Partial> {
        Arc::clone(self.partials.entry(digest.clone()).or_default())
    }
}
