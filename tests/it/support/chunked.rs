//! Layers with a table of contents, as stargz-snapshotter and containers/storage write them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rpull::digest::Digest;
use serde_json::{Value, json};

use super::images::{Blob, Family, Image, Layer, assemble, image, random_blob};

/// Bytes of a file that are compressed together.
const CHUNK: usize = 64 << 10;

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    EStargz,
    Zstd,
}

/// Text that hardly compresses.
pub(crate) fn text(size: usize, seed: u64) -> Vec<u8> {
    random_blob(size, seed).iter().map(|byte| byte % 64 + 32).collect()
}

/// Returns an image with one layer of these files; `lie` changes the table, and the annotations if they come from it.
pub(crate) fn chunked_image(
    format: Chunked,
    files: &[(&str, &[u8])],
    lie: impl FnOnce(&mut Value),
) -> Image {
    padded_image(format, 0, files, lie)
}

/// As [`chunked_image`], with zeros in front of the layer that no table names. Only by its table can it be read.
pub(crate) fn padded_image(
    format: Chunked,
    padding: usize,
    files: &[(&str, &[u8])],
    lie: impl FnOnce(&mut Value),
) -> Image {
    let (blob, tar, table) = (vec![0; padding], Vec::new(), Vec::new());
    let mut writer = ChunkedWriter { format, blob, tar, table };
    for (name, bytes) in files {
        writer.file(name, bytes);
    }
    let table = std::mem::take(&mut writer.table);
    let mut table = json!({"version": 1, "entries": table});
    lie(&mut table);
    let json = table.to_string().into_bytes();
    let (media_type, annotations) = match format {
        Chunked::EStargz => writer.end_estargz(&json),
        Chunked::Zstd => writer.end_zstd(&json),
    };
    let ChunkedWriter { blob, tar, .. } = writer;
    let blob = Bytes::from(blob);
    let layer = Layer { diff_id: Digest::sha256(&tar), bytes: blob.clone() };
    let config = image(Family::Oci, "amd64", &[layer]).config;
    let mut layer = Blob::new(media_type.into(), blob);
    layer.descriptor.annotations.extend(annotations);
    assemble(Family::Oci, config, vec![layer])
}

struct ChunkedWriter {
    format: Chunked,
    blob: Vec<u8>,
    tar: Vec<u8>,
    table: Vec<Value>,
}

type Annotations = Vec<(String, String)>;

impl ChunkedWriter {
    /// Adds a member or frame, and returns its position.
    fn part(&mut self, tar: &[u8]) -> usize {
        let start = self.blob.len();
        self.tar.extend_from_slice(tar);
        let compressed = match self.format {
            Chunked::EStargz => gzip(tar),
            Chunked::Zstd => zstd::encode_all(tar, 1).unwrap(),
        };
        self.blob.extend(compressed);
        start
    }

    fn file(&mut self, name: &str, bytes: &[u8]) {
        self.part(&header(name, bytes.len()));
        let mut entry = json!({
            "type": "reg", "name": name, "size": bytes.len(), "mode": 0o644, "uid": 0, "gid": 0,
            "modtime": "1970-01-01T00:00:00Z", "digest": Digest::sha256(bytes),
        });
        let first = self.table.len();
        for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
            let offset = self.part(chunk);
            if number > 0 {
                entry = json!({"type": "chunk", "name": name});
            }
            entry["offset"] = offset.into();
            entry["chunkOffset"] = (number * CHUNK).into();
            entry["chunkSize"] = chunk.len().into();
            entry["chunkDigest"] = Digest::sha256(chunk).to_string().into();
            self.table.push(entry.clone());
        }
        if bytes.is_empty() {
            self.table.push(entry);
        }
        self.table[first]["endOffset"] = self.blob.len().into();
        self.part(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]);
    }

    fn end_estargz(&mut self, json: &[u8]) -> (&'static str, Annotations) {
        let mut tar = header("stargz.index.json", json.len());
        tar.extend_from_slice(json);
        tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
        let offset = self.part(&tar);
        self.blob.extend(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0");
        self.blob.extend(format!("{offset:016x}STARGZ").bytes());
        self.blob.extend(b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0");
        let digest = Digest::sha256(json).to_string();
        let annotations = vec![("containerd.io/snapshot/stargz/toc.digest".to_owned(), digest)];
        ("application/vnd.oci.image.layer.v1.tar+gzip", annotations)
    }

    fn end_zstd(&mut self, json: &[u8]) -> (&'static str, Annotations) {
        self.part(&[0; 1024]);
        let compressed = zstd::encode_all(json, 1).unwrap();
        let offset = self.blob.len() + 8;
        self.skippable(&compressed);
        let position = format!("{offset}:{}:{}:1", compressed.len(), json.len());
        let mut footer: Vec<u8> = [offset, compressed.len(), json.len(), 1, 0, 0, 0]
            .iter()
            .flat_map(|number| (*number as u64).to_le_bytes())
            .collect();
        footer.extend(b"GNUlInUx");
        self.skippable(&footer);
        let key = |name: &str| format!("io.github.containers.zstd-chunked.{name}");
        let digest = Digest::sha256(&compressed).to_string();
        let annotations =
            vec![(key("manifest-checksum"), digest), (key("manifest-position"), position)];
        ("application/vnd.oci.image.layer.v1.tar+zstd", annotations)
    }

    fn skippable(&mut self, bytes: &[u8]) {
        self.blob.extend(b"\x50\x2a\x4d\x18");
        self.blob.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        self.blob.extend_from_slice(bytes);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn header(name: &str, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}
