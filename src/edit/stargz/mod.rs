//! Writes eStargz layers: gzip layers of which a reader needs only the table of contents at their end and the chunks that it
//! wants. Spec: stargz-snapshotter, `docs/estargz.md`.
//!
//! The tar is written anew, with two more files: the table, and a landmark that tells readers to fetch no file in advance. So
//! the layer has another `diff_id`.

mod members;
mod table;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use self::members::Members;
use self::table::{Chunk, TableWriter};
use super::entry_data::DataCopier;
use super::layer_file::NewLayer;
use super::layer_tar::{LayerTar, stored};
use crate::blob_file::spool_failed;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::image_layers::failed;
use crate::layer::{
    Compression, Device, DiffIdReader, Entries, EntryKind, EntryLimits, LayerEntry, Timestamp,
};
use crate::limits::BUFFER_SIZE;

/// Annotation with the digest of the table, by which readers recognize and verify it.
pub(super) const TABLE_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";

/// Annotation with the bytes of the tar.
const UNCOMPRESSED_SIZE: &str = "io.containers.estargz.uncompressed-size";

/// Maximum bytes of a file that are compressed together.
const CHUNK_BYTES: u64 = 4 << 20;

const TABLE_NAME: &[u8] = b"stargz.index.json";

/// The file that says that nothing needs to be fetched before a container starts.
const LANDMARK: &[u8] = b".no.prefetch.landmark";

const LANDMARK_CONTENT: &[u8] = &[0xf];

/// Files of an eStargz layer that are not of the image.
const OWN_FILES: [&[u8]; 3] = [TABLE_NAME, LANDMARK, b".prefetch.landmark"];

/// Writes the files of a tar as an eStargz layer. Also returns the digest of the tar that was read. `layer` is for errors.
/// Blocks.
///
/// # Errors
/// Those of the tar; [`ErrorKind::Unsupported`] for names that the table cannot have.
pub(super) fn write(
    layer: &str,
    tar: impl Read,
    level: Option<u32>,
    algorithm: Algorithm,
) -> Result<(NewLayer, Digest)> {
    let tar = DiffIdReader::with_algorithm(algorithm, BufReader::with_capacity(BUFFER_SIZE, tar));
    let mut entries = Entries::new(tar, EntryLimits::default());
    let mut writer = StargzWriter::new(level, algorithm).map_err(spool_failed)?;
    writer.file(landmark(), LANDMARK_CONTENT).map_err(spool_failed)?;
    let (mut copier, mut last) = (DataCopier::new(layer), String::new());
    while let Some(entry) = entries.next_entry().map_err(|error| failed(layer, &last, error))? {
        if OWN_FILES.contains(&&*entry.path) {
            continue;
        }
        check_names(layer, &entry)?;
        last = String::from_utf8_lossy(&entry.path).into_owned();
        let size = entry.size;
        writer.begin(entry).map_err(spool_failed)?;
        copier.copy(&mut entries, &last, size, |bytes| writer.data(bytes))?;
        writer.end().map_err(spool_failed)?;
    }
    let read = entries.drain().map_err(|error| failed(layer, "", error))?.finish();
    Ok((writer.finish()?, read))
}

/// # Errors
/// [`ErrorKind::Unsupported`] for names that are not UTF-8: the table is JSON.
fn check_names(layer: &str, entry: &LayerEntry) -> Result<()> {
    let xattrs = entry.xattrs.iter().map(|(name, _)| name);
    let invalid = [&entry.path, &entry.link].into_iter().chain(xattrs);
    let Some(name) = { invalid }.find(|name| std::str::from_utf8(name).is_err()) else {
        return Ok(());
    };
    let reason = format!("`{}` is not UTF-8, which eStargz requires", name.escape_ascii());
    Err(Error::new(ErrorKind::Unsupported, layer).with_reason(reason))
}

