//! Archives: the two ways to read one, in place and from a stream, and the reader of layers must see the same bytes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use flate2::Compression as Level;
use flate2::bufread::GzEncoder;
use futures_util::TryStreamExt as _;
use rpull::archive::{Archive, ArchiveFormat};
use rpull::content::{BlobRequest, Source as _};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::document::{Document, ParsedDocument};
use rpull::error::{ErrorKind, Result};
use rpull::layer::{Compression, Entries, EntryKind, EntryLimits};
use rpull::name::ImageName;
use tokio::runtime::{Builder, Runtime};

/// Names, documents and blobs that are looked at, of each.
const MOST: usize = 30;

/// Bytes of a file of the archive that are compared.
const COMPARED: u64 = 1 << 20;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().unwrap());

/// Reads an archive in both forms, each blob to its end.
pub fn archive(tar: &[u8]) {
    // What is compressed is never read in place.
    let start = &tar[..tar.len().min(Compression::DETECT_LEN)];
    if Compression::detect(start).ok() != Some(Compression::Plain) {
        return;
    }
    for form in [ArchiveFormat::Oci, ArchiveFormat::Docker] {
        let (in_place, streamed) = match (open(tar, form), open(&stored(tar), form)) {
            (Ok(in_place), Ok(streamed)) => (in_place, streamed),
            (Err(_), Err(_)) => continue,
            (in_place, streamed) => panic!("{form}: {in_place:?}, but {streamed:?}"),
        };
        assert_eq!(RUNTIME.block_on(seen(&in_place)), RUNTIME.block_on(seen(&streamed)), "{form}");
        // Its blobs are files of the tar and nothing else.
        if form == ArchiveFormat::Oci {
            for (name, bytes) in files(tar).unwrap_or_default() {
                RUNTIME.block_on(assert_same_blob(&in_place, &name, &bytes));
            }
        }
    }
}

fn open(bytes: &[u8], form: ArchiveFormat) -> Result<Archive> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Archive::open(file.path(), Some(form))
}

/// The same bytes as a gzip member, which is read as a stream.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Vec::new();
    GzEncoder::new(bytes, Level::none()).read_to_end(&mut gzip).unwrap();
    gzip
}

/// What there is in an archive, with the kinds of errors.
async fn seen(archive: &Archive) -> Vec<String> {
    let named = archive.names().flatten().cloned().map(ImageName::Layout);
    let mut names: Vec<_> = named.take(MOST).chain([ImageName::Only]).collect();
    let nameless = archive.nameless().await.unwrap_or_default().into_iter().flatten();
    names.extend(nameless.take(MOST).map(ImageName::Digest));
    let mut seen: Vec<_> = archive.names().map(|names| names.join(" ")).collect();
    let mut blobs = Vec::new();
    for name in names {
        let found = archive.resolve(&name).await;
        let Some(document) = note(&mut seen, found) else { continue };
        blobs.extend(children(&document));
        if let ParsedDocument::Index(index) = document.parsed() {
            for child in index.manifests.iter().take(MOST) {
                let found = archive.resolve(&ImageName::Digest(child.digest.clone())).await;
                blobs.extend(note(&mut seen, found).iter().flat_map(children));
            }
        }
    }
    for blob in blobs.iter().take(MOST) {
        let read = read(archive, blob).await;
        seen.push(read.map_or_else(
            |error| error.kind().name().to_owned(),
            |bytes| format!("{} bytes, {}", bytes.len(), Digest::sha256(&bytes)),
        ));
    }
    seen
}

fn note(seen: &mut Vec<String>, found: Result<Document>) -> Option<Document> {
    seen.push(match &found {
        Ok(document) => document.digest().to_string(),
        Err(error) => error.kind().name().to_owned(),
    });
    found.ok()
}

fn children(document: &Document) -> Vec<Descriptor> {
    document.manifest().map(|manifest| manifest.blobs().cloned().collect()).unwrap_or_default()
}

async fn read(archive: &Archive, blob: &Descriptor) -> Result<Vec<u8>> {
    let body = archive.open_blob(BlobRequest::starting_at(blob, 0)).await?;
    let pieces: Vec<_> = body.stream.try_collect().await?;
    Ok(pieces.concat())
}

/// The files of the tar as a layer, unless that is refused. Above the root, layers and archives have different rules.
fn files(tar: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    if tar.windows(2).any(|bytes| bytes == b"..") {
        return None;
    }
    let mut files = BTreeMap::new();
    let mut entries = Entries::new(tar, EntryLimits::default());
    while let Some(entry) = entries.next_entry().ok()? {
        files.remove(&entry.path);
        if entry.kind == EntryKind::File && entry.size <= COMPARED {
            let mut bytes = vec![0; entry.size as usize];
            while let Some((offset, piece)) = entries.next_data().ok()? {
                bytes[offset as usize..][..piece.len()].copy_from_slice(piece);
            }
            files.insert(entry.path, bytes);
        }
    }
    Some(files)
}

/// A file of a blob's name is the blob, or refused for another reason than that it is not there.
async fn assert_same_blob(archive: &Archive, name: &[u8], bytes: &[u8]) {
    let name = String::from_utf8_lossy(name);
    let hex = name.strip_prefix("blobs/sha256/");
    let Some(Ok(digest)) = hex.map(|hex| format!("sha256:{hex}").parse::<Digest>()) else { return };
    let found = match archive.stat_blob(&digest).await {
        Ok(blob) => read(archive, &blob).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => assert!(found == bytes, "{name}"),
        Err(error) => assert_ne!(error.kind(), ErrorKind::NotFound, "{name}"),
    }
}
