//! Digests of names at their sources.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::content::{Effort, Presence, Source};
use crate::digest::Digest;
use crate::name::ImageName;

/// A name at a source. Endpoints are compared as objects.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SourceName(usize, ImageName);

impl SourceName {
    pub(super) fn new(source: &dyn Source, name: &ImageName) -> Self {
        Self(std::ptr::from_ref(source.endpoint()).addr(), name.clone())
    }
}

/// Digests of names, each asked for once.
#[derive(Default)]
pub(super) struct SourceDigests(Mutex<HashMap<SourceName, Arc<OnceCell<Option<Digest>>>>>);

impl SourceDigests {
    /// `None` if the source does not tell it: the transfer finds out why.
    pub(super) async fn get(&self, source: &dyn Source, name: &ImageName) -> Option<Digest> {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(SourceName::new(source, name)).or_default())
        };
        let ask = || async {
            let found = source.name(name, Effort::Request).await;
            found.ok().and_then(Presence::present).map(|descriptor| descriptor.digest)
        };
        cell.get_or_init(ask).await.clone()
    }
}
