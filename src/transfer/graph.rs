//! Resolves a name to everything that belongs to it: documents, children before parents, and blobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};

use super::alike;
use super::artifacts::{self, ArtifactOptions, AttachedArtifact};
use super::choice::PlatformRequest;
use super::document_finder::{AT_ONCE, DocumentFinder};
use super::filter_index;
use super::prepare::{IncomingImage, TargetState};
use super::side::OnSide as _;
use crate::config::{CONFIG_LIMIT, ImageConfig};
use crate::content::{Effort, Presence, Provenance, Role, Source, Target, TargetWriter};
use crate::descriptor::{Descriptor, MAX_SIZE};
use crate::digest::Digest;
use crate::document::{Document, ParsedDocument};
use crate::error::{Error, ErrorKind, Result, Side};
use crate::limits::MAX_NAMED;
use crate::name::ImageName;
use crate::platform::Platform;
use crate::retry::RetryPolicy;

/// Which platforms of an index are wanted.
#[derive(Clone, Debug)]
pub enum PlatformSelection {
    /// One; the name then stands for its manifest.
    Single(PlatformRequest),
    /// Several; the name then stands for the index.
    SparseIndex(Vec<Platform>),
    /// Several; the name then stands for an index that lists only these and what attests them.
    FilteredIndex(Vec<Platform>),
    /// All that the name holds, attestations included; the name then stands for the index, where it is one.
    All,
    /// As `All`, without what its index names and is not there, as long as the manifest of some platform is. Of one
    /// platform the name then stands for its manifest.
    Available,
    /// As `All`; where the name holds only a manifest that was chosen from an index, everything that the index lists.
    OriginalIndex,
}

impl PlatformSelection {
    /// The requested platforms.
    fn explicit(&self) -> Vec<PlatformRequest> {
        let all = |platforms: &[Platform], choice: fn(Platform) -> PlatformRequest| {
            platforms.iter().cloned().map(choice).collect()
        };
        match self {
            Self::Single(choice) if choice.explicit => vec![choice.clone()],
            Self::SparseIndex(platforms) => all(platforms, PlatformRequest::explicit),
            Self::FilteredIndex(platforms) => all(platforms, PlatformRequest::exact),
            Self::Single(_) | Self::All | Self::Available | Self::OriginalIndex => Vec::new(),
        }
    }

    /// Whether a blob that an index lists comes along.
    fn take(&self, blob: &Descriptor) -> bool {
        match self {
            Self::SparseIndex(platforms) => filter_index::is_for(blob, platforms),
            _ => true,
        }
    }

    /// Whether the name is to stand for the manifest itself, wherever it goes.
    fn is_exact(&self) -> bool {
        matches!(self, Self::Single(choice) if choice.exact)
    }
}

/// One image to move.
#[derive(Clone)]
pub struct ImageRequest {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// What it is called there.
    pub name: ImageName,
    /// Its reference, for people and reports.
    pub reference: String,
    /// What it is to be called at the target.
    pub target_name: ImageName,
    /// Which platforms of it.
    pub platforms: PlatformSelection,
}

impl std::fmt::Debug for ImageRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageRequest")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// Everything that belongs to one image.
#[derive(Clone, Debug)]
pub struct ImageGraph {
    /// What the name stands for: the index, where it is one or the target remembers the one that was chosen from.
    pub root: Descriptor,
    /// Documents to store, children before parents; the last one gets the name.
    pub documents: Vec<Document>,
    /// Manifests among them, with the platform that the index gives each.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
    /// Configs, layers and what indexes list that is no manifest, each once, in the order they are listed.
    pub blobs: Vec<Descriptor>,
    /// What goes along with it, and comes to the target before it.
    pub attached: Vec<AttachedArtifact>,
    /// Why more may go along with it than was found; the image itself is whole.
    pub unread: Option<Arc<Error>>,
    /// What was looked for to go along.
    pub along: ArtifactOptions,
    /// What the last document is to be called at the target.
    pub name: ImageName,
    /// Where that document is known to be from.
    pub provenance: Provenance,
    /// Whether the target had all of it before the run, the name included.
    pub complete: bool,
}

