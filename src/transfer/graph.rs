//! Resolves a name to everything that belongs to it: documents, children before parents, and blobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};

use super::alike;
use super::attached::{self, Along, Attached};
use super::choice::Choice;
use super::finder::{AT_ONCE, Finder};
use super::subset;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Incoming, Label, Name, Source, Target};
use crate::descriptor::{Descriptor, LARGEST_SIZE};
use crate::digest::Digest;
use crate::document::{Content, DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_NAMED;
use crate::platform::Platform;
use crate::retry::RetryPolicy;

/// Which platforms of an index are wanted.
#[derive(Clone, Debug)]
pub enum Platforms {
    /// One; the name then stands for its manifest.
    One(Choice),
    /// Several; the name then stands for the index.
    Several(Vec<Platform>),
    /// Several; the name then stands for an index that lists only these and what attests them.
    Only(Vec<Platform>),
    /// All that the name holds, attestations included; the name then stands for the index, where it is one.
    All,
    /// As `All`, without what its index names and is not there, as long as the manifest of some platform is. Of one
    /// platform the name then stands for its manifest.
    Present,
    /// As `All`; where the name holds only a manifest that was chosen from an index, everything that the index lists.
    Whole,
}

impl Platforms {
    /// Those that somebody asked for.
    fn demanded(&self) -> Vec<Choice> {
        let all = |platforms: &[Platform], choice: fn(Platform) -> Choice| {
            platforms.iter().cloned().map(choice).collect()
        };
        match self {
            Self::One(choice) if choice.demanded => vec![choice.clone()],
            Self::Several(platforms) => all(platforms, Choice::demanded),
            Self::Only(platforms) => all(platforms, Choice::exact),
            Self::One(_) | Self::All | Self::Present | Self::Whole => Vec::new(),
        }
    }

    /// Whether a blob that an index lists comes along.
    fn take(&self, blob: &Descriptor) -> bool {
        match self {
            Self::Several(platforms) => subset::is_for(blob, platforms),
            _ => true,
        }
    }

    /// Whether the name is to stand for the manifest itself, wherever it goes.
    fn is_exact(&self) -> bool {
        matches!(self, Self::One(choice) if choice.exact)
    }
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
    /// What the name stands for: the index, where it is one or the target remembers the one that was chosen from.
    pub root: Descriptor,
    /// Documents to store, children before parents; the last one gets the name.
    pub documents: Vec<Document>,
    /// Manifests among them, with the platform that the index gives each.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
    /// Configs, layers and what indexes list that is no manifest, each once, in the order they are listed.
    pub blobs: Vec<Descriptor>,
    /// What goes along with it, and comes to the target before it.
    pub attached: Vec<Attached>,
    /// Why more may go along with it than was found; the image itself is whole.
    pub unread: Option<Arc<Error>>,
    /// What was looked for to go along.
    pub along: Along,
    /// How the last document is to be named.
    pub label: Label,
    /// Whether the target had all of it before the run, the name included.
    pub complete: bool,
}

impl Graph {
    /// All documents, those of what goes along included.
    pub fn all_documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().chain(self.attached.iter().flat_map(|one| &one.documents))
    }

    /// The document that gets the name.
    pub fn named(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// Why one of its blobs did not arrive. What an index lists and is no manifest may be no blob either.
    pub(super) fn told(&self, blob: &Descriptor, error: &Error) -> Error {
        let lists = |document: &Document| {
            matches!(document.content(), Content::Index(_))
                && document.blobs().any(|listed| listed.digest == blob.digest)
        };
        if error.kind() != ErrorKind::NotFound || !self.all_documents().any(lists) {
            return error.again();
        }
        let kind = &blob.media_type;
        error.again().because(format!("its index lists it as {kind}, which is taken for a blob"))
    }

    /// Stores the documents, children before parents, the named one last; what goes along first of all. Gives the reason
    /// where the image goes without some of that.
    pub(super) async fn commit(
        &self,
        target: &dyn Target,
        is_last_try: bool,
    ) -> Result<Option<Error>> {
        let mut left_out = None;
        for one in self.attached.iter().filter(|one| !one.complete) {
            let why = one.keep(target, is_last_try).await?;
            left_out = left_out.or(why);
        }
        let Some((named, children)) = self.documents.split_last() else { return Ok(left_out) };
        if self.complete {
            return Ok(left_out);
        }
        for child in children {
            target.put(child, None).await?;
        }
        target.put(named, Some(&self.label)).await?;
        Ok(left_out)
    }

    /// Goes without what goes along and needs this blob; says whether the image itself can.
    pub(super) fn leave_out(&mut self, blob: &Digest, why: &Error) -> bool {
        if self.documents.iter().flat_map(Document::blobs).any(|own| own.digest == *blob) {
            return false;
        }
        self.attached.retain(|one| !one.needs(blob));
        self.unread.get_or_insert_with(|| Arc::new(why.again()));
        true
    }

    /// Lists the blobs of all documents.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one that is a manifest of a kind that is not known.
    fn list_blobs(&mut self, wanted: &Wanted) -> Result<()> {
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        for document in self.all_documents() {
            let is_index = matches!(document.content(), Content::Index(_));
            for blob in document.blobs().filter(|blob| !is_index || wanted.platforms.take(blob)) {
                if is_index && blob.media_type.is_unknown_manifest() {
                    let why =
                        format!("its index names a {}, which rpull cannot move", blob.media_type);
                    return Err(Error::new(ErrorKind::Unsupported, &wanted.reference).because(why));
                }
                if seen.insert(blob.digest.clone()) {
                    blobs.push(blob.clone());
                }
            }
        }
        self.blobs = blobs;
        check_sizes(self)
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
    along: Along,
    retry: &RetryPolicy,
) -> Vec<Result<Graph>> {
    let named = AtomicUsize::new(0);
    let resolving = wanted.iter().map(|wanted| async {
        check_together(named.load(Ordering::Relaxed), wanted)?;
        let mut graph = resolve(wanted, target, retry).await?;
        if along != Along::default() {
            graph.along = along;
            let found = attached::find(&graph, wanted, target, along, retry).await?;
            graph.attached = found.attached;
            graph.unread = found.unread.map(Arc::new);
            graph.list_blobs(wanted)?;
        }
        let own = graph.all_documents().count() + graph.blobs.len();
        check_together(named.fetch_add(own, Ordering::Relaxed) + own, wanted)?;
        Ok(graph)
    });
    stream::iter(resolving.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await
}

/// An image costs what its lists are long, under each of its names: an archive can give a huge one thousands.
fn check_together(named: usize, wanted: &Wanted) -> Result<()> {
    if named <= MAX_NAMED {
        return Ok(());
    }
    let why = format!("the images of one run name more than {MAX_NAMED} blobs together");
    Err(Error::new(ErrorKind::Document, &wanted.reference).because(why))
}

/// Resolves the wanted image, asking the target first for what it has: a warm pull costs one HEAD.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the index lacks the platform, naming those it has; [`ErrorKind::Document`] where it
/// nests too deep.
pub async fn resolve(wanted: &Wanted, target: &dyn Target, retry: &RetryPolicy) -> Result<Graph> {
    let found = root(wanted, target).await?;
    let origins = wanted.source.origins(&found);
    let finder = Finder::new(&*wanted.source, &wanted.reference, Some(target), retry);
    let mut root = found.descriptor().clone();
    if matches!(found.content(), Content::Index(_))
        && !matches!(wanted.platforms, Platforms::One(_))
        // Of a source on this machine nothing needs to be spared.
        && wanted.source.at_hand(&root, DOCUMENT_LIMIT).await?.is_none()
    {
        target.recognise(&wanted.target_name, &found).await?;
    }
    let (documents, mut index) = documents(&finder, &wanted.platforms, found).await?;
    // A registry does not know what a manifest was chosen from: there the name stands for the manifest itself.
    index.take_if(|_| wanted.platforms.is_exact() || !matches!(wanted.target_name, Name::Ref(_)));
    if let Some(stands_for) = index.as_ref().or(documents.last()) {
        root = stands_for.descriptor().clone();
    }
    let mut graph = Graph {
        root,
        documents,
        manifests: Vec::new(),
        blobs: Vec::new(),
        attached: Vec::new(),
        unread: None,
        along: Along::default(),
        label: Label { name: wanted.target_name.clone(), origins, index },
        complete: false,
    };
    let manifests = graph.documents.iter().map(Document::descriptor);
    let manifests = manifests.filter(|descriptor| !descriptor.media_type.is_index());
    graph.manifests =
        manifests.map(|manifest| (manifest.clone(), manifest.platform.clone())).collect();
    graph.list_blobs(wanted)?;
    let incoming =
        Incoming { documents: &graph.documents, label: &graph.label, source: &*wanted.source };
    graph.complete = target.survey(incoming).await?;
    Ok(graph)
}

/// What these platforms need, the document that gets the name last, and the index that it was chosen from.
async fn documents(
    finder: &Finder<'_>,
    platforms: &Platforms,
    root: Document,
) -> Result<(Vec<Document>, Option<Document>)> {
    let mut found = Vec::new();
    let mut chosen_from = finder.source.chosen_from(&root).await;
    let root = match platforms {
        Platforms::Whole => chosen_from.take().unwrap_or(root),
        _ => root,
    };
    match (platforms, root.content()) {
        (platforms, Content::Artifact(_)) => {
            if let Some(choice) = platforms.demanded().first() {
                return Err(
                    finder.no_platform(&choice.platform, "it is an artifact and runs nowhere")
                );
            }
            return Ok((vec![root], chosen_from));
        }
        (platforms, Content::Manifest(manifest)) => {
            for choice in platforms.demanded() {
                finder.check_platform(&root, manifest, &choice).await?;
            }
            return Ok((vec![root], chosen_from));
        }
        (Platforms::One(choice), Content::Index(index)) => {
            let (document, platform) = finder.choose(index, choice, 0).await?;
            return Ok((vec![document.on_platform(platform)], Some(root)));
        }
        (Platforms::Several(platforms), Content::Index(index)) => {
            for platform in platforms {
                let choice = Choice::demanded(platform.clone());
                let (document, platform) = finder.choose(index, &choice, 0).await?;
                if !found.iter().any(|known: &Document| known.digest() == document.digest()) {
                    found.push(document.on_platform(platform));
                }
            }
            let chosen = found.iter().map(Document::digest).collect();
            let listing = finder.listing(index, &chosen).await?;
            found.extend(listing);
            found.push(root);
        }
        (Platforms::Only(platforms), Content::Index(index)) => {
            found = finder.only(&root, index, platforms).await?;
        }
        (Platforms::All | Platforms::Whole, Content::Index(_)) => {
            finder.collect(root, 0, &mut HashSet::new(), &mut found).await?;
        }
        (Platforms::Present, Content::Index(index)) => {
            if let Some(present) = finder.present(&root, index).await? {
                return Ok(present);
            }
            finder.collect(root, 0, &mut HashSet::new(), &mut found).await?;
        }
    }
    Ok((found, None))
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
    for document in graph.all_documents() {
        let differs =
            |blob: &&Descriptor| sizes.get(&blob.digest).is_some_and(|size| *size != blob.size);
        if let Some(odd) = document.blobs().find(differs) {
            let why = format!("blob {} has two sizes", odd.digest);
            return Err(Error::new(ErrorKind::Document, format!("manifest {}", document.digest()))
                .because(why));
        }
    }
    Ok(())
}

async fn root(wanted: &Wanted, target: &dyn Target) -> Result<Document> {
    if let Some(root) = alike::root(&*wanted.source, &wanted.name, &wanted.platforms).await? {
        return Ok(root);
    }
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
