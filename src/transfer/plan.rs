//! What a run will move, as data: computed before anything moves, printable, and comparable with the report.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::graph::{Graph, Wanted, resolve_all};
use super::options::Options;
use super::report::{Ending, Head};
use crate::checked::inline;
use crate::content::{Holding, Target};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Matter, Result};

/// How a blob stands before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The target has it.
    Shared,
    /// So many bytes of it are on disk, from an earlier run.
    Partial(u64),
    /// Another repository of the target's registry has it.
    Mountable,
    /// It must travel.
    Missing,
    /// A foreign layer that is not to be fetched.
    Skipped,
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Shared => "shared",
            Self::Partial(_) => "partial",
            Self::Mountable => "mountable",
            Self::Missing => "missing",
            Self::Skipped => "skipped",
        })
    }
}

/// One blob of the run.
#[derive(Clone, Debug)]
pub struct PlannedBlob {
    /// What it is.
    pub descriptor: Descriptor,
    /// How it stands.
    pub state: State,
    /// Positions of the images that need it, the first one first.
    pub images: Vec<usize>,
}

/// What a run would do for one image, or why it would fail.
#[derive(Debug)]
pub struct Planned {
    /// What would move.
    pub report: PlanReport,
    /// Why nothing can be said.
    pub error: Option<Error>,
}

/// What [`transfer`](super::transfer) would do, in the order asked; moves nothing.
pub async fn plan(wanted: &[Wanted], target: &dyn Target, options: &Options) -> Vec<Planned> {
    let mut graphs = resolve_all(wanted, target, options.along, &options.retry).await;
    for (graph, wanted) in graphs.iter_mut().zip(wanted) {
        if let Ok(graph) = graph {
            graph.learn_platforms(&*wanted.source, target).await;
        }
    }
    let resolved: Vec<Option<&Graph>> = graphs.iter().map(|graph| graph.as_ref().ok()).collect();
    let plan = async {
        let mut plan = Plan::of(&resolved, target, options.foreign_layers).await?;
        plan.ask(target).await?;
        plan.check_sources(wanted, target).await?;
        Ok::<_, Error>(plan)
    };
    let plan = plan.await;
    let images = graphs.into_iter().zip(wanted).enumerate();
    images
        .map(|(at, (graph, wanted))| {
            let head = Head::of(wanted, target, graph.as_ref().ok());
            match (&plan, graph) {
                (Ok(plan), Ok(_)) => Planned { report: plan.report(at, head), error: None },
                (_, Err(error)) => {
                    Planned { report: PlanReport::unknown(head), error: Some(error) }
                }
                (Err(error), _) => {
                    Planned { report: PlanReport::unknown(head), error: Some(error.again()) }
                }
            }
        })
        .collect()
}

/// One plan for all images of a run: each blob once.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which images list them.
    pub blobs: Vec<PlannedBlob>,
}

impl Plan {
    /// Looks at what the target holds; moves and locks nothing. `None` stands for an image that could not be resolved.
    pub async fn of(
        graphs: &[Option<&Graph>],
        target: &dyn Target,
        foreign_layers: bool,
    ) -> Result<Self> {
        let mut blobs: Vec<PlannedBlob> = Vec::new();
        // By size too: where two images say different sizes one of them is wrong, and the other must not fail with it.
        let mut known: HashMap<(&Digest, u64), usize> = HashMap::new();
        for (image, graph) in graphs.iter().enumerate() {
            for descriptor in graph.iter().flat_map(|graph| &graph.blobs) {
                let at = *known.entry((&descriptor.digest, descriptor.size)).or_insert(blobs.len());
                match blobs.get_mut(at) {
                    Some(blob) => blob.images.push(image),
                    None => blobs.push(PlannedBlob {
                        descriptor: descriptor.clone(),
                        state: State::Missing,
                        images: vec![image],
                    }),
                }
            }
        }
        for blob in &mut blobs {
            blob.state = match target.holds(&blob.descriptor).await? {
                Holding::Whole => State::Shared,
                _ if blob.descriptor.is_foreign() && !foreign_layers => State::Skipped,
                Holding::Partial(bytes) if bytes <= blob.descriptor.size => State::Partial(bytes),
                Holding::Mountable => State::Mountable,
                _ => State::Missing,
            };
        }
        Ok(Self { blobs })
    }

    /// Asks about what only asking can tell.
    pub(super) async fn ask(&mut self, target: &dyn Target) -> Result<()> {
        for blob in self.blobs.iter_mut().filter(|blob| blob.state == State::Missing) {
            if target.has(&blob.descriptor).await? {
                blob.state = State::Shared;
            }
        }
        Ok(())
    }

