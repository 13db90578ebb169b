//! Reads the entries of one layer of an image from any source: a registry, a layout, an archive or memory.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::blocking::run_blocking;
use crate::content::Source;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::image_layers::failed;
use crate::layer::{BombGuard, Entries, EntryLimits, LayerEntry, decompress_detected};
use crate::limits::BUFFER_SIZE;
use crate::transfer::{ReceivedBlob, TransferOptions};

/// Reads the entries of a layer one after the other. As a [`Read`] it gives the content of the current entry.
///
/// [`LayerReader::next_entry`] skips unread content.
pub struct LayerReader<'a> {
    entries: Entries<BufReader<Box<dyn Read + Send + 'a>>>,
    content: Position,
}

/// The position in the content of an entry.
#[derive(Default)]
struct Position {
    at: u64,
    size: u64,
    /// Position of the next stored bytes. Before it is a hole, which reads as zeros.
    stored: Option<(u64, Vec<u8>)>,
    ended: bool,
}

impl fmt::Debug for LayerReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerReader").finish_non_exhaustive()
    }
}

impl LayerReader<'_> {
    /// Returns the next entry; `None` at the end of the layer.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for data that is not a layer or is ambiguous, and errors of the source.
    pub fn next_entry(&mut self) -> io::Result<Option<LayerEntry>> {
        let entry = self.entries.next_entry()?;
        let size = entry.as_ref().map_or(0, |entry| entry.size);
        self.content = Position { size, ..Position::default() };
        Ok(entry)
    }
}

impl Read for LayerReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let content = &mut self.content;
        if content.stored.is_none() && !content.ended {
            content.stored = self.entries.next_data()?.map(|(at, bytes)| (at, bytes.to_vec()));
            content.ended = content.stored.is_none();
        }
        let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(into.len());
        let hole_end = content.stored.as_ref().map_or(content.size, |(at, _)| *at);
        if content.at < hole_end {
            let zeros = length(hole_end - content.at);
            into.get_mut(..zeros).unwrap_or_default().fill(0);
            content.at += zeros as u64;
            return Ok(zeros);
        }
        let Some((start, bytes)) = &content.stored else { return Ok(0) };
        let used = usize::try_from(content.at - start).unwrap_or(usize::MAX);
        let mut rest = bytes.get(used..).unwrap_or_default();
        let read = rest.read(into)?;
        content.at += read as u64;
        if used + read == bytes.len() {
            content.stored = None;
        }
        Ok(read)
    }
}

/// Calls `read` with the entries of a layer at a source, and returns its result.
///
/// `read` runs on a blocking thread while the layer arrives; nothing is stored. The rest of the layer is read afterwards,
/// because only the whole layer can be verified: the entries must not be trusted before this function succeeds. When the
/// future is dropped, the next read fails.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use rpull::{content::Source, descriptor::Descriptor, layer_reader::read_layer};
/// # async fn example(source: Arc<dyn Source>, layer: Descriptor) -> rpull::error::Result<()> {
/// let files = read_layer(source, layer, Default::default(), |layer| {
///     let mut files = 0;
///     while let Some(entry) = layer.next_entry()? {
///         files += u64::from(entry.kind == rpull::layer::EntryKind::File);
///     }
///     Ok(files)
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Errors of `read`, as [`ErrorKind::Unpack`](crate::error::ErrorKind::Unpack) if they are plain I/O errors;
/// [`ErrorKind::Mismatch`](crate::error::ErrorKind::Mismatch) if the bytes do not fit the descriptor,
/// [`ErrorKind::Unsupported`](crate::error::ErrorKind::Unsupported) for an unsupported compression; and errors of the
/// source.
pub async fn read_layer<T: Send + 'static>(
    source: Arc<dyn Source>,
    layer: Descriptor,
    options: TransferOptions,
    read: impl FnOnce(&mut LayerReader<'_>) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let name = format!("layer {}", layer.digest);
    let control = options.control.child();
    let _stopped = control.cancel.clone().drop_guard();
    let options = TransferOptions { control, ..options };
    let blob = ReceivedBlob::begin(source, layer, options, &Handle::current());
    let work = move || read_all(blob, read).map_err(|error| failed(&name, "", error));
    run_blocking("read a layer", work).await
}

fn read_all<T>(
    mut blob: ReceivedBlob,
    read: impl FnOnce(&mut LayerReader<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let made = {
        let inside = decompress_detected(&BombGuard::default(), &mut blob)?;
        let tar = BufReader::with_capacity(BUFFER_SIZE, inside);
        let entries = Entries::new(tar, EntryLimits::default());
        let mut layer = LayerReader { entries, content: Position::default() };
        let made = read(&mut layer)?;
        drop(layer.entries.drain()?);
        made
    };
    // The end of the blob is only reached if the whole blob is verified.
    io::copy(&mut blob, &mut io::sink())?;
    Ok(made)
}
