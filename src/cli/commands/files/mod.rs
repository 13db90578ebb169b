//! `files`: the files that each layer adds, modifies and deletes, or those of the flattened image.

mod tree;

use std::collections::HashSet;
use std::process::ExitCode;

use self::tree::TreeLines;
use crate::cli::args::Files;
use crate::cli::file_lines;
use crate::cli::image::layer_source::{LayerSource, check_number, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::unpack_report::run_with_progress;
use crate::cli::output::Lines;
use crate::cli::path_filter::{PathFilter, clean};
use crate::cli::settings::Settings;
use crate::cli::signals;
use crate::cli::size::{plural, size};
use crate::cli::terminal_width::{truncate_in_pipe, truncate_to_terminal};
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::insight::command::display_command;
use crate::insight::files::{Change, FileInfo, LayerInput, LayerTotals, read_names};
use crate::insight::layers::{LayerRow, layers};

/// The reason for a path without wildcards that no layer has.
const NOT_FOUND: &str = "not found in the image";

/// Width of the command in the heading of a layer, in a pipe.
const COMMAND_WIDTH: usize = 50;

pub(in crate::cli) async fn run(args: Files, settings: &Settings) -> Result<ExitCode> {
    let filter = PathFilter::parse(&args.paths)?;
    let mut image =
        OpenedImage::open_with_layers(&args.image, args.platform.platform.as_deref(), settings)
            .await?;
    if let Some(number) = args.layer {
        check_number(number, &image)?;
    }
    let source = LayerSource::new(&image, settings);
    let control = Control { cancel: signals::cancelled_by_signals(), ..Control::default() };
    let rows = layers(image.manifest()?, &image.config);
    // What a layer changes depends on those below it, and on none above.
    let count = args.layer.map_or(usize::MAX, |number| number.saturating_add(1));
    let inputs = source.inputs(&image, settings, count, &[], |_, _| false);
    let inputs = signals::or_cancelled(&control.cancel, "files", inputs).await?;
    let (blobs, _) = inputs.map_err(malformed)?;
    let listing = Listing { json: settings.json, tree: args.tree, only: args.layer, rows, filter };
    let (flat, paths, reference) = (args.flat, args.paths, image.opened.reference.clone());
    let work = move |control: &Control| {
        if flat {
            print_flat(blobs, &paths, &reference, &listing, control)
        } else {
            print_changes(blobs, &reference, &listing, control)
        }
    };
    match run_with_progress(&mut image, settings, &control, work).await {
        Ok(()) => {}
        Err(error) if error.detail() == Some(ErrorDetail::BrokenPipe) => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(malformed(error)),
    }
    source.print_receipt(&image, settings);
    Ok(ExitCode::SUCCESS)
}

/// What to print, and how.
struct Listing {
    json: bool,
    tree: bool,
    /// The only layer to print.
    only: Option<usize>,
    rows: Vec<LayerRow>,
    filter: PathFilter,
}

/// Prints the changes of each layer as soon as it was read and verified.
fn print_changes(
    layers: Vec<LayerInput<'_>>,
    reference: &str,
    listing: &Listing,
    control: &Control,
) -> Result<()> {
    let lines = &std::cell::RefCell::new(Lines::default());
    let listed = &std::cell::RefCell::new(Listed::default());
    let tree = &std::cell::RefCell::new(TreeLines::default());
    let heading_of = &std::cell::Cell::new(None);
    let is_shown = |number| listing.only.is_none_or(|only| only == number);
    let heading = |number: usize| {
        if heading_of.replace(Some(number)) == Some(number) || listing.json {
            return Ok(());
        }
        *tree.borrow_mut() = TreeLines::default();
        lines.borrow_mut().push(&listing.heading(number))
    };
    let visit = |number: usize, change: &Change<'_>| {
        if !is_shown(number) || !listing.filter.matches(change.path) || change.implied {
            return Ok(());
        }
        listed.borrow_mut().add(number, change);
        if listing.json {
            return lines.borrow_mut().push_json(&file_lines::change_json(number, change));
        }
        heading(number)?;
        let mut print = |name: &str| {
            let Some(file) = change.after.or(change.before) else { return Ok(()) };
            let (start, hidden) =
                (format!("{}  ", change.kind.letter()), file_lines::hidden_text(change));
            lines.borrow_mut().push(&file_lines::text(
                &start,
                name,
                &file,
                change.hardlink,
                &hidden,
            ))
        };
        if !listing.tree {
            return print(&file_lines::shown(change.path));
        }
        let is_directory = is_directory(change.after.or(change.before).as_ref());
        let parents =
            |name: &str| lines.borrow_mut().push(&truncate_to_terminal(format!("{:31}{name}", "")));
        tree.borrow_mut().line(change.path, is_directory, parents, &mut print)
    };
    let end = |number: usize, totals: LayerTotals| {
        if !is_shown(number) || listing.json {
            return Ok(());
        }
        heading(number)?;
        let own = listed.take().totals;
        let mut lines = lines.borrow_mut();
        lines.push(&summary(if listing.filter.is_empty() { totals } else { own }))?;
        if listing.only.is_none() && number + 1 < listing.rows.len() {
            lines.push("")?;
        }
        // Nothing is printed about a path that is not there.
        if listing.check_found(reference).is_ok() { lines.flush() } else { Ok(()) }
    };
    read_names(layers, control, visit, end)?;
    listing.check_found(reference)?;
    lines.borrow_mut().flush()
}

