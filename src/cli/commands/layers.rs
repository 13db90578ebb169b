//! `layers`: lists the layers of an image, base first, or the files of an artifact.

use std::process::ExitCode;

use crate::cli::args::History;
use crate::cli::image::inspected::{Inspected, parts_json, parts_table};
use crate::cli::image::other_platform::warn_of_other_platform;
use crate::cli::image::unpacked::UnpackedLayers;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::size::size;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::{terminal_width, truncate_in_pipe};
use crate::digest::Digest;
use crate::error::Result;
use crate::insight::command::display_command;
use crate::insight::layers::{LayerRow, layers};

/// Width of the column with commands in a pipe.
const COMMAND_WIDTH: usize = 50;

pub(in crate::cli) async fn run(args: History, settings: &Settings) -> Result<ExitCode> {
    let platform = args.platform.platform.as_deref();
    let seen = Inspected::open(&args.image, platform, settings).await?;
    if seen.is_artifact() {
        if settings.json {
            output::json(&parts_json(seen.parts()))?;
        } else if settings.quiet {
            seen.parts().iter().try_for_each(|part| output::line(part.digest.as_str()))?;
        } else {
            output::text(&parts_table(seen.parts()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let config = seen.config?;
    warn_of_other_platform(&seen.opened.reference, &config, platform)?;
    let rows = layers(seen.chosen.manifest()?, &config);
    if settings.quiet && !settings.json {
        rows.iter().try_for_each(|row| output::line(row.digest.as_str()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unpacked) = UnpackedLayers::find(&*seen.opened.source, &config) {
        return print_with_directories(&rows, &unpacked, args.no_trunc, settings);
    }
    if settings.json {
        output::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cells: Vec<[String; 7]> = rows.iter().map(|row| cells(row, args.no_trunc)).collect();
    let columns = [
        Column::whole("LAYER"),
        Column::whole("KIND").optional(1),
        Column::whole("DIGEST"),
        Column::whole("DIFF_ID").optional(2),
        Column::whole("CHAIN_ID").optional(3),
        Column::whole("SIZE"),
        Column::cut("COMMAND", 20),
    ];
    output::text(&table(columns, &cells, terminal_width().filter(|_| !args.no_trunc)))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the layers of an engine, and where it keeps them.
fn print_with_directories(
    rows: &[LayerRow],
    unpacked: &UnpackedLayers,
    no_trunc: bool,
    settings: &Settings,
) -> Result<ExitCode> {
    if settings.json {
        let rows = rows.iter().map(|row| unpacked.with_directory(row, Some(row.index)));
        output::json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let with_directory = |row: &LayerRow| {
        let [layer, kind, digest, _, chain_id, size, command] = cells(row, no_trunc);
        [layer, kind, digest, chain_id, size, unpacked.shown(Some(row.index), no_trunc), command]
    };
    let cells: Vec<_> = rows.iter().map(with_directory).collect();
    let columns = [
        Column::whole("LAYER"),
        Column::whole("KIND").optional(2),
        Column::whole("DIGEST").optional(3),
        Column::whole("CHAIN_ID").optional(4),
        Column::whole("SIZE"),
        Column::cut_start("DIRECTORY", 20),
        Column::cut("COMMAND", 16).optional(1),
    ];
    output::text(&table(columns, &cells, terminal_width().filter(|_| !no_trunc)))?;
    Ok(ExitCode::SUCCESS)
}

fn cells(row: &LayerRow, no_trunc: bool) -> [String; 7] {
    let shown = |digest: Option<&Digest>| match digest {
        None => "-".to_owned(),
        Some(digest) if no_trunc => digest.to_string(),
        Some(digest) => digest.short().to_owned(),
    };
    let command = display_command(&row.created_by);
    let command = if no_trunc { command } else { truncate_in_pipe(command, COMMAND_WIDTH) };
    [
        row.index.to_string(),
        row.kind.to_string(),
        shown(Some(&row.digest)),
        shown(row.diff_id.as_ref()),
        shown(row.chain_id.as_ref()),
        size(row.size),
        command,
    ]
}
