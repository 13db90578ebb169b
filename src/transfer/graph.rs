//! Resolves a name to everything that belongs to it: documents, children before parents, and blobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};

use super::subset;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Incoming, Label, Name, Source, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{Content, Document, Index, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Platform};
use crate::retry::RetryPolicy;

/// Indexes inside indexes that are followed.
const MAX_DEPTH: usize = 8;

/// Bytes of all documents of one image together; a hostile index could name thousands of large ones.
const MAX_BYTES: usize = 64 << 20;

/// Documents that are fetched at once.
const AT_ONCE: usize = 6;

/// Which platforms of an index are wanted.
#[derive(Clone, Debug)]
pub enum Platforms {
    /// One; the name then stands for its manifest.
    One(Platform),
    /// Several; the name then stands for the index.
    Several(Vec<Platform>),
    /// Several; the name then stands for an index that lists only these and what attests them.
    Only(Vec<Platform>),
    /// All, attestations included; the name then stands for the index.
    All,
}

/// One image to move.
#[derive(Clone)]
pub struct Wanted {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// What it is called there.
    pub name: Name,
    /// Its reference, for people and reports.
    pub reference: String,
    /// What it is to be called at the target.
    pub target_name: Name,
    /// Which platforms of it.
    pub platforms: Platforms,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// Everything that belongs to one image.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What the name resolved to: the index, where it is one.
    pub root: Descriptor,
    /// Documents to store, children before parents; the last one gets the name.
    pub documents: Vec<Document>,
    /// Manifests among them, with the platform that the index gives each.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
    /// Configs and layers, each once, in the order they are listed.
    pub blobs: Vec<Descriptor>,
    /// How the last document is to be named.
    pub label: Label,
    /// Whether the target had all of it before the run, the name included.
    pub complete: bool,
}

