//! `history`: the build history of an image, from its manifest and config alone.

use std::process::ExitCode;

use crate::cli::age::age;
use crate::cli::args::History;
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpacked::UnpackedLayers;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::{terminal_width, truncate_in_pipe};
use crate::error::Result;
use crate::insight::history::{HistoryRow, history};

/// Width of the column CREATED BY in a pipe, as in docker.
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
    output::text(&table(columns(), &cells, terminal_width().filter(|_| !args.no_trunc)))?;
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
    let [image, created, created_by, size, comment] = columns();
    let directory = Column::cut_start("DIRECTORY", 16).optional(1);
    let columns = [image, created, created_by, size, directory, comment];
    output::text(&table(columns, &cells, terminal_width().filter(|_| !no_trunc)))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the id of the image that the step made, if it is known.
fn id(row: &HistoryRow, no_trunc: bool) -> &str {
    let Some(digest) = &row.image else { return "<missing>" };
    if no_trunc { digest.as_str() } else { digest.short() }
}

fn columns() -> [Column<'static>; 5] {
    [
        Column::whole("IMAGE").optional(2),
        Column::whole("CREATED"),
        Column::cut("CREATED BY", 20),
        Column::whole("SIZE"),
        Column::cut("COMMENT", 8).optional(3),
    ]
}

fn cells(row: &HistoryRow, no_trunc: bool) -> [String; 5] {
    let command = row.created_by.replace('\t', " ");
    let command = if no_trunc { command } else { truncate_in_pipe(command, COMMAND_WIDTH) };
    let created =
        row.created.as_deref().map(|text| if no_trunc { text.to_owned() } else { age(text) });
    let image = id(row, no_trunc).to_owned();
    [image, created.unwrap_or_default(), command, size(row.size), row.comment.clone()]
}
