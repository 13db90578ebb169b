//! Layers of a registry by their tables of contents: only the table and the needed chunks are fetched.

use std::sync::Arc;

use bytes::Bytes;

use super::range_reader::RangeReader;
use crate::blocking::{run_blocking, run_cancellable};
use crate::control::Control;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::failed;
use crate::layer::toc::{Contents, Table, TableLocation, TableLookup};

/// A layer whose table was fetched.
pub(in crate::cli) struct TableSource {
    ranges: Arc<RangeReader>,
    layer: Descriptor,
    contents: Contents,
}

impl TableSource {
    /// A layer with the table that [`fetch_table`] gave, or what of it is needed.
    pub(in crate::cli) fn new(ranges: Arc<RangeReader>, layer: Descriptor, table: Table) -> Self {
        Self { ranges, layer, contents: table.contents }
    }

    /// Whether it is known where the bytes of this file are.
    pub(in crate::cli) fn has(&self, entry: u32) -> bool {
        self.contents.has(entry)
    }

    /// Passes the bytes of a file to `output`, each chunk after it was verified. Returns false, and passes nothing, if only
    /// the whole layer gives them.
    ///
    /// # Errors
    /// Those of the source and of `output`, and a chunk that is not as in the table.
    pub(in crate::cli) async fn read_file(
        &self,
        entry: u32,
        path: &str,
        output: fn(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        let Some(groups) = self.contents.file(entry) else { return Ok(false) };
        let mut is_first = true;
        for group in groups {
            let bytes = if group.range.is_empty() {
                Some(Bytes::new())
            } else {
                self.ranges.fetch(&self.layer, group.range.clone()).await?
            };
            let name = format!("layer {}", self.layer.digest);
            let Some(bytes) = bytes else {
                if is_first {
                    return Ok(false);
                }
                let error = Error::new(ErrorKind::Registry, name);
                return Err(error.with_reason("the registry stopped supporting range requests"));
            };
            is_first = false;
            let path = path.to_owned();
            let read = move || group.read(&bytes, |error| failed(&name, &path, error), output);
            let read = run_blocking("read layers", read).await;
            read.map_err(|error| self.ranges.exclude_wrong(&self.layer, error))?;
        }
        Ok(true)
    }
}

/// Fetches the table of a layer. `None` if it has none that is understood, or the source does not support ranges. Dropping
/// the future ends the parsing too.
///
/// # Errors
/// Those of the source, and a table that is not the annotated one or is malformed.
pub(in crate::cli) async fn fetch_table(
    ranges: &RangeReader,
    layer: &Descriptor,
) -> Result<Option<Table>> {
    let name = format!("layer {}", layer.digest);
    let mut location =
        TableLocation::from_annotations(layer).map_err(|error| failed(&name, "", error))?;
    while let Some(here) = location.take() {
        let bytes = ranges.fetch_table(layer, here.range.clone()).await?;
        let Some(bytes) = bytes else { return Ok(None) };
        let open = {
            let name = name.clone();
            move |control: &Control| {
                here.open(&bytes, control).map_err(|error| failed(&name, "", error))
            }
        };
        let opened = run_cancellable(&Control::default(), "read layers", open).await;
        match opened.map_err(|error| ranges.exclude_wrong(layer, error))? {
            TableLookup::None => return Ok(None),
            TableLookup::Further(further) => location = Some(further),
            TableLookup::Table(table) => return Ok(Some(*table)),
        }
    }
    Ok(None)
}
