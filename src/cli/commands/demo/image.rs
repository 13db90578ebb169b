//! Generates two versions of an image with four layers. Only the last layer differs.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::content::{OpenBlobOptions, Opened, Provenance, Role, Target, TargetPlan, TargetWriter};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::Result;
use crate::layer::{Device, EntryKind, LayerEntry, Timestamp, header};
use crate::media::MediaType;
use crate::name::ImageName;
use crate::platform::Platform;
use crate::tar_block::BLOCK_BYTES;
use crate::verifier::verify;

const CREATED: &str = "2026-01-01T00:00:00Z";

/// One layer: its history entry, its only file, and the file's size and seed.
struct Layer {
    command: String,
    path: String,
    size: usize,
    seed: u64,
}

fn layers(version: &str) -> Vec<Layer> {
    let layer = |command: &str, path: &str, size, seed| {
        let (command, path) = (command.to_owned(), path.to_owned());
        Layer { command, path, size, seed }
    };
    let seed = Digest::sha256(version.as_bytes()).as_str().bytes().map(u64::from).sum();
    vec![
        layer("ADD base.tar / # the distribution", "usr/lib/base", 9_000_000, 1),
        layer("RUN install runtime", "usr/lib/runtime", 5_000_000, 2),
        layer("COPY dependencies /app/lib", "app/lib/dependencies", 3_000_000, 3),
        layer(&format!("COPY app-{version} /app"), "app/app", 600_000, seed),
    ]
}

/// Writes this version of the image to a target.
pub(super) async fn build(target: &dyn Target, name: &str, version: &str) -> Result<()> {
    let writer = target.begin(&TargetPlan::default()).await?;
    let (mut descriptors, mut diff_ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for layer in layers(version) {
        let tar = tar(&layer);
        let descriptor = put(&*writer, MediaType::OCI_LAYER, tar).await?;
        diff_ids.push(descriptor.digest.to_string());
        history.push(json!({ "created": CREATED, "created_by": layer.command }));
        descriptors.push(descriptor);
    }
    let host = Platform::host();
    let config = json!({
        "created": CREATED,
        "architecture": host.architecture,
        "os": host.os,
        "config": { "Cmd": ["/app/app"], "Labels": { "version": version } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let config = put(&*writer, MediaType::OCI_CONFIG, text(&config)).await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": config,
        "layers": descriptors,
    });
    let document = Document::from_response(text(&manifest), &MediaType::OCI_MANIFEST, None)?;
    let (names, provenance) = (&[ImageName::Layout(name.to_owned())], &Provenance::default());
    writer.put_manifest(&document, Role::Root { names, provenance }).await?;
    writer.finish().await
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Returns a tar with one file of incompressible bytes, which are the same for the same seed.
fn tar(layer: &Layer) -> Bytes {
    let mut content = vec![0; layer.size];
    fastrand::Rng::with_seed(layer.seed).fill(&mut content);
    let mut tar = header(&LayerEntry {
        path: layer.path.clone().into_bytes(),
        kind: EntryKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        size: content.len() as u64,
        link: Vec::new(),
        device: Device::default(),
        xattrs: Vec::new(),
    });
    tar.extend_from_slice(&content);
    // Pad the last block, and append the two blocks that end a tar.
    tar.resize(tar.len().next_multiple_of(BLOCK_BYTES) + 2 * BLOCK_BYTES, 0);
    tar.into()
}

async fn put(writer: &dyn TargetWriter, media_type: MediaType, bytes: Bytes) -> Result<Descriptor> {
    let descriptor = Descriptor::for_bytes(media_type, &bytes);
    if let Opened::Writer(mut blob) =
        writer.open_blob(&descriptor, &OpenBlobOptions::default()).await?
    {
        blob.truncate().await?;
        blob.write(bytes.clone()).await?;
        blob.commit(verify(&descriptor, &bytes)?).await?;
    }
    Ok(descriptor)
}