impl ImageGraph {
    /// All documents, those of what goes along included.
    pub fn all_documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().chain(self.attached.iter().flat_map(|one| &one.documents))
    }

    /// The document that gets the name.
    pub fn root_document(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// Why one of its blobs did not arrive. What an index lists and is no manifest may be no blob either.
    pub(super) fn told(&self, blob: &Descriptor, error: &Error) -> Error {
        let lists = |document: &Document| {
            matches!(document.parsed(), ParsedDocument::Index(_))
                && document.blobs().any(|listed| listed.digest == blob.digest)
        };
        if error.kind() != ErrorKind::NotFound || !self.all_documents().any(lists) {
            return error.clone_for();
        }
        let kind = &blob.media_type;
        error
            .clone_for()
            .with_reason(format!("listed by its index as {kind}, which is treated as a blob"))
    }

    /// Stores the documents, children before parents, the named one last; what goes along first of all. Gives the reason
    /// where the image goes without some of that.
    pub(super) async fn commit(
        &self,
        target: &TargetState<'_>,
        writer: &dyn TargetWriter,
        is_last_try: bool,
    ) -> Result<Option<Error>> {
        let mut left_out = None;
        for one in self.attached.iter().filter(|one| !one.complete) {
            let why = one.keep(target, writer, is_last_try).await?;
            left_out = left_out.or(why);
        }
        let Some((root, children)) = self.documents.split_last() else { return Ok(left_out) };
        if self.complete {
            return Ok(left_out);
        }
        target.put_children(writer, children, is_last_try).await?;
        let names = std::slice::from_ref(&self.name);
        writer.put_manifest(root, Role::Root { names, provenance: &self.provenance }).await?;
        target.known().sent(root.digest());
        Ok(left_out)
    }

    /// Goes without what goes along and needs this blob; says whether the image itself can.
    pub(super) fn leave_out(&mut self, blob: &Digest, why: &Error) -> bool {
        if self.documents.iter().flat_map(Document::blobs).any(|own| own.digest == *blob) {
            return false;
        }
        self.attached.retain(|one| !one.needs(blob));
        self.unread.get_or_insert_with(|| Arc::new(why.clone_for()));
        true
    }

    /// Lists the blobs of all documents.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one that is a manifest of a kind that is not known.
    fn list_blobs(&mut self, wanted: &ImageRequest) -> Result<()> {
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        for document in self.all_documents() {
            let is_index = matches!(document.parsed(), ParsedDocument::Index(_));
            for blob in document.blobs().filter(|blob| !is_index || wanted.platforms.take(blob)) {
                if is_index && blob.media_type.is_unknown_manifest() {
                    let why =
                        format!("its index lists a {}, which is unsupported", blob.media_type);
                    return Err(
                        Error::new(ErrorKind::Unsupported, &wanted.reference).with_reason(why)
                    );
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
    pub(super) async fn learn_platforms(&mut self, source: &dyn Source, target: &TargetState<'_>) {
        for (descriptor, platform) in self.manifests.iter_mut().filter(|entry| entry.1.is_none()) {
            let document = self.documents.iter().find(|known| known.digest() == &descriptor.digest);
            let Some(ParsedDocument::Manifest(manifest)) = document.map(Document::parsed) else {
                continue;
            };
            if !manifest.config.media_type.is_image_config() {
                continue;
            }
            let mut bytes = target.small_blob(&manifest.config, CONFIG_LIMIT).await;
            if bytes.is_none() {
                let read = source.read(&manifest.config, CONFIG_LIMIT, Effort::Local).await;
                bytes = read.ok().and_then(Presence::present);
            }
            if let Some(bytes) = bytes
                && let Ok(config) = ImageConfig::parse(&bytes)
            {
                *platform = Some(config.platform()).filter(|platform| !platform.is_empty());
            }
        }
    }
}

/// Resolves all of them, several at once; the answers are in their order.
pub(super) async fn resolve_all(
    wanted: &[ImageRequest],
    target: &TargetState<'_>,
    along: ArtifactOptions,
    retry: &RetryPolicy,
) -> Vec<Result<ImageGraph>> {
    let named = AtomicUsize::new(0);
    let resolving = wanted.iter().map(|wanted| async {
        check_together(named.load(Ordering::Relaxed), wanted)?;
        let mut graph = resolve_for(wanted, target, retry).await?;
        if along != ArtifactOptions::default() {
            graph.along = along;
            let found = artifacts::find(&graph, wanted, target, along, retry).await?;
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
fn check_together(named: usize, wanted: &ImageRequest) -> Result<()> {
    if named <= MAX_NAMED {
        return Ok(());
    }
    let why = format!("more than {MAX_NAMED} blobs in one run");
    Err(Error::new(ErrorKind::InvalidDocument, &wanted.reference).with_reason(why))
}

/// Resolves the wanted image, asking the target first for what it has: a warm pull costs one HEAD.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the index lacks the platform, naming those it has; [`ErrorKind::InvalidDocument`] where it
/// nests too deep.
pub async fn resolve(
    wanted: &ImageRequest,
    target: &dyn Target,
    retry: &RetryPolicy,
) -> Result<ImageGraph> {
    resolve_for(wanted, &TargetState::new(target), retry).await
}

async fn resolve_for(
    wanted: &ImageRequest,
    target: &TargetState<'_>,
    retry: &RetryPolicy,
) -> Result<ImageGraph> {
    let found = root(wanted, target).await?;
    let Provenance { repositories, parent_index } = wanted.source.provenance(&found).await;
    let finder = DocumentFinder::new(&*wanted.source, &wanted.reference, Some(target), retry);
    let mut root = found.descriptor().clone();
    if matches!(found.parsed(), ParsedDocument::Index(_))
        && !matches!(wanted.platforms, PlatformSelection::Single(_))
        // Of a source on this machine nothing needs to be spared.
        && !wanted.source.endpoint().kind.is_local()
    {
        target.recognize(&wanted.target_name, &found).await.on(Side::Target)?;
    }
    let (documents, mut index) = documents(&finder, &wanted.platforms, found, parent_index).await?;
    // A registry does not know what a manifest was chosen from: there the name stands for the manifest itself.
    index.take_if(|_| {
        wanted.platforms.is_exact() || !matches!(wanted.target_name, ImageName::Layout(_))
    });
    if let Some(stands_for) = index.as_ref().or(documents.last()) {
        root = stands_for.descriptor().clone();
    }
    let mut graph = ImageGraph {
        root,
        documents,
        manifests: Vec::new(),
        blobs: Vec::new(),
        attached: Vec::new(),
        unread: None,
        along: ArtifactOptions::default(),
        name: wanted.target_name.clone(),
        provenance: Provenance { repositories, parent_index: index },
        complete: false,
    };
    let manifests = graph.documents.iter().map(Document::descriptor);
    let manifests = manifests.filter(|descriptor| !descriptor.media_type.is_index());
    graph.manifests =
        manifests.map(|manifest| (manifest.clone(), manifest.platform.clone())).collect();
    graph.list_blobs(wanted)?;
    graph
        .documents
        .iter()
        .try_for_each(|document| target.inner.check_document(document))
        .on(Side::Target)?;
    let incoming = IncomingImage {
        documents: &graph.documents,
        name: &graph.name,
        repositories: &graph.provenance.repositories,
        source: &*wanted.source,
    };
    graph.complete = target.prepare(incoming).await.on(Side::Target)?;
    Ok(graph)
}

/// What these platforms need, the document that gets the name last, and the index that it was chosen from. `chosen_from`
/// is the index that the source knows the root to be from.
async fn documents(
    finder: &DocumentFinder<'_>,
    platforms: &PlatformSelection,
    root: Document,
    mut chosen_from: Option<Document>,
) -> Result<(Vec<Document>, Option<Document>)> {
    let mut found = Vec::new();
    let root = match platforms {
        PlatformSelection::OriginalIndex => chosen_from.take().unwrap_or(root),
        _ => root,
    };
    match (platforms, root.parsed()) {
        (platforms, ParsedDocument::Artifact(_)) => {
            if let Some(choice) = platforms.explicit().first() {
                return Err(finder.no_platform(&choice.platform, "an artifact has no platform"));
            }
            return Ok((vec![root], chosen_from));
        }
        (platforms, ParsedDocument::Manifest(manifest)) => {
            for choice in platforms.explicit() {
                finder.check_platform(&root, manifest, &choice).await?;
            }
            return Ok((vec![root], chosen_from));
        }
        (PlatformSelection::Single(choice), ParsedDocument::Index(index)) => {
            let (document, platform) = finder.select_manifest(index, choice, 0).await?;
            return Ok((vec![document.with_platform(platform)], Some(root)));
        }
        (PlatformSelection::SparseIndex(platforms), ParsedDocument::Index(index)) => {
            for platform in platforms {
                let choice = PlatformRequest::explicit(platform.clone());
                let (document, platform) = finder.select_manifest(index, &choice, 0).await?;
                if !found.iter().any(|known: &Document| known.digest() == document.digest()) {
                    found.push(document.with_platform(platform));
                }
            }
            let chosen = found.iter().map(Document::digest).collect();
            let listing = finder.listing(index, &chosen).await?;
            found.extend(listing);
            found.push(root);
        }
        (PlatformSelection::FilteredIndex(platforms), ParsedDocument::Index(index)) => {
            found = finder.filter_index(&root, index, platforms).await?;
        }
        (PlatformSelection::All | PlatformSelection::OriginalIndex, ParsedDocument::Index(_)) => {
            finder.collect(root, 0, &mut HashSet::new(), &mut found).await?;
        }
        (PlatformSelection::Available, ParsedDocument::Index(index)) => {
            if let Some(present) = finder.available_subset(&root, index).await? {
                return Ok(present);
            }
            finder.collect(root, 0, &mut HashSet::new(), &mut found).await?;
        }
    }
    Ok((found, None))
}

/// Two manifests must not give one digest two sizes: one of them lies, and the plan would not know which. Nor may all of
/// them together be more than can be counted.
fn check_sizes(graph: &ImageGraph) -> Result<()> {
    let total = graph.blobs.iter().try_fold(0_u64, |sum, blob| sum.checked_add(blob.size));
    if total.is_none_or(|total| total > MAX_SIZE) {
        return Err(Error::new(
            ErrorKind::InvalidDocument,
            format!("manifest {}", graph.root.digest),
        )
        .with_reason("total size is out of range"));
    }
    let sizes: HashMap<&Digest, u64> =
        graph.blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
    for document in graph.all_documents() {
        let differs =
            |blob: &&Descriptor| sizes.get(&blob.digest).is_some_and(|size| *size != blob.size);
        if let Some(odd) = document.blobs().find(differs) {
            let why = format!("blob {} has two sizes", odd.digest);
            return Err(Error::new(
                ErrorKind::InvalidDocument,
                format!("manifest {}", document.digest()),
            )
            .with_reason(why));
        }
    }
    Ok(())
}

async fn root(wanted: &ImageRequest, target: &TargetState<'_>) -> Result<Document> {
    if let Some(root) = alike::root(&*wanted.source, &wanted.name, &wanted.platforms).await? {
        return Ok(root);
    }
    // By digest nothing can have changed: what the target holds is it.
    if let ImageName::Digest(_) = wanted.name {
        if let Some(document) = target.existing(&wanted.name).await.on(Side::Target)? {
            return Ok(document);
        }
    } else if target.existing(&wanted.target_name).await.on(Side::Target)?.is_some()
        // Docker Hub counts GETs of manifests as pulls, but not HEADs; only a known name makes the extra request pay.
        && let Presence::Present(descriptor) =
            wanted.source.name(&wanted.name, Effort::Request).await?
        && let Some(document) = target.document(&descriptor).await
    {
        return Ok(document);
    }
    wanted.source.resolve(&wanted.name).await
}
