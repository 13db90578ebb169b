//! Remembers in a layout where its images were pushed.

use std::sync::Arc;

use crate::blocking::run_blocking;
use crate::layout::Layout;
use crate::name::ImageName;
use crate::transfer::ImageSummary;

/// Records in the layout where its image was pushed, so that a push of another tag needs no upload. Failures are ignored: the
/// layout may be read-only.
pub(crate) async fn remember_push(layout: Arc<Layout>, name: &ImageName, sent: &ImageSummary) {
    let (ImageName::Layout(name), Some(manifest)) = (name.clone(), sent.manifest.clone()) else {
        return;
    };
    let target = sent.target.clone();
    // If only one platform of an index was pushed, the registry does not have the whole index.
    let add = move || layout.add_origin(&name, &manifest, &target);
    if let Err(error) = run_blocking("push", add).await {
        tracing::info!("{}", error.chain());
    }
}
