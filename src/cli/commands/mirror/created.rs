//! When images were created, by their configs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::source_digests::{SourceDigests, SourceName};
use super::state::{CreationTimes, MirrorState};
use crate::cli::image::created::created;
use crate::content::Source;
use crate::digest::Digest;
use crate::error::Result;
use crate::name::ImageName;

/// Creation times of images at their sources, each looked up once.
#[derive(Default)]
pub(super) struct Created {
    found: Mutex<CreationTimes>,
    cells: Mutex<HashMap<SourceName, Arc<OnceCell<Option<String>>>>>,
}

impl Created {
    /// When the image was created. `None` if it does not say, or the source does not tell: the transfer finds out why.
    pub(super) async fn at(
        &self,
        source: &dyn Source,
        name: &ImageName,
        state: &MirrorState,
        digests: &SourceDigests,
    ) -> Option<String> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(SourceName::new(source, name)).or_default())
        };
        let look_up = || async {
            let times = state.creation_times();
            let known = if times.is_empty() { None } else { digests.get(source, name).await };
            let known = known.and_then(|digest| Some((times.get(&digest)?.clone(), digest)));
            let (created, digest) = match known {
                Some(known) => known,
                None => read(source, name).await.ok()?,
            };
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(digest, created.clone());
            created
        };
        cell.get_or_init(look_up).await.clone()
    }

    /// What was found.
    pub(super) fn into_times(self) -> CreationTimes {
        self.found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of sources.
pub(super) struct SourceKnowledge<'a> {
    pub(super) state: &'a MirrorState,
    pub(super) digests: &'a SourceDigests,
    pub(super) created: &'a Created,
}

impl SourceKnowledge<'_> {
    /// As [`Created::at`].
    pub(super) async fn created_at(
        &self,
        source: &Arc<dyn Source>,
        name: &ImageName,
    ) -> Option<String> {
        self.created.at(&**source, name, self.state, self.digests).await
    }
}

async fn read(source: &dyn Source, name: &ImageName) -> Result<(Option<String>, Digest)> {
    let root = source.resolve(name).await?;
    let digest = root.digest().clone();
    Ok((created(source, root).await?, digest))
}
