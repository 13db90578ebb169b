//! `flatten`: merges the layers of an image into one.

use std::process::ExitCode;

use super::job::{Edit, OpenedEdit, compression};
use crate::blocking::run_cancellable;
use crate::builders::open_layer;
use crate::cli::args::edit::Flatten;
use crate::cli::settings::Settings;
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::edit::NewLayer;
use crate::error::Result;
use crate::flatten::Tree;

pub(super) async fn run(args: Flatten, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::new("flatten", &args.new, settings)?;
    edit.check_creds(&[&args.image])?;
    let (retry, compression) = (edit.settings.retry, compression(&args.compression));
    let mut all = edit.open_all(&args.image, &args.platforms).await?;
    let OpenedEdit { images, opened, .. } = &mut all;
    for image in images {
        let open = |layer: &Descriptor| open_layer(opened, layer.clone(), retry);
        let (first, second) = (image.layer_blobs(open)?, image.layer_blobs(open)?);
        let merge = move |control: &Control| {
            let tree = Tree::read(first, control)?;
            NewLayer::from_tree(&tree, second, compression, control)
        };
        let merging = run_cancellable(&edit.settings.control, "flatten", merge);
        let layer = edit.until_cancelled(merging).await?;
        image.flatten(layer, "rpull flatten")?;
    }
    edit.finish(all).await
}