/// Totals of the changes of a layer that are listed.
#[derive(Default)]
struct Listed {
    totals: LayerTotals,
    /// Files with several names whose bytes were counted.
    counted: HashSet<u32>,
}

impl Listed {
    fn add(&mut self, layer: usize, change: &Change<'_>) {
        self.totals.count(layer, change, &mut self.counted);
        self.totals.hidden.add(change.hidden);
        self.totals.hidden.add(change.hidden_below);
    }
}

fn is_directory(file: Option<&FileInfo<'_>>) -> bool {
    file.is_some_and(|file| file.kind == crate::layer::EntryKind::Directory)
}

fn summary(totals: LayerTotals) -> String {
    let LayerTotals { added, modified, deleted, bytes, hidden, .. } = totals;
    let text = format!("{added} added, {modified} modified, {deleted} deleted, {}", size(bytes));
    if hidden.files == 0 {
        return text;
    }
    let files = plural(hidden.files, "file");
    format!("{text}; hides {} in {files} of lower layers", size(hidden.bytes))
}

impl Listing {
    fn check_found(&self, reference: &str) -> Result<()> {
        match self.only {
            Some(number) => {
                self.filter.check_found(reference, &format!("not found in layer {number}"))
            }
            None => self.filter.check_found(reference, NOT_FOUND),
        }
    }

    fn heading(&self, number: usize) -> String {
        let Some(row) = self.rows.iter().find(|row| row.index == number) else {
            return format!("layer {number}");
        };
        let command = truncate_in_pipe(display_command(&row.created_by), COMMAND_WIDTH);
        let text = format!(
            "layer {number}  {}  {}  {}  {command}",
            row.kind,
            row.digest.short(),
            size(row.size)
        );
        truncate_to_terminal(crate::escape(text.trim_end()).into_owned())
    }
}

/// Prints the flattened image, or what is at a path of it.
fn print_flat(
    layers: Vec<LayerInput<'_>>,
    paths: &[String],
    reference: &str,
    listing: &Listing,
    control: &Control,
) -> Result<()> {
    let (files, _) = read_names(layers, control, |_, _| Ok(()), |_, _| Ok(()))?;
    let mut lines = Lines::default();
    let mut tree = TreeLines::default();
    // A single path may have links in it, and must exist.
    let start = match paths {
        [path] if !path.contains(['*', '?', '[']) => {
            let text = clean(path);
            let not_found =
                || Error::new(ErrorKind::NotFound, reference).at(path).with_reason(NOT_FOUND);
            let found = match files.get(text.as_bytes()) {
                // A link alone is shown itself, as `ls -l` does.
                Some(file) if !is_directory(Some(&file)) && !path.ends_with('/') => {
                    text.into_bytes()
                }
                _ => files.resolve(text.as_bytes()).map_err(|_| not_found())?,
            };
            files.get(&found).ok_or_else(not_found)?;
            Some(found)
        }
        _ => None,
    };
    let visit = |path: &[u8], file: &FileInfo<'_>| {
        control.check("files")?;
        if start.is_none() && !listing.filter.matches(path) {
            return Ok(());
        }
        if listing.json {
            return lines.push_json(&file_lines::file_json(path, file));
        }
        if !listing.tree {
            return lines.push(&file_lines::text("", &file_lines::shown(path), file, None, ""));
        }
        let lines = std::cell::RefCell::new(&mut lines);
        let parents =
            |name: &str| lines.borrow_mut().push(&truncate_to_terminal(format!("{:28}{name}", "")));
        let mut print =
            |name: &str| lines.borrow_mut().push(&file_lines::text("", name, file, None, ""));
        tree.line(path, is_directory(Some(file)), parents, &mut print)
    };
    files.walk(start.as_deref().unwrap_or_default(), true, visit)?;
    if start.is_none() {
        listing.filter.check_found(reference, NOT_FOUND)?;
    }
    lines.flush()
}
