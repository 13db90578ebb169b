//! `df`: disk usage of the store and the overlay directories.

mod engine;

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::args::Df;
use crate::cli::output;
use crate::cli::overlay_dirs::known_directories;
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size, size_if_known};
use crate::cli::store_usage::{not_referenced, warn_of_unreadable};
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::error::Result;
use crate::layout::LayoutUsage;
use crate::unpack::overlay::OverlayUsage;

/// Columns of a name for which another column is left out. Longer names are cut off.
const NAME_WIDTH: usize = 40;

pub(in crate::cli) async fn run(args: Df, settings: &Settings) -> Result<ExitCode> {
    if let Some(text) = &args.location {
        return engine::run(text, settings).await;
    }
    let (mut store, mut directories) = (LayoutUsage::default(), Vec::new());
    if let Some(layout) = settings.existing_store()? {
        store = layout.usage()?;
        warn_of_unreadable(&store);
        for directory in known_directories(&layout)? {
            match directory.usage() {
                Ok(usage) => directories.push((directory.path().display().to_string(), usage)),
                Err(error) => tracing::warn!("{}", error.chain()),
            }
        }
    }
    let unpacked = directories.iter().map(|(_, usage)| usage.bytes).sum();
    if settings.json {
        let overlays = directories.iter().map(|(path, usage)| {
            let mut value = json!({ "directory": path });
            merge(&mut value, json_of(usage, None)?);
            Ok(value)
        });
        let overlays = overlays.collect::<Result<Vec<_>>>()?;
        let mut value = json_of(&store, None)?;
        merge(&mut value, json!({ "overlays": overlays, "unpacked": unpacked }));
        output::json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    if settings.quiet {
        store.images.iter().try_for_each(|image| output::line(&image.reference))?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = terminal_width();
    output::text(&of_store(&store, width))?;
    for (path, usage) in &directories {
        output::text(&format!("\n{}", of_directory(path, usage, width)))?;
    }
    if !directories.is_empty() {
        let count = directories.len();
        let noun = if count == 1 { "directory" } else { "directories" };
        output::text(&format!("\n{} unpacked in {count} overlay {noun}\n", size(unpacked)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn merge(value: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
}

fn of_store(usage: &LayoutUsage, width: Option<usize>) -> String {
    let images = usage.images.iter();
    let images = images.map(|image| (&*image.reference, [image.size, image.shared, image.frees]));
    let mut text = image_table(&images.collect::<Vec<_>>(), width);
    if usage.registries.len() > 1 {
        let rows: Vec<[String; 4]> = usage
            .registries
            .iter()
            .map(|registry| {
                let [size, unique] = [registry.size, registry.unique].map(size_if_known);
                [registry.registry.clone(), registry.images.to_string(), size, unique]
            })
            .collect();
        let columns = [
            Column::cut_start("REGISTRY", 16),
            Column::whole("IMAGES").optional(1),
            Column::whole("SIZE"),
            Column::whole("UNIQUE"),
        ];
        // Writing to a `String` cannot fail.
        _ = writeln!(text, "\n{}", table(columns, &rows, width));
    }
    let partial = match usage.partial {
        0 => String::new(),
        bytes => format!("; {} in {}", size(bytes), plural(usage.partials, "partial download")),
    };
    let (bytes, blobs) = (size(usage.bytes), plural(usage.blobs, "blob"));
    let (rest, what) = not_referenced(usage);
    _ = writeln!(text, "{bytes} in {blobs}, {} {what}{partial}", size(rest));
    if usage.sessions > 0 {
        let sessions = plural(usage.sessions, "unfinished upload");
        _ = writeln!(text, "{} in {sessions} to this store", size(usage.session_bytes));
    }
    text
}

fn of_directory(path: &str, usage: &OverlayUsage, width: Option<usize>) -> String {
    let images = usage.images.iter();
    let images =
        images.map(|image| (&*image.reference, [image.size, image.shared, image.unique].map(Some)));
    format!(
        "{}:\n{}{} in {}, {} unreferenced\n",
        crate::escape(path),
        image_table(&images.collect::<Vec<_>>(), width),
        size(usage.bytes),
        plural(usage.layers, "layer"),
        size(usage.unreferenced)
    )
}

/// A table of images, each with its size, what others share, and what its removal frees. A narrow screen has no room for
/// what is shared.
fn image_table(images: &[(&str, [Option<u64>; 3])], width: Option<usize>) -> String {
    let row = |(reference, sizes): &(&str, [Option<u64>; 3])| {
        let [all, shared, frees] = sizes.map(size_if_known);
        [(*reference).to_owned(), all, shared, frees]
    };
    let columns = [
        Column::cut_start("IMAGE", NAME_WIDTH),
        Column::whole("SIZE"),
        Column::whole("SHARED").optional(1),
        Column::whole("RM FREES"),
    ];
    table(columns, &images.iter().map(row).collect::<Vec<_>>(), width)
}