    /// Refuses to begin where a blob is known to be at neither end: an archive may be made for somebody who has more.
    pub(super) async fn check_sources(&self, wanted: &[Wanted], target: &dyn Target) -> Result<()> {
        let mut lacking: Vec<&str> = Vec::new();
        let mut place = String::new();
        let to_come =
            |blob: &&PlannedBlob| matches!(blob.state, State::Missing | State::Partial(_));
        for blob in self.blobs.iter().filter(to_come) {
            let descriptor = &blob.descriptor;
            let mut sources =
                blob.images.iter().filter_map(|&image| Some(&wanted.get(image)?.source));
            if descriptor.size > 0
                && inline(descriptor).is_none()
                && sources.all(|source| source.lacks(&descriptor.digest))
                && !target.has(descriptor).await?
            {
                lacking.push(descriptor.digest.as_str());
                let first = blob.images.first().and_then(|&image| wanted.get(image));
                place = first.map(|wanted| wanted.source.place()).unwrap_or_default();
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let why = format!("neither there nor at {}: {}", target.place(), lacking.join(", "));
        Err(Error::new(ErrorKind::NotFound, "blobs")
            .at(place)
            .because(why)
            .about(Matter::NotCarried))
    }

    /// Every digest that the run may commit, documents included.
    pub(super) fn digests<'a>(&self, graphs: impl Iterator<Item = &'a Graph>) -> Vec<Digest> {
        let documents = graphs
            .flat_map(|graph| graph.all_documents().chain(&graph.label.index))
            .map(|document| document.digest().clone());
        let blobs = self
            .blobs
            .iter()
            .filter(|blob| blob.missing().is_some())
            .map(|blob| blob.descriptor.digest.clone());
        documents.chain(blobs).collect()
    }

    /// Positions of the blobs that must be worked on, largest remaining first: the longest one must not start last. Or in
    /// the order in which they are listed, where the target asks for that.
    pub(super) fn work(&self, as_listed: bool) -> Vec<usize> {
        let mut work: Vec<(u64, usize)> = self
            .blobs
            .iter()
            .enumerate()
            .filter_map(|(at, blob)| Some((blob.missing()?, at)))
            .collect();
        if !as_listed {
            work.sort_by_key(|&(missing, at)| (std::cmp::Reverse(missing), at));
        }
        work.into_iter().map(|(_, at)| at).collect()
    }

    /// The plan for the image at this position, as `--plan` shows it.
    fn report(&self, image: usize, head: Head) -> PlanReport {
        let mut report = PlanReport::unknown(head);
        for blob in self.blobs.iter().filter(|blob| blob.images.contains(&image)) {
            let first = blob.images.first() == Some(&image);
            let state =
                if first || blob.state == State::Skipped { blob.state } else { State::Shared };
            report.bytes.add(&blob.descriptor, state);
            report.blobs.push(PlanRow {
                digest: blob.descriptor.digest.clone(),
                media_type: blob.descriptor.media_type.to_string(),
                size: blob.descriptor.size,
                state,
            });
        }
        report
    }
}

impl PlannedBlob {
    /// How it ends where nothing is done about it.
    pub(super) fn ending_without_work(&self) -> Ending {
        match self.state {
            State::Shared => Ending::Shared,
            State::Skipped => Ending::Skipped,
            State::Partial(_) | State::Mountable | State::Missing => Ending::Missing,
        }
    }

    /// Bytes that the target has of it.
    pub(super) fn on_disk(&self) -> u64 {
        match self.state {
            State::Shared => self.descriptor.size,
            State::Partial(bytes) => bytes,
            State::Mountable | State::Missing | State::Skipped => 0,
        }
    }

    /// Bytes that must travel; `None` where there is nothing to do.
    pub(super) fn missing(&self) -> Option<u64> {
        match self.state {
            State::Shared | State::Skipped => None,
            State::Partial(bytes) => Some(self.descriptor.size.saturating_sub(bytes)),
            State::Mountable | State::Missing => Some(self.descriptor.size),
        }
    }
}

/// What `--plan` tells of one image.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Names and digests.
    #[serde(flatten)]
    pub head: Head,
    /// Totals.
    pub bytes: PlanBytes,
    /// Blob by blob.
    pub blobs: Vec<PlanRow>,
}

impl PlanReport {
    /// Of an image whose blobs are not known.
    fn unknown(head: Head) -> Self {
        Self { head, bytes: PlanBytes::default(), blobs: Vec::new() }
    }
}

/// Totals of a plan in bytes, over unique blobs; total = shared + mountable + partial + missing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PlanBytes {
    /// All of them, foreign layers left out.
    pub total: u64,
    /// The target has these.
    pub shared: u64,
    /// The target's registry has these in another repository.
    pub mountable: u64,
    /// On disk from an earlier run.
    pub partial: u64,
    /// Must travel.
    pub missing: u64,
}

impl PlanBytes {
    fn add(&mut self, descriptor: &Descriptor, state: State) {
        let size = descriptor.size;
        match state {
            State::Skipped => return,
            State::Shared => self.shared += size,
            State::Partial(bytes) => {
                self.partial += bytes;
                self.missing += size.saturating_sub(bytes);
            }
            State::Mountable => self.mountable += size,
            State::Missing => self.missing += size,
        }
        self.total += size;
    }
}

/// One blob of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlanRow {
    /// Identity.
    pub digest: Digest,
    /// As its manifest says.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// How it stands.
    pub state: State,
}
