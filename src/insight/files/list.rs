//! The files of an image as a list in the order of their paths. A long one is in a temporary file: to compare two images,
//! only the tree of one of them has to be in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _, Seek as _, Write as _};
use std::sync::Arc;

use super::attributes::Attributes;
use super::both::{SortedFiles, TreeFiles};
use super::change::{ContentId, FileInfo};
use super::tree::FileTree;

/// Bytes of a list that stay in memory.
const MAX_MEMORY_BYTES: usize = 8 << 20;

/// Bytes that are written together.
const WRITE_BYTES: usize = 256 << 10;

/// What is known of all files of a tree, without the tree.
#[derive(Debug)]
pub(crate) struct FileList {
    records: Records,
    attributes: Vec<Arc<Attributes>>,
}

#[derive(Debug)]
enum Records {
    Memory(Vec<u8>),
    File(File),
}

impl FileList {
    /// Takes a tree after its last layer.
    ///
    /// # Errors
    /// If a temporary file cannot be written.
    pub(crate) fn new(tree: FileTree) -> io::Result<Self> {
        let mut writer = RecordWriter::default();
        let mut files = TreeFiles::new(&tree);
        let Ok(mut more) = files.advance();
        while more {
            if let (Some(file), Some(attributes)) = (files.file(), files.attributes()) {
                writer.add(files.path(), &file, attributes)?;
            }
            let Ok(next) = files.advance();
            more = next;
        }
        let attributes = tree.into_attributes();
        Ok(Self { records: writer.finish()?, attributes })
    }

    /// Reads the list from its beginning. Only one reader may be in use.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub(crate) fn files(&self) -> io::Result<ListedFiles<'_>> {
        let records: Box<dyn BufRead> = match &self.records {
            Records::Memory(bytes) => Box::new(Cursor::new(bytes)),
            Records::File(file) => {
                let mut file = file;
                file.rewind()?;
                Box::new(BufReader::with_capacity(64 << 10, file))
            }
        };
        let (path, link, record) = (Vec::new(), Vec::new(), Record::default());
        Ok(ListedFiles { records, attributes: &self.attributes, path, link, record })
    }
}

/// Writes one record for each file: its path as far as it differs from the one before, and its numbers.
#[derive(Default)]
struct RecordWriter {
    pending: Vec<u8>,
    file: Option<File>,
    /// Whether no temporary file can be created, so that all of the list stays in memory.
    has_no_file: bool,
    last: Vec<u8>,
}

impl RecordWriter {
    fn add(&mut self, path: &[u8], file: &FileInfo<'_>, attributes: u32) -> io::Result<()> {
        let same = self.last.iter().zip(path).take_while(|(old, new)| old == new).count();
        let rest = path.get(same..).unwrap_or_default();
        let output = &mut self.pending;
        let has_content = u64::from(file.content.is_some());
        for number in [
            same as u64,
            rest.len() as u64,
            file.link.len() as u64,
            attributes.into(),
            file.size,
            file.mtime.cast_unsigned(),
            file.layer as u64,
            file.entry.into(),
            file.names.into(),
            file.inode.into(),
            has_content,
        ] {
            put(output, number);
        }
        output.extend_from_slice(rest);
        output.extend_from_slice(file.link);
        output.extend(file.content.iter().flat_map(|content| content.bytes()));
        self.last.truncate(same);
        self.last.extend_from_slice(rest);
        let limit = if self.file.is_some() { WRITE_BYTES } else { MAX_MEMORY_BYTES };
        if self.pending.len() > limit { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.file.is_none() && !self.has_no_file {
            match tempfile::tempfile() {
                Ok(file) => self.file = Some(file),
                Err(error) => {
                    tracing::info!("the list of files stays in memory: {error}");
                    self.has_no_file = true;
                }
            }
        }
        if let Some(file) = &mut self.file {
            file.write_all(&std::mem::take(&mut self.pending))?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Records> {
        if self.file.is_some() {
            self.flush()?;
        }
        Ok(match self.file {
            None => Records::Memory(self.pending),
            Some(file) => Records::File(file),
        })
    }
}

/// Appends a number, 7 bits in each byte, the lowest first.
fn put(output: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        output.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    output.push(number.to_le_bytes()[0]);
}

/// Reads a number that [`put`] has written.
fn get(input: &mut dyn BufRead) -> io::Result<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(number);
        }
        shift += 7;
        if shift > 63 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// The numbers of a file.
#[derive(Default)]
struct Record {
    attributes: usize,
    size: u64,
    mtime: i64,
    layer: usize,
    entry: u32,
    names: u32,
    inode: u32,
    content: Option<ContentId>,
}

/// Reads the records of a [`FileList`].
pub(crate) struct ListedFiles<'a> {
    records: Box<dyn BufRead + 'a>,
    attributes: &'a [Arc<Attributes>],
    path: Vec<u8>,
    link: Vec<u8>,
    record: Record,
}

impl SortedFiles for ListedFiles<'_> {
    type Error = io::Error;

