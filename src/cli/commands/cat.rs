//! `cat`: one file of an image, as all layers give it or as one layer has it.

use std::process::ExitCode;

use crate::cli::args::Cat;
use crate::cli::image::layer_source::{LayerSource, check_number, malformed};
use crate::cli::image::open::OpenedImage;
use crate::cli::image::table_source::TableSource;
use crate::cli::image::unpack_report::with_layer;
use crate::cli::output::{RawStdout, check_write, is_written};
use crate::cli::path_filter::clean;
use crate::cli::settings::Settings;
use crate::cli::signals;
use crate::cli::withheld::Withheld;
use crate::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::LayerBlob;
use crate::insight::files::extract::{
    LayerFile, find_entry, find_in_layer, read_with_candidates, write_entry,
};
use crate::layer::{EntryKind, LayerEntry, split};
use crate::symlinks::MAX_SYMLINKS;
use crate::transfer::can_read_elsewhere;

pub(in crate::cli) async fn run(args: Cat, settings: &Settings) -> Result<ExitCode> {
    let image =
        OpenedImage::open_with_layers(&args.image, args.platform.platform.as_deref(), settings)
            .await?;
    let source = LayerSource::new(&image, settings);
    let control = Control { cancel: signals::cancelled_by_signals(), ..Control::default() };
    let file =
        ImageFile { image: &image, source: &source, settings, control: &control, path: &args.path };
    loop {
        let printed = match args.layer {
            Some(number) => file.print_of_layer(number).await,
            None => file.print_flat().await,
        };
        let Err(error) = printed else { break };
        let error = with_layer(&image, settings, &control.cancel, error).await;
        if is_written() || !can_read_elsewhere(&error) {
            return Err(malformed(error));
        }
    }
    source.print_receipt(&image, settings);
    Ok(ExitCode::SUCCESS)
}

/// A file of an image that is looked for.
struct ImageFile<'a> {
    image: &'a OpenedImage,
    source: &'a LayerSource,
    settings: &'a Settings,
    control: &'a Control,
    path: &'a str,
}

impl ImageFile<'_> {
    async fn print_flat(&self) -> Result<()> {
        let path = clean_bytes(self.path);
        let name = split(&path).1;
        // Layers whose table does not give the file.
        let mut whole = Vec::new();
        loop {
            let is_needed = |_, entry: &LayerEntry| split(&entry.path).1 == name;
            let inputs =
                self.source.inputs(self.image, self.settings, usize::MAX, &whole, is_needed);
            let (layers, tables) = self.or_cancelled(inputs).await??;
            let (control, path) = (self.control.clone(), path.clone());
            let read = self.blocking(move || {
                let (tree, mut candidates) = read_with_candidates(layers, &path, &control)?;
                let resolved = tree.resolve(&path).ok();
                let info = resolved.and_then(|path| tree.get(&path));
                Ok(info.map(|info| {
                    (info.kind, info.size, info.layer, info.entry, candidates.take(&info))
                }))
            });
            let (kind, size, layer, entry, bytes) = read
                .await?
                .ok_or_else(|| self.error(ErrorKind::NotFound, "not found in the image"))?;
            self.check_kind(kind)?;
            let Some(table) = tables.into_iter().nth(layer).flatten() else {
                return self.print(layer, entry, bytes).await;
            };
            if size == 0 || self.print_by_table(table, layer, entry).await? {
                return Ok(());
            }
            whole.push(layer);
        }
    }

    /// Prints a file with the chunks that its table names. Returns false, and prints nothing, if only the whole layer gives
    /// them.
    async fn print_by_table(&self, table: TableSource, layer: usize, entry: u32) -> Result<bool> {
        let print = async {
            let mut table = table;
            if !table.has(entry) {
                // It has another name than the path, through a link.
                let again = self.source.table(self.image, layer, |number, _| number == entry);
                let Some((_, again)) = again.await? else { return Ok(false) };
                table = again;
            }
            table.read_file(entry, self.path, crate::cli::output::raw).await
        };
        self.or_cancelled(print).await?
    }

    async fn print_of_layer(&self, number: usize) -> Result<()> {
        let mut path = clean_bytes(self.path);
        check_number(number, self.image)?;
        let table = self.source.table(self.image, number, |_, _| true);
        let mut table = self.or_cancelled(table).await??;
        // A hard link names an earlier entry, which may be a hard link again.
        for _ in 0..MAX_SYMLINKS {
            let layer = self.source.layer(number, self.image, self.settings)?;
            let found = if let Some((entries, _)) = &table {
                find_entry(entries, &path)
            } else {
                let (control, path) = (self.control.clone(), path.clone());
                self.blocking(move || find_in_layer(layer, &path, &control)).await?
            };
            let not_found = || {
                let reason = format!("not in layer {number}");
                self.error(ErrorKind::NotFound, &reason)
            };
            let LayerFile { entry, number: index, bytes } = found.ok_or_else(not_found)?;
            match entry.kind {
                EntryKind::Hardlink => path = entry.link,
                EntryKind::Whiteout => {
                    let reason = format!("is deleted by layer {number}");
                    return Err(self.error(ErrorKind::NotFound, &reason));
                }
                EntryKind::Symlink => {
                    let target = String::from_utf8_lossy(&entry.link);
                    let reason = format!("is a symbolic link to `{target}`");
                    let error = self.error(ErrorKind::Unsupported, &reason);
                    return Err(error.with_hint("follow links in all layers: leave out `--layer`"));
                }
                kind => {
                    self.check_kind(kind)?;
                    let Some((_, table)) = table.take() else {
                        return self.print(number, index, bytes).await;
                    };
                    if entry.size == 0 || self.print_by_table(table, number, index).await? {
                        return Ok(());
                    }
                }
            }
        }
        Err(self.error(ErrorKind::InvalidDocument, "has too many hard links to hard links"))
    }

    /// Prints a file, reading its layer again if its bytes were not kept.
    async fn print(&self, layer: usize, entry: u32, bytes: Option<Vec<u8>>) -> Result<()> {
        if let Some(bytes) = bytes {
            return crate::cli::output::raw(&bytes);
        }
        let layer: LayerBlob<'static> = self.source.layer(layer, self.image, self.settings)?;
        let control = self.control.clone();
        self.blocking(move || {
            let mut output = Withheld::new(RawStdout);
            let written = write_entry(layer, entry, &control, &mut output);
            if output.is_closed() {
                return Ok(());
            }
            written?;
            check_write(output.finish())
        })
        .await
    }

    fn check_kind(&self, kind: EntryKind) -> Result<()> {
        let reason = match kind {
            EntryKind::File => return Ok(()),
            EntryKind::Directory => "is a directory",
            EntryKind::Character | EntryKind::Block => "is a device",
            _ => "is not a regular file",
        };
        Err(self.error(ErrorKind::Unsupported, reason))
    }

    fn error(&self, kind: ErrorKind, reason: &str) -> Error {
        Error::new(kind, &self.image.opened.reference).at(self.path).with_reason(reason)
    }

    async fn or_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        signals::or_cancelled(&self.control.cancel, "cat", work).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        crate::blocking::run_blocking("read layers", work).await
    }
}

fn clean_bytes(path: &str) -> Vec<u8> {
    clean(path).into_bytes()
}
