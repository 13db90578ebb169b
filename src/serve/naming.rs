//! Changes names when a manifest is pushed or deleted. The changes are computed and written under a lock: otherwise two
//! concurrent pushes of one tag could lose a manifest.

use std::collections::HashSet;
use std::sync::Arc;

use super::RegistryService;
use super::name_table::{NameTable, NamedManifest, ServedRepository, layout_name};
use super::response::ApiError;
use super::route::ManifestRef;
use crate::blocking::run_blocking;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, ErrorKind};
use crate::layout::NameEdit;

impl RegistryService {
    /// Adds names to a stored document, all at once.
    pub(super) async fn add_names(
        self: &Arc<Self>,
        repository: &str,
        references: Vec<ManifestRef>,
        document: Document,
    ) -> Result<(), ApiError> {
        let repository = repository.to_owned();
        let plan = move |names: &NameTable| {
            let served = names.repositories.get(&repository);
            (edits_for_put(&repository, served, &references, &document), ())
        };
        self.change_names(plan).await
    }

    /// Removes the names of a tag or digest. Returns whether there was one.
    pub(super) async fn remove_names(
        self: &Arc<Self>,
        repository: &str,
        reference: ManifestRef,
    ) -> Result<bool, ApiError> {
        let repository = repository.to_owned();
        let plan = move |names: &NameTable| {
            let edits = names
                .repositories
                .get(&repository)
                .map(|served| edits_for_delete(served, &reference));
            let edits = edits.unwrap_or_default();
            let found = !edits.is_empty();
            (edits, found)
        };
        self.change_names(plan).await
    }

    async fn change_names<T: Send + 'static>(
        self: &Arc<Self>,
        plan: impl FnOnce(&NameTable) -> (Vec<NameEdit>, T) + Send + 'static,
    ) -> Result<T, ApiError> {
        let lock = Arc::clone(&self.naming_lock).lock_owned().await;
        let registry = Arc::clone(self);
        let work = move || {
            let mut outcome = None;
            let changed = registry.layout.edit_names(|entries| {
                let (edits, result) = plan(&NameTable::from_entries(entries));
                outcome = Some(result);
                edits
            });
            registry.names.clear();
            drop(lock);
            changed.map(|()| outcome)
        };
        let outcome = run_blocking("change names", work).await?;
        outcome.ok_or_else(|| Error::new(ErrorKind::Store, "change names").into())
    }
}

/// Returns the changes for a push. The former manifest of a moved tag stays available by digest, because a user may
/// have pinned it. Children without a tag need no name of their own: the index refers to them.
fn edits_for_put(
    repository: &str,
    served: Option<&ServedRepository>,
    references: &[ManifestRef],
    document: &Document,
) -> Vec<NameEdit> {
    let images = || served.into_iter().flat_map(ServedRepository::images);
    let untagged = || served.into_iter().flat_map(|served| &served.untagged);
    let listed: HashSet<&Digest> = document.entries().iter().map(|entry| &entry.digest).collect();
    let mut edits = Vec::new();
    let mut moved: Vec<&NamedManifest> = Vec::new();
    for reference in references {
        let former = match reference {
            ManifestRef::Tag(tag) => served.and_then(|served| served.tags.get(tag)),
            // The document already has a name by digest that is independent of other documents. A tag is not enough: it
            // may move or be deleted, and what was pushed by digest stays until that is deleted.
            ManifestRef::Digest(_)
                if untagged().any(|image| image.is_standalone(document.digest())) =>
            {
                continue;
            }
            ManifestRef::Digest(_) => None,
        };
        moved.extend(former);
        let name =
            former.map_or_else(|| layout_name(repository, reference), |image| image.name.clone());
        edits.push(NameEdit::Set(name, Box::new(document.descriptor().clone())));
    }
    let mut retained: HashSet<&Digest> = images()
        .filter(|image| moved.iter().all(|former| former.name != image.name))
        .map(|image| &image.entry.descriptor.digest)
        .chain(listed.iter().copied())
        .chain([document.digest()])
        .collect();
    for former in moved {
        let descriptor = &former.entry.descriptor;
        if retained.insert(&descriptor.digest) {
            let name = layout_name(repository, &ManifestRef::Digest(descriptor.digest.clone()));
            edits.push(NameEdit::Set(name, Box::new(descriptor.clone())));
        }
    }
    let children = untagged().filter(|image| listed.contains(&image.entry.descriptor.digest));
    edits.extend(children.map(|image| NameEdit::Remove(image.name.clone())));
    edits
}

/// Returns the changes for a delete: of one tag, or of all names of a digest.
fn edits_for_delete(served: &ServedRepository, reference: &ManifestRef) -> Vec<NameEdit> {
    let matching: Vec<&NamedManifest> = match reference {
        ManifestRef::Tag(tag) => served.tags.get(tag).into_iter().collect(),
        ManifestRef::Digest(digest) => {
            served.images().filter(|image| image.entry.has_digest(digest)).collect()
        }
    };
    matching.into_iter().map(|image| NameEdit::Remove(image.name.clone())).collect()
}