    fn advance(&mut self) -> io::Result<bool> {
        let input = &mut self.records;
        if input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let same = number(input)?;
        let (rest, link) = (get(input)?, get(input)?);
        self.record = Record {
            attributes: number(input)?,
            size: get(input)?,
            mtime: get(input)?.cast_signed(),
            layer: number(input)?,
            entry: number(input)?,
            names: number(input)?,
            inode: number(input)?,
            content: None,
        };
        let has_content = get(input)? != 0;
        self.path.truncate(same);
        take(input, rest, &mut self.path)?;
        self.link.clear();
        take(input, link, &mut self.link)?;
        if has_content {
            let mut bytes = [0; 16];
            input.read_exact(&mut bytes)?;
            self.record.content = Some(ContentId::from_bytes(bytes));
        }
        Ok(true)
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn file(&self) -> Option<FileInfo<'_>> {
        let Record { size, mtime, layer, entry, names, inode, content, .. } = self.record;
        let attributes = self.attributes.get(self.record.attributes)?;
        Some(FileInfo {
            kind: attributes.kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            size,
            mtime,
            link: &self.link,
            device: attributes.device,
            xattrs: &attributes.xattrs,
            layer,
            entry,
            names,
            content,
            inode,
        })
    }
}

/// Reads a number of a narrower type.
fn number<T: TryFrom<u64>>(input: &mut dyn BufRead) -> io::Result<T> {
    T::try_from(get(input)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn take(input: &mut impl BufRead, count: u64, output: &mut Vec<u8>) -> io::Result<()> {
    let read = input.take(count).read_to_end(output)?;
    if read as u64 == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layers::apply::implicit_dir;
    use crate::layer::{EntryKind, LayerEntry, Timestamp};

    /// A tree of files of many sizes, and of links, directories and attributes.
    fn tree(files: usize) -> FileTree {
        let mut tree = FileTree::new().unwrap();
        for number in 0..files {
            let path = format!("dir-{}/file-{}", number % 97, number * 31).into_bytes();
            let kind = if number % 5 == 0 { EntryKind::Symlink } else { EntryKind::File };
            let size = if kind == EntryKind::File { 1_u64 << (number % 63) } else { 0 };
            let link = if kind == EntryKind::Symlink { path.repeat(9) } else { Vec::new() };
            let mtime = Timestamp { seconds: i64::try_from(number).unwrap() - 7, nanoseconds: 0 };
            let xattrs = vec![(b"user.a".to_vec(), (number % 3).to_string().into_bytes())];
            let entry = LayerEntry { path, kind, mtime, size, link, xattrs, ..implicit_dir() };
            tree.entry(entry).unwrap();
            if number % 2 == 0 {
                tree.set_content(ContentId::from_sha256(&[7; 32]));
            }
        }
        tree.end_layer(|_| Ok::<_, ()>(())).unwrap();
        tree
    }

    fn lines(files: &mut impl SortedFiles) -> Vec<String> {
        let mut lines = Vec::new();
        while files.advance().ok().unwrap() {
            lines.push(format!("{} {:?}", files.path().escape_ascii(), files.file()));
        }
        lines
    }

    #[test]
    fn list_has_files_of_tree_in_memory_and_on_disk() {
        for files in [0, 100, 200_000] {
            let tree = tree(files);
            let wanted = lines(&mut TreeFiles::new(&tree));
            assert_eq!(wanted.len(), tree.len());
            let list = FileList::new(tree).unwrap();
            assert_eq!(matches!(list.records, Records::File(_)), files > 100);
            for _ in 0..2 {
                assert!(lines(&mut list.files().unwrap()) == wanted, "{files}");
            }
        }
    }

    #[test]
    fn numbers_are_read_as_written() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put(&mut bytes, number);
        }
        let mut input = Cursor::new(bytes);
        let read: Vec<u64> = numbers.iter().map(|_| get(&mut input).unwrap()).collect();
        assert_eq!(read, numbers);
    }
}
