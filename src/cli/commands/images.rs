//! `images`: lists the images in the local store.

use std::process::ExitCode;

use crate::cli::args::{ImageOrder, Images};
use crate::cli::hint::UNREADABLE_MANIFEST;
use crate::cli::image::image_row::ImageRow;
use crate::cli::image_filter::ImageFilter;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::table::{Column, table};
use crate::cli::terminal_width::terminal_width;
use crate::error::Result;

pub(in crate::cli) async fn run(args: &Images, settings: &Settings) -> Result<ExitCode> {
    let filter = ImageFilter::parse(&args.filter)?;
    let mut rows = Vec::new();
    if let Some(store) = settings.existing_store()? {
        for entry in store.entries()? {
            rows.push(ImageRow::for_entry(&store, entry).await);
        }
    }
    if rows.iter().any(|row| row.size.is_none()) {
        output::warning_hint(UNREADABLE_MANIFEST);
    }
    rows.retain(|row| filter.matches(&row.filter_subject()));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    match args.sort {
        ImageOrder::Name => {}
        ImageOrder::Created => rows.sort_by_key(|row| std::cmp::Reverse(row.created_at())),
        ImageOrder::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.size)),
    }
    rows.truncate(args.limit.unwrap_or(usize::MAX));
    if settings.json {
        let values: Vec<_> = rows.iter().map(ImageRow::json).collect();
        output::json(&values)?;
    } else if settings.quiet {
        rows.iter().try_for_each(|row| output::line(&row.id()))?;
    } else {
        let cells: Vec<[String; 5]> = rows.iter().map(ImageRow::cells).collect();
        let columns = [
            Column::cut_start("IMAGE", 30),
            Column::whole("DIGEST").optional(3),
            Column::cut("PLATFORM", 14).optional(1),
            Column::whole("CREATED").optional(2),
            Column::whole("SIZE"),
        ];
        output::text(&table(columns, &cells, terminal_width()))?;
    }
    Ok(ExitCode::SUCCESS)
}
