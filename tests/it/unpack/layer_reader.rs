//! The entries of one layer, read at a source.

use std::io::{self, Read as _, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpull::content::Source;
use rpull::descriptor::Descriptor;
use rpull::error::{Error, ErrorKind, Result};
use rpull::layer::EntryKind;
use rpull::layer_reader::{LayerReader, read_layer};
use rpull::media::MediaType;
use rpull::memory::Memory;
use rpull::retry::RetryPolicy;
use rpull::transfer::TransferOptions;

use crate::support::fake_registry::FakeRegistry;
use crate::support::faulty_source::{FaultySource, SourceFault};
use crate::support::images::{Family, image, layer, random_blob};
use crate::support::sparse::{FORMS, make_files, sparse_gnu_tar};

#[path = "../../../examples/list_layer.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod list_layer;

/// A standard output that can be looked at.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_lists_layer_of_registry() {
    let registry = FakeRegistry::start().await;
    let layers = [layer(&[("below", b"1")]), layer(&[("etc/a", b"12345"), ("etc/.wh.b", b"")])];
    image(Family::Oci, "amd64", &layers).publish(&registry, "team/app", Some("1"));
    let output = Output::default();
    let reference = registry.repository("team/app:1").parse().unwrap();
    list_layer::list(&reference, output.clone()).await.unwrap();
    let listed = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    assert_eq!(listed, "File          5 etc/a\nWhiteout          0 etc/b\n");
}

/// A layer of two files in memory.
fn two_files() -> (Memory, Descriptor, [Vec<u8>; 2]) {
    let files = [random_blob(700_000, 1), random_blob(10, 2)];
    let bytes = layer(&[("large", &files[0]), ("small", &files[1])]).bytes;
    let memory = Memory::default();
    let layer = memory.insert_blob(MediaType::from("x/layer"), bytes);
    (memory, layer, files)
}

fn contents(layer: &mut LayerReader<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut contents = Vec::new();
    while layer.next_entry()?.is_some() {
        let mut bytes = Vec::new();
        layer.read_to_end(&mut bytes)?;
        contents.push(bytes);
    }
    Ok(contents)
}

fn options() -> TransferOptions {
    let retry = RetryPolicy::default().attempts(2).base_delay(Duration::ZERO);
    TransferOptions::default().retry(retry)
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_gives_contents_after_retry() {
    let (memory, layer, files) = two_files();
    let faults = vec![SourceFault::Ends(300_000)];
    let source = Arc::new(FaultySource::new(memory, faults));
    let found = read_layer(source, layer, options(), contents).await.unwrap();
    assert!(found == files);
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_passes_over_unread_contents() {
    let (memory, layer, files) = two_files();
    let last = |layer: &mut LayerReader<'_>| {
        layer.next_entry()?;
        let (mut start, mut bytes) = ([0; 5], Vec::new());
        layer.read_exact(&mut start)?;
        layer.next_entry()?;
        layer.read_to_end(&mut bytes)?;
        Ok((start, bytes))
    };
    let (start, bytes) = read_layer(Arc::new(memory), layer, options(), last).await.unwrap();
    assert_eq!((&start[..], &bytes), (&files[0][..5], &files[1]));
}

async fn failure(source: Arc<dyn Source>, layer: Descriptor) -> Error {
    let nothing: Result<()> = read_layer(source, layer, options(), |_| Ok(())).await;
    nothing.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_mismatch_fails_although_nothing_was_read() {
    let (memory, mut layer, _) = two_files();
    layer.size += 1;
    let error = failure(Arc::new(memory), layer).await;
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_refuses_other_content() {
    let memory = Memory::default();
    let text = memory.insert_blob(MediaType::from("x/y"), vec![b'x'; 2000]);
    let list = read_layer(Arc::new(memory.clone()), text, options(), contents).await;
    assert_eq!(list.unwrap_err().kind(), ErrorKind::Unpack);
    let xz = memory.insert_blob(MediaType::from("x/y"), &b"\xfd7zXZ\0"[..]);
    assert_eq!(failure(Arc::new(memory), xz).await.kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_reader_sparse_file_reads_holes_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    make_files(dir.path());
    for form in FORMS {
        let (memory, root) = (Memory::default(), dir.path().to_owned());
        let layer = memory.insert_blob(MediaType::from("x/y"), sparse_gnu_tar(dir.path(), form));
        let compare = move |layer: &mut LayerReader<'_>| {
            let mut files = 0;
            while let Some(entry) = layer.next_entry()? {
                if entry.kind == EntryKind::File {
                    let (mut bytes, path) = (Vec::new(), str::from_utf8(&entry.path).unwrap());
                    layer.read_to_end(&mut bytes)?;
                    assert!(bytes == std::fs::read(root.join(path))?, "{path}");
                    files += 1;
                }
            }
            Ok(files)
        };
        let files = read_layer(Arc::new(memory), layer, options(), compare).await.unwrap();
        assert_eq!(files, 7, "{form:?}");
    }
}
