//! `index`: makes and changes indexes.

use std::process::ExitCode;
use std::sync::Arc;

use super::job::Edit;
use crate::cli::args::edit::{IndexImages, IndexRemove, IndexVerb};
use crate::cli::image::open::{OpenedLocation, open, store_else_registry};
use crate::cli::settings::Settings;
use crate::document::Document;
use crate::edit::IndexEdit;
use crate::error::Result;
use crate::location::DefaultLocation;
use crate::transfer::resolve_with_all_platforms;

pub(super) async fn run(verb: IndexVerb, settings: &Settings) -> Result<ExitCode> {
    match verb {
        IndexVerb::Create(args) => create(args, settings).await,
        IndexVerb::Add(args) => add(args, settings).await,
        IndexVerb::Remove(args) => remove(args, settings).await,
    }
}

async fn create(args: IndexImages, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::parse("index create", &args.name, &args.writing, settings)?;
    let index = IndexEdit::create(settings.retry)?;
    with_images(edit, index, &args, "").await
}

async fn add(args: IndexImages, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::parse("index add", &args.name, &args.writing, settings)?;
    let (index, full_name) = existing(&edit, &args.name).await?;
    with_images(edit, index, &args, &full_name).await
}

async fn remove(args: IndexRemove, settings: &Settings) -> Result<ExitCode> {
    let edit = Edit::parse("index remove", &args.name, &args.writing, settings)?;
    let (mut index, full_name) = existing(&edit, &args.name).await?;
    args.entries.iter().try_for_each(|entry| index.remove(entry))?;
    edit.write(index.build()?, &full_name).await
}

async fn with_images(
    edit: Edit,
    mut index: IndexEdit,
    args: &IndexImages,
    full_name: &str,
) -> Result<ExitCode> {
    edit.check_creds(&args.images.iter().collect::<Vec<_>>())?;
    for image in &args.images {
        let read = async |opened: OpenedLocation| {
            let root = root(&edit, &opened).await?;
            Ok((opened, root))
        };
        let opening = Box::pin(store_else_registry(image, &edit.settings, read));
        let (opened, root) = edit.until_cancelled(opening).await?;
        let added = edit.until_cancelled(Box::pin(index.add(&opened.source, &root))).await;
        added.map_err(|error| error.at(&opened.reference))?;
    }
    edit.write(index.build()?, full_name).await
}

/// The index that is changed, where the result goes, and its full name.
async fn existing(edit: &Edit, name: &str) -> Result<(IndexEdit, String)> {
    let opening = Box::pin(open(name, DefaultLocation::Store, &edit.settings));
    let opened = edit.until_cancelled(opening).await?;
    let root = edit.until_cancelled(Box::pin(root(edit, &opened))).await?;
    let index = IndexEdit::open(Arc::clone(&opened.source), root, edit.settings.retry)?;
    Ok((index, opened.full_name))
}

async fn root(edit: &Edit, opened: &OpenedLocation) -> Result<Document> {
    let (source, name, retry) = (&*opened.source, &opened.name, &edit.settings.retry);
    resolve_with_all_platforms(source, name, &opened.reference, retry).await
}