impl Graph {
    /// The document that gets the name.
    pub fn named(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// A manifest that no index lists says only in its config where it runs, and that is at hand at one end by now.
    pub(super) async fn learn_platforms(&mut self, source: &dyn Source, target: &dyn Target) {
        for (descriptor, platform) in self.manifests.iter_mut().filter(|entry| entry.1.is_none()) {
            let document = self.documents.iter().find(|known| known.digest() == &descriptor.digest);
            let Some(Content::Manifest(manifest)) = document.map(Document::content) else {
                continue;
            };
            if !manifest.config.media_type.is_image_config() {
                continue;
            }
            let mut bytes = target.stored_blob(&manifest.config, CONFIG_LIMIT).await;
            if !matches!(bytes, Ok(Some(_))) {
                bytes = source.at_hand(&manifest.config, CONFIG_LIMIT).await;
            }
            if let Ok(Some(bytes)) = bytes
                && let Ok(config) = ImageConfig::parse(&bytes)
            {
                *platform = Some(config.platform()).filter(|platform| !platform.is_empty());
            }
        }
    }
}

/// Resolves all of them, several at once; the answers are in their order.
pub(super) async fn resolve_all(
    wanted: &[Wanted],
    target: &dyn Target,
    retry: &RetryPolicy,
) -> Vec<Result<Graph>> {
    let resolving = wanted.iter().map(|wanted| resolve(wanted, target, retry)).collect::<Vec<_>>();
    stream::iter(resolving).buffered(AT_ONCE).collect().await
}

/// Resolves the wanted image, asking the target first for what it has: a warm pull costs one HEAD.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the index lacks the platform, naming those it has; [`ErrorKind::Document`] where it
/// nests too deep.
pub async fn resolve(wanted: &Wanted, target: &dyn Target, retry: &RetryPolicy) -> Result<Graph> {
    let root = root(wanted, target).await?;
    let finder = Finder {
        source: &*wanted.source,
        reference: &wanted.reference,
        target: Some(target),
        retry,
    };
    let mut graph = Graph {
        root: root.descriptor().clone(),
        documents: Vec::new(),
        manifests: Vec::new(),
        blobs: Vec::new(),
        label: Label {
            name: wanted.target_name.clone(),
            origins: wanted.source.origins(&root),
            index: None,
        },
        complete: false,
    };
    match (&wanted.platforms, root.content()) {
        (_, Content::Manifest(_)) => graph.documents.push(root),
        (Platforms::One(platform), Content::Index(index)) => {
            let (document, platform) = finder.choose(index, platform, 0).await?;
            graph.label.index = Some(root);
            graph.documents.push(document.on_platform(platform));
        }
        (Platforms::Several(platforms), Content::Index(index)) => {
            for platform in platforms {
                let (document, platform) = finder.choose(index, platform, 0).await?;
                if !graph.documents.iter().any(|known| known.digest() == document.digest()) {
                    graph.documents.push(document.on_platform(platform));
                }
            }
            graph.documents.push(root);
        }
        (Platforms::Only(platforms), Content::Index(index)) => {
            graph.documents = finder.only(&root, index, platforms).await?;
        }
        (Platforms::All, Content::Index(_)) => {
            finder.collect(root, 0, &mut HashSet::new(), &mut graph.documents).await?;
        }
    }
    let mut seen = HashSet::new();
    for document in &graph.documents {
        if let Content::Manifest(manifest) = document.content() {
            graph
                .manifests
                .push((document.descriptor().clone(), document.descriptor().platform.clone()));
            graph
                .blobs
                .extend(manifest.blobs().filter(|blob| seen.insert(blob.digest.clone())).cloned());
        }
    }
    check_sizes(&graph)?;
    let incoming =
        Incoming { documents: &graph.documents, label: &graph.label, source: &*wanted.source };
    graph.complete = target.survey(incoming).await?;
    Ok(graph)
}

/// Two manifests must not give one digest two sizes: one of them lies, and the plan would not know which.
fn check_sizes(graph: &Graph) -> Result<()> {
    let sizes: HashMap<&Digest, u64> =
        graph.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    for document in &graph.documents {
        let Content::Manifest(manifest) = document.content() else { continue };
        if let Some(odd) = manifest.blobs().find(|blob| sizes.get(&blob.digest) != Some(&blob.size))
        {
            let why = format!("blob {} has two sizes", odd.digest);
            return Err(Error::new(ErrorKind::Document, format!("manifest {}", document.digest()))
                .because(why));
        }
    }
    Ok(())
}

async fn root(wanted: &Wanted, target: &dyn Target) -> Result<Document> {
    // By digest nothing can have changed: what the target holds is it.
    if let Name::Digest(_) = wanted.name {
        if let Some(document) = target.held(&wanted.name).await? {
            return Ok(document);
        }
    } else if target.held(&wanted.target_name).await?.is_some()
        // Docker Hub counts GETs of manifests as pulls, but not HEADs; only a known name makes the extra request pay.
        && let Some(descriptor) = wanted.source.head(&wanted.name).await?
        && let Some(document) = target.stored(&descriptor).await?
    {
        return Ok(document);
    }
    wanted.source.resolve(&wanted.name).await
}

/// A root document, and the manifest in it that was asked for.
#[derive(Clone, Debug)]
pub struct Picked {
    /// What the name resolved to.
    pub root: Document,
    /// The manifest of the platform; the root itself where it is a manifest or no platform was asked for.
    pub chosen: Document,
}

/// Resolves a name for looking at it: documents only, and no target to look into first.
pub async fn pick(
    source: &dyn Source,
    name: &Name,
    reference: &str,
    platform: Option<&Platform>,
    retry: &RetryPolicy,
) -> Result<Picked> {
    let root = source.resolve(name).await?;
    let chosen = match (root.content(), platform) {
        (Content::Index(index), Some(platform)) => {
            let finder = Finder { source, reference, target: None, retry };
            let (document, platform) = finder.choose(index, platform, 0).await?;
            document.on_platform(platform)
        }
        _ => root.clone(),
    };
    Ok(Picked { root, chosen })
}

/// Finds documents below a root.
struct Finder<'a> {
    source: &'a dyn Source,
    reference: &'a str,
    /// Looked into before the source is asked.
    target: Option<&'a dyn Target>,
    retry: &'a RetryPolicy,
}

