//! What reading an archive may cost, however it was made.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

use rpull::archive::{self, Archive, ArchiveFormat, ArchiveOutput, WriteOptions};
use rpull::content::Source as _;
use rpull::digest::Digest;
use rpull::error::ErrorKind;
use rpull::name::ImageName;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::images::{Family, Image, image, layer};
use crate::support::tars::{Entry, file, layout, manifest, tar};

fn written(entries: &[Entry]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    std::fs::write(&path, tar(entries)).unwrap();
    (dir, path)
}

/// A docker archive with one image of these layers, each the name of a file and a made-up `diff_id`.
pub(super) fn docker(layers: &[(&str, u64)], files: &[Entry]) -> (TempDir, PathBuf) {
    let diff_ids: Vec<Digest> =
        layers.iter().map(|(_, seed)| Digest::sha256(&seed.to_be_bytes())).collect();
    let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let listed = manifest(&json!([{"Config": "c", "Layers": names}]));
    written(&[files, &[file("c", config.to_string()), listed]].concat())
}

/// A gzip stream of `count` members, each of `zeros` zero bytes.
fn members(count: usize, zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(zeros), &mut encoder).unwrap();
    encoder.finish().unwrap().repeat(count)
}

#[tokio::test]
async fn docker_archive_layer_listed_repeatedly_is_decompressed_once() {
    let (_dir, path) = docker(&vec![("l", 1); 2000], &[file("l", members(1, 50 << 20))]);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    // Decompressed each time, it would be 100 GB, which the bomb guard rejects.
    archive.resolve(&ImageName::Only).await.unwrap();
}

#[tokio::test]
async fn docker_archive_file_with_two_diff_ids_is_rejected() {
    let (_dir, path) = docker(&[("l", 1), ("l", 2)], &[file("l", "x")]);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    let refusal = archive.resolve(&ImageName::Only).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Mismatch);
    assert!(refusal.to_string().contains("`l` of the archive"), "{refusal}");
    assert!(refusal.to_string().contains("has conflicting diff_ids sha256:"), "{refusal}");
}

#[tokio::test]
async fn bomb_guard_counts_all_archive_layers_together() {
    let part = members(60, 10 << 20);
    let files = ["a", "b"].map(|name| file(name, part.clone()));
    let (_dir, path) = docker(&[("a", 1)], &files);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    archive.resolve(&ImageName::Only).await.unwrap();
    let (_dir, path) = docker(&[("a", 1), ("b", 2)], &files);
    let archive = Archive::open(&path, Some(ArchiveFormat::Docker)).unwrap();
    let refusal = archive.resolve(&ImageName::Only).await.unwrap_err();
    assert!(refusal.chain().contains("decompression bomb"), "{}", refusal.chain());
}

fn held() -> Image {
    image(Family::Oci, "amd64", &[layer(&[("a", b"1")])])
}

/// The layout with another index.json.
fn with_entries(held: &Image, entries: &[Value]) -> Vec<Entry> {
    let mut files = layout(held, None);
    files.retain(|entry| !matches!(entry, Entry::File(name, _) if name == "index.json"));
    files.push(file("index.json", json!({"schemaVersion": 2, "manifests": entries}).to_string()));
    files
}

#[test]
fn archive_over_10000_names_is_rejected() {
    let held = held();
    let entry = |number: usize| {
        let mut entry = serde_json::to_value(&held.manifest.descriptor).unwrap();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": format!("a:{number}")});
        entry
    };
    let open = |entries: &[Entry], form| Archive::open(&written(entries).1, Some(form));
    let tags: Vec<String> = (0..10_001).map(|number| format!("a:{number}")).collect();
    let entries: Vec<Value> = (0..10_001).map(entry).collect();
    for (names, refused) in [(10_000, false), (10_001, true)] {
        let in_layout = open(&with_entries(&held, &entries[..names]), ArchiveFormat::Oci);
        let listed = json!([{"Config": "c", "RepoTags": tags[..names], "Layers": []}]);
        let in_docker = open(&[manifest(&listed)], ArchiveFormat::Docker);
        for opened in [in_layout, in_docker] {
            match opened {
                Ok(archive) => {
                    assert!(!refused);
                    assert_eq!(archive.names().flatten().count(), names);
                }
                Err(error) => {
                    assert!(refused && error.chain().contains("more than 10000 images"), "{error}");
                }
            }
        }
    }
    // An archive that could not be read back is not written either.
    let options = WriteOptions::default().format(ArchiveFormat::Oci).expected_images(10_001);
    let refusal = archive::write(ArchiveOutput::File("x.tar".into()), options).err().unwrap();
    assert!(refusal.to_string().contains("at most 10000 images"), "{refusal}");
}

#[test]
fn archive_digests_cover_only_referenced_blobs() {
    let held = held();
    let blob =
        |bytes: &[u8]| file(&format!("blobs/sha256/{}", Digest::sha256(bytes).encoded()), bytes);
    // Indexes in indexes, each listing the next one twice: 2^30 ways lead to the manifest.
    let mut entry = serde_json::to_value(&held.manifest.descriptor).unwrap();
    let mut wanted: BTreeSet<Digest> = held.blobs().map(|piece| piece.digest().clone()).collect();
    wanted.insert(held.manifest.digest().clone());
    let mut nested = Vec::new();
    for _ in 0..30 {
        let index = json!({"schemaVersion": 2, "manifests": [entry, entry]}).to_string();
        let digest = Digest::sha256(index.as_bytes());
        entry = json!({
            "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": index.len(),
        });
        nested.push(blob(index.as_bytes()));
        wanted.insert(digest);
    }
    let files = [with_entries(&held, &[entry]), nested, vec![blob(b"left behind")]].concat();
    let (_dir, path) = written(&files);
    assert_eq!(Archive::open(&path, None).unwrap().digests().unwrap(), wanted);
}