fn plain(path: &[u8], size: usize) -> LayerEntry {
    LayerEntry {
        path: path.to_vec(),
        kind: EntryKind::File,
        mode: 0o444,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        size: size as u64,
        link: Vec::new(),
        device: Device::default(),
        xattrs: Vec::new(),
    }
}

fn landmark() -> LayerEntry {
    plain(LANDMARK, LANDMARK_CONTENT.len())
}

/// The entry that is being written.
struct OpenEntry {
    entry: LayerEntry,
    hasher: Hasher,
    chunks: Vec<Chunk>,
    chunk: Option<OpenChunk>,
}

/// The chunk that is being written.
struct OpenChunk {
    /// Position of its gzip member in the blob.
    offset: u64,
    /// Its bytes so far.
    size: u64,
    hasher: Hasher,
}

struct StargzWriter {
    tar: LayerTar<Members>,
    table: TableWriter,
    open: Option<OpenEntry>,
}

impl StargzWriter {
    fn new(level: Option<u32>, algorithm: Algorithm) -> io::Result<Self> {
        let tar = LayerTar::new(Members::new(level, algorithm)?);
        Ok(Self { tar, table: TableWriter::default(), open: None })
    }

    /// Begins an entry, whose data follows.
    fn begin(&mut self, entry: LayerEntry) -> io::Result<()> {
        let entry = stored(entry);
        self.tar.entry(entry.clone())?;
        let (hasher, chunks) = (Hasher::new(Algorithm::Sha256), Vec::new());
        self.open = Some(OpenEntry { entry, hasher, chunks, chunk: None });
        Ok(())
    }

    fn data(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        while !bytes.is_empty() {
            let chunk = match &mut open.chunk {
                Some(chunk) => chunk,
                none => {
                    let offset = self.tar.output().cut()?;
                    none.insert(OpenChunk {
                        offset,
                        size: 0,
                        hasher: Hasher::new(Algorithm::Sha256),
                    })
                }
            };
            let room = usize::try_from(CHUNK_BYTES - chunk.size).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.tar.data(now)?;
            open.hasher.update(now);
            chunk.hasher.update(now);
            chunk.size += now.len() as u64;
            if chunk.size == CHUNK_BYTES {
                open.end_chunk();
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the entry. The padding and the next header are in the member of its last chunk.
    fn end(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.end_chunk();
        self.tar.pad(open.entry.size)?;
        self.table.add(&open.entry, &open.hasher.finish(), &open.chunks)
    }

    fn file(&mut self, entry: LayerEntry, content: &[u8]) -> io::Result<()> {
        self.begin(entry)?;
        self.data(content)?;
        self.end()
    }

    fn finish(mut self) -> Result<NewLayer> {
        let table = self.table.finish();
        let offset = self.tar.output().cut().map_err(spool_failed)?;
        let write = || {
            self.tar.entry(plain(TABLE_NAME, table.len()))?;
            self.tar.data(&table)?;
            self.tar.pad(table.len() as u64)?;
            self.tar.finish()
        };
        let members = { write }().map_err(spool_failed)?;
        let (blob, diff_id, size) = members.finish(&footer(offset))?;
        let annotations = [
            (TABLE_DIGEST, Digest::sha256(&table).to_string()),
            (UNCOMPRESSED_SIZE, size.to_string()),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value));
        let layer = NewLayer::new(blob, diff_id, Compression::Gzip);
        Ok(layer.with_annotations(BTreeMap::from(annotations)))
    }
}

impl OpenEntry {
    fn end_chunk(&mut self) {
        let Some(OpenChunk { offset, size, hasher }) = self.chunk.take() else { return };
        self.chunks.push(Chunk { offset, size, digest: hasher.finish() });
    }
}

/// An empty gzip member with the position of the table in an extra field.
fn footer(table: u64) -> Vec<u8> {
    let field = format!("{table:016x}STARGZ");
    [
        b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0".as_slice(),
        field.as_bytes(),
        b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0",
    ]
    .concat()
}
