//! Gives a document a name.

use crate::content::{Provenance, Role, Target, TargetPlan};
use crate::document::Document;
use crate::error::Result;
use crate::name::ImageName;

/// Stores a document whose content the target has, under this name.
pub(in crate::cli) async fn put_document(
    target: &dyn Target,
    document: &Document,
    name: ImageName,
) -> Result<()> {
    let writer = target.begin(&TargetPlan::default()).await?;
    let (names, provenance) = (&[name], &Provenance::default());
    writer.put_manifest(document, Role::Root { names, provenance }).await?;
    writer.finish().await
}
