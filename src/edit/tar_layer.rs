//! A layer of a tar.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write as _};

use super::entry_data::DataCopier;
use super::layer_file::{LayerOptions, LayerWriter, NewLayer};
use super::layer_tar::LayerTar;
use crate::blob_file::{BlobFile, spool_failed};
use crate::control::{Control, CountedReader, PhaseCounter};
use crate::error::Result;
use crate::image_layers::failed;
use crate::image_layers::resolve::push;
use crate::layer::{
    BombGuard, Compression, DiffIdReader, Entries, EntryKind, EntryLimits, LayerEntry,
    decompress_detected,
};
use crate::limits::BUFFER_SIZE;
use crate::progress::Phase;

/// The name of the tar in errors.
const TAR: &str = "tar";

impl NewLayer {
    /// A layer of a tar in any compression. It is read once, with memory for one entry. Without a prefix and with its own
    /// compression the layer has the same bytes. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Unpack`](crate::error::ErrorKind::Unpack) for anything that is not a tar, is ambiguous or leads out
    /// of the root; [`ErrorKind::Store`](crate::error::ErrorKind::Store) if writing fails.
    pub fn from_tar(
        tar: impl Read + Send,
        options: &LayerOptions,
        control: &Control,
    ) -> Result<Self> {
        build(Box::new(tar), options, control)
    }
}

fn build<'a>(
    tar: Box<dyn Read + Send + 'a>,
    options: &LayerOptions,
    control: &Control,
) -> Result<NewLayer> {
    let prefix = options.prefix_path()?;
    let counter = PhaseCounter::new(control, Phase::Read, 0);
    let mut tar = CountedReader::new(tar, &counter);
    let mut start = Vec::new();
    let looked = tar.by_ref().take(Compression::DETECT_LEN as u64).read_to_end(&mut start);
    looked.map_err(|error| failed(TAR, "", error))?;
    // Decompressing reports formats that are not supported.
    let own = Compression::detect(&start).unwrap_or(Compression::Plain);
    let tar = Cursor::new(start).chain(tar);
    let is_own = match options.compression {
        Some(requested) => requested == own,
        None => own != Compression::Plain,
    };
    if is_own && prefix.is_empty() {
        return keep(tar, own);
    }
    let usual = if own == Compression::Plain { Compression::Gzip } else { own };
    let writer = LayerWriter::new(options.compression.unwrap_or(usual))?;
    let tar = decompress_detected(&BombGuard::default(), tar);
    let tar = BufReader::with_capacity(BUFFER_SIZE, tar.map_err(|error| failed(TAR, "", error))?);
    if prefix.is_empty() { recompress(tar, writer) } else { relocate(tar, &prefix, writer) }
}

/// A layer of the same bytes.
fn keep(mut blob: impl Read, compression: Compression) -> Result<NewLayer> {
    let blob = BlobFile::spool(&mut blob, |error| failed(TAR, "", error))?;
    let tar = decompress_detected(&BombGuard::default(), blob.read(0..blob.size));
    let tar = tar.map_err(|error| failed(TAR, "", error))?;
    let tar = DiffIdReader::new(BufReader::with_capacity(BUFFER_SIZE, tar));
    let diff_id = check(tar)?.finish();
    Ok(NewLayer::new(blob, diff_id, compression))
}

/// A layer of the same tar in another compression.
fn recompress(tar: impl BufRead, mut writer: LayerWriter) -> Result<NewLayer> {
    let mut failure = None;
    let sink = |bytes: &[u8]| writer.write_all(bytes);
    let tar = TeeReader { tar, sink, written: 0, failure: &mut failure };
    let checked = check(tar).map(drop);
    if let Some(error) = failure {
        return Err(spool_failed(error));
    }
    checked?;
    writer.finish()
}

/// A layer of the entries below another directory.
fn relocate(tar: impl BufRead, prefix: &[u8], writer: LayerWriter) -> Result<NewLayer> {
    let mut entries = Entries::new(tar, limits());
    let (mut output, mut last) = (LayerTar::new(writer), String::new());
    let mut copier = DataCopier::new(TAR);
    loop {
        let read_failed = |error| failed(TAR, &last, error);
        let Some(entry) = entries.next_entry().map_err(read_failed)? else { break };
        last = String::from_utf8_lossy(&entry.path).into_owned();
        let size = entry.size;
        output.entry(below(prefix, entry)).map_err(spool_failed)?;
        copier.copy(&mut entries, &last, size, |bytes| output.data(bytes))?;
        output.pad(size).map_err(spool_failed)?;
    }
    entries.drain().map_err(|error| failed(TAR, "", error))?;
    output.finish().map_err(spool_failed)?.finish()
}

/// The entry in another directory. Symbolic links keep their targets.
fn below(prefix: &[u8], mut entry: LayerEntry) -> LayerEntry {
    let moved = |path: &[u8]| {
        let mut moved = prefix.to_vec();
        if !path.is_empty() {
            push(&mut moved, path);
        }
        moved
    };
    entry.path = moved(&entry.path);
    if entry.kind == EntryKind::Hardlink {
        entry.link = moved(&entry.link);
    }
    entry
}

fn limits() -> EntryLimits {
    EntryLimits::default().no_parent_names()
}

/// Reads all entries, and all bytes after them.
fn check<R: BufRead>(tar: R) -> Result<R> {
    let mut entries = Entries::new(tar, limits());
    let mut last = String::new();
    while let Some(entry) = entries.next_entry().map_err(|error| failed(TAR, &last, error))? {
        last = String::from_utf8_lossy(&entry.path).into_owned();
    }
    entries.drain().map_err(|error| failed(TAR, "", error))
}

/// Passes all bytes that are read to a sink.
struct TeeReader<'a, R, S> {
    tar: R,
    sink: S,
    /// Bytes at the start of the reader's buffer that the sink has, and that are not consumed yet.
    written: usize,
    /// Why the sink failed.
    failure: &'a mut Option<io::Error>,
}

impl<R: BufRead, S: FnMut(&[u8]) -> io::Result<()>> BufRead for TeeReader<'_, R, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.tar.fill_buf()?;
        if let Some(new) = buffer.get(self.written..).filter(|new| !new.is_empty()) {
            if let Err(error) = (self.sink)(new) {
                *self.failure = Some(error);
                return Err(io::Error::other("cannot be written"));
            }
            self.written = buffer.len();
        }
        Ok(buffer)
    }

    fn consume(&mut self, amount: usize) {
        self.written = self.written.saturating_sub(amount);
        self.tar.consume(amount);
    }
}

impl<R: BufRead, S: FnMut(&[u8]) -> io::Result<()>> Read for TeeReader<'_, R, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
