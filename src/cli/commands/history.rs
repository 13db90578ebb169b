//! `history`: the build history of an image, from its manifest and config alone.

use std::process::ExitCode;

use crate::cli::age::age;
use crate::cli::args::History;
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpacked::UnpackedLayers;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::cli::table::table;
use crate::cli::text_width::truncate;
use crate::error::Result;
use crate::insight::history::{HistoryRow, history};

/// Width of the column CREATED BY, as in docker.
const COMMAND_WIDTH: usize = 45;

pub(in crate::cli) async fn run(args: History, settings: &Settings) -> Result<ExitCode> {
    let image = OpenedImage::open(&args.image, args.platform.platform.as_deref(), settings).await?;
    let rows = history(image.manifest()?, &image.config);
    if settings.quiet && !settings.json {
        rows.iter().try_for_each(|row| output::line(id(row, args.no_trunc)))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unpacked) = UnpackedLayers::find(&*image.opened.source, &image.config) {
        return print_with_directories(rows, &unpacked, args.no_trunc, settings);
    }
    if settings.json {
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cells: Vec<[String; 5]> = rows.iter().map(|row| cells(row, args.no_trunc)).collect();
    output::text(&table(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &cells))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the history of an image of an engine, with the sizes of unpacked layers, as docker does, and where they are.
fn print_with_directories(
    mut rows: Vec<HistoryRow>,
    unpacked: &UnpackedLayers,
    no_trunc: bool,
    settings: &Settings,
) -> Result<ExitCode> {
    let mut layers = rows.iter().filter(|row| row.diff_id.is_some()).count();
    let mut numbered = Vec::new();
    for row in &mut rows {
        let layer = row.diff_id.is_some().then(|| {
            layers -= 1;
            layers
        });
        if let Some(size) = layer.and_then(|layer| unpacked.get(layer)?.size) {
            row.size = size;
        }
        numbered.push((&*row, layer));
    }
    if settings.json {
        let rows = numbered.iter().map(|(row, layer)| unpacked.with_directory(*row, *layer));
        output::json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let cells: Vec<[String; 6]> = numbered
        .iter()
        .map(|(row, layer)| {
            let [image, created, created_by, size, comment] = cells(row, no_trunc);
            let directory = layer.map_or_else(String::new, |_| unpacked.shown(*layer, no_trunc));
            [image, created, created_by, size, directory, comment]
        })
        .collect();
    let heading = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "DIRECTORY", "COMMENT"];
    output::text(&table(heading, &cells))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the id of the image that the step made, if it is known.
fn id(row: &HistoryRow, no_trunc: bool) -> &str {
    let Some(digest) = &row.image else { return "<missing>" };
    if no_trunc { digest.as_str() } else { digest.short() }
}

fn cells(row: &HistoryRow, no_trunc: bool) -> [String; 5] {
    let command = row.created_by.replace('\t', " ");
    let command = if no_trunc { command } else { truncate(&command, COMMAND_WIDTH) };
    let created =
        row.created.as_deref().map(|text| if no_trunc { text.to_owned() } else { age(text) });
    let image = id(row, no_trunc).to_owned();
    [image, created.unwrap_or_default(), command, size(row.size), row.comment.clone()]
}