impl Finder<'_> {
    async fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        if !descriptor.media_type.is_document() {
            let why =
                format!("the index names a {} where a manifest should be", descriptor.media_type);
            return Err(Error::new(ErrorKind::Document, self.reference).because(why));
        }
        if let Some(target) = self.target
            && let Some(document) = target.stored(descriptor).await?
        {
            return Ok(document);
        }
        self.source.document(descriptor).await
    }

    /// The manifest for this platform, and the platform that the index says it has.
    fn choose<'a>(
        &'a self,
        index: &'a Index,
        platform: &'a Platform,
        depth: usize,
    ) -> BoxFuture<'a, Result<(Document, Option<Platform>)>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            for entry in platform::select(platform, &index.manifests) {
                if !entry.media_type.is_document() {
                    continue;
                }
                let document = self.document(entry).await?;
                match document.content() {
                    Content::Index(nested) => {
                        match self.choose(nested, platform, depth + 1).await {
                            Err(error) if error.kind() == ErrorKind::NotFound => {}
                            chosen => return chosen,
                        }
                    }
                    Content::Manifest(_) if entry.platform.is_some() => {
                        let platform = entry.platform.clone();
                        return Ok((document, platform));
                    }
                    Content::Manifest(manifest) => {
                        let own = self.platform_of(manifest).await?;
                        if platform::matches(platform, &own) {
                            return Ok((document, Some(own)));
                        }
                    }
                }
            }
            let there = platform::available(&index.manifests);
            let there =
                if there.is_empty() { "nothing that runs".to_owned() } else { there.join(", ") };
            Err(Error::new(
                ErrorKind::NotFound,
                format!("platform {platform} of {}", self.reference),
            )
            .because(format!("the index has {there}")))
        })
    }

    /// The manifests of these platforms and their attestations, and the index without all others.
    async fn only(
        &self,
        root: &Document,
        index: &Index,
        platforms: &[Platform],
    ) -> Result<Vec<Document>> {
        let mut chosen = Vec::new();
        for platform in platforms {
            chosen.push(self.choose(index, platform, 0).await?.0);
        }
        let kept = subset::kept(index, &chosen.iter().map(Document::digest).collect());
        let mut documents = Vec::new();
        for entry in &kept {
            let document = self.document(entry).await?;
            documents.push(document.on_platform(entry.platform.clone()));
        }
        documents.push(subset::rewrite(root, &kept)?);
        Ok(documents)
    }

    /// An index entry without a platform says it in its config only; an artifact's config says nothing.
    async fn platform_of(&self, manifest: &Manifest) -> Result<Platform> {
        if !manifest.config.media_type.is_image_config() {
            return Ok(Platform::default());
        }
        let bytes =
            crate::fetch::blob(self.source, &manifest.config, CONFIG_LIMIT, self.retry).await?;
        Ok(ImageConfig::parse(&bytes)?.platform())
    }

    /// The document and everything below it, children before parents, each once.
    fn collect<'a>(
        &'a self,
        document: Document,
        depth: usize,
        seen: &'a mut HashSet<Digest>,
        into: &'a mut Vec<Document>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_depth(depth)?;
            if let Content::Index(index) = document.content() {
                let new = |entry: &&Descriptor| {
                    entry.media_type.is_document() && seen.insert(entry.digest.clone())
                };
                let entries: Vec<Descriptor> =
                    index.manifests.iter().filter(new).cloned().collect();
                // Owned by the futures: a closure over borrowed entries is not general enough for `buffered`.
                let fetch = |entry: Descriptor| async move {
                    let child = self.document(&entry).await?;
                    Ok::<_, Error>(child.on_platform(entry.platform))
                };
                let children: Vec<_> =
                    stream::iter(entries.clone()).map(fetch).buffered(AT_ONCE).collect().await;
                self.check_there(&entries, &children)?;
                for child in children {
                    self.collect(child?, depth + 1, seen, into).await?;
                }
            }
            into.push(document);
            if into.iter().map(|document| document.bytes().len()).sum::<usize>() > MAX_BYTES {
                let why = format!("its manifests are larger than {} MiB together", MAX_BYTES >> 20);
                return Err(Error::new(ErrorKind::Document, self.reference).because(why));
            }
            Ok(())
        })
    }

    /// Names everything that is missing at once: a store often has one platform of many.
    fn check_there(&self, entries: &[Descriptor], children: &[Result<Document>]) -> Result<()> {
        let lacks = |child: &Result<Document>| matches!(child, Err(error) if error.kind() == ErrorKind::NotFound);
        let missing = entries.iter().zip(children).filter(|(_, child)| lacks(child));
        let (attestations, images): (Vec<_>, Vec<_>) =
            missing.map(|(entry, _)| entry).partition(|entry| entry.is_attestation());
        let mut missing: Vec<String> = images
            .iter()
            .map(|entry| match &entry.platform {
                Some(platform) => platform.to_string(),
                None => entry.digest.to_string(),
            })
            .collect();
        match attestations.len() {
            0 if missing.is_empty() => return Ok(()),
            0 => {}
            1 => missing.push("an attestation".to_owned()),
            several => missing.push(format!("{several} attestations")),
        }
        let why = format!("its index names what is not there: {}", missing.join(", "));
        Err(Error::new(ErrorKind::NotFound, self.reference).at(self.source.place()).because(why))
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        let why = format!("indexes nest more than {MAX_DEPTH} deep");
        Err(Error::new(ErrorKind::Document, self.reference).because(why))
    }
}
