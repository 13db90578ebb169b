//! `df`: disk usage of the store and the overlay directories.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::engine_df;
use super::overlay::known_directories;
use crate::cli::args::Df;
use crate::cli::output;
use crate::cli::run::report::json_of;
use crate::cli::settings::Settings;
use crate::cli::size::{plural, size};
use crate::cli::table::table;
use crate::error::Result;
use crate::layout::LayoutUsage;
use crate::unpack::overlay::OverlayUsage;

pub(in crate::cli) async fn run(args: Df, settings: &Settings) -> Result<ExitCode> {
    if let Some(text) = &args.location {
        return engine_df::run(text, settings).await;
    }
    let (mut store, mut directories) = (LayoutUsage::default(), Vec::new());
    if let Some(layout) = settings.existing_store()? {
        store = layout.usage()?;
        for directory in known_directories(&layout)? {
            match directory.usage() {
                Ok(usage) => directories.push((directory.path().display().to_string(), usage)),
                Err(error) => tracing::warn!("{}", error.chain()),
            }
        }
    }
    if settings.json {
        let overlays = directories.iter().map(|(path, usage)| {
            let mut value = json!({ "directory": path });
            merge(&mut value, json_of(usage, None)?);
            Ok(value)
        });
        let overlays = overlays.collect::<Result<Vec<_>>>()?;
        let mut value = json_of(&store, None)?;
        merge(&mut value, json!({ "overlays": overlays }));
        output::json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(&of_store(&store))?;
    for (path, usage) in &directories {
        output::text(&format!("\n{}", of_directory(path, usage)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn merge(value: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
}

const HEADING: [&str; 4] = ["IMAGE", "SIZE", "SHARED", "UNIQUE"];

fn of_store(usage: &LayoutUsage) -> String {
    let images = usage.images.iter();
    let rows: Vec<_> = images
        .map(|image| row(&image.reference, [image.size, image.shared, image.unique]))
        .collect();
    let partial = match usage.partial {
        0 => String::new(),
        partial => format!("; {} in partial downloads", size(partial)),
    };
    format!(
        "{}{} in {}, {} unreferenced{partial}\n",
        table(HEADING, &rows),
        size(usage.bytes),
        plural(usage.blobs, "blob"),
        size(usage.unreferenced)
    )
}

fn of_directory(path: &str, usage: &OverlayUsage) -> String {
    let images = usage.images.iter();
    let rows: Vec<_> = images
        .map(|image| row(&image.reference, [image.size, image.shared, image.unique]))
        .collect();
    format!(
        "{}:\n{}{} in {}, {} unreferenced\n",
        crate::escape(path),
        table(HEADING, &rows),
        size(usage.bytes),
        plural(usage.layers, "layer"),
        size(usage.unreferenced)
    )
}

fn row(reference: &str, sizes: [u64; 3]) -> [String; 4] {
    let [all, shared, unique] = sizes.map(size);
    [reference.to_owned(), all, shared, unique]
}
