//! Resolves a name to everything that belongs to it: documents, children before parents, and blobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::finder::Finder;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Incoming, Label, Name, Source, Target};
use crate::descriptor::{Descriptor, LARGEST_SIZE};
use crate::digest::Digest;
use crate::document::{Content, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::retry::RetryPolicy;

/// Images that are resolved at once.
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
    let finder = Finder::new(&*wanted.source, &wanted.reference, Some(target), retry);
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

/// Two manifests must not give one digest two sizes: one of them lies, and the plan would not know which. Nor may all of
/// them together be more than can be counted.
fn check_sizes(graph: &Graph) -> Result<()> {
    let total = graph.blobs.iter().try_fold(0_u64, |sum, blob| sum.checked_add(blob.size));
    if total.is_none_or(|total| total > LARGEST_SIZE) {
        return Err(Error::new(ErrorKind::Document, format!("manifest {}", graph.root.digest))
            .because("its sizes cannot be true"));
    }
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
            let finder = Finder::new(source, reference, None, retry);
            let (document, platform) = finder.choose(index, platform, 0).await?;
            document.on_platform(platform)
        }
        _ => root.clone(),
    };
    Ok(Picked { root, chosen })
}
