//! Opens layouts to write to: at once, or when something is written, so that a run that fails before leaves no empty one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::cli::signals::opened_unless_cancelled;
use crate::content::{
    BlobPresence, Effort, EmptyTarget, Endpoint, EndpointKind, Lookup, Presence, Target,
    TargetPlan, TargetProperties, TargetWriter,
};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::layout::{Layout, LayoutOptions};
use crate::name::ImageName;

/// A layout that does not exist yet.
pub(super) struct NewLayout {
    path: PathBuf,
    options: LayoutOptions,
    control: Control,
    endpoint: Endpoint,
    empty: EmptyTarget,
    created: OnceLock<Layout>,
}

impl NewLayout {
    pub(super) fn new(path: PathBuf, options: LayoutOptions, control: Control) -> Self {
        let location = format!("oci:{}", path.display());
        let endpoint = Endpoint::new(&location).kind(EndpointKind::Layout).dir(&path);
        let empty = EmptyTarget::new(location);
        Self { path, options, control, endpoint, empty, created: OnceLock::new() }
    }

    fn current(&self) -> &dyn Target {
        self.created.get().map_or(&self.empty as &dyn Target, |layout| layout)
    }
}

impl Lookup for NewLayout {
    // The same object before and after the creation: this is what an endpoint is recognized by.
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn name<'a>(
        &'a self,
        name: &'a ImageName,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Descriptor>>> {
        self.current().name(name, effort)
    }

    fn read<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
        effort: Effort,
    ) -> BoxFuture<'a, Result<Presence<Bytes>>> {
        self.current().read(descriptor, limit, effort)
    }

    fn blob<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        effort: Effort,
    ) -> BoxFuture<'a, Result<BlobPresence>> {
        self.current().blob(descriptor, effort)
    }
}

impl Target for NewLayout {
    fn properties(&self) -> TargetProperties {
        TargetProperties::default()
    }

    fn begin<'a>(
        &'a self,
        plan: &'a TargetPlan<'a>,
    ) -> BoxFuture<'a, Result<Arc<dyn TargetWriter>>> {
        Box::pin(async move {
            if self.created.get().is_none() {
                let (path, options) = (self.path.clone(), self.options);
                let layout = open_to_write(path, options, &self.control).await?;
                // If another task was faster, both are handles of the same directory.
                drop(self.created.set(layout));
            }
            self.current().begin(plan).await
        })
    }
}

/// Opens the layout at this path and creates it if it is missing. Ctrl-C ends a wait for its lock and the check after a
/// restart.
pub(in crate::cli) async fn open_to_write(
    path: PathBuf,
    options: LayoutOptions,
    control: &Control,
) -> Result<Layout> {
    let make = move |control: &Control| Layout::create_with_control(&path, options, control);
    opened_unless_cancelled(control, "open", make).await
}
