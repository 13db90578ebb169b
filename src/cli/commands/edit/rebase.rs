//! `rebase`: exchanges the base of an image.

use std::process::ExitCode;

use super::job::Edit;
use crate::cli::args::edit::Rebase;
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::reference::Reference;

pub(super) async fn run(args: Rebase, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::new("rebase", &args.new, settings)?;
    edit.check_creds(&[&args.image, &args.old_base, &args.new_base])?;
    let mut opened = edit.open_all(&args.image, &args.platforms).await?;
    for image in &mut opened.images {
        let own = image.config().platform().to_string();
        let old = edit.open(&args.old_base, Some(&own)).await?;
        let new = edit.open(&args.new_base, Some(&own)).await?;
        image.rebase(old.image()?, new.image()?)?;
        // `check-base` compares a tag of a registry with the digest.
        let name = new.opened.full_name.parse::<Reference>().ok();
        let name = name.filter(|name| name.tag().is_some()).map(|name| name.to_string());
        image.annotate_base(name.as_deref(), new.image()?)?;
    }
    edit.finish(opened).await
}
