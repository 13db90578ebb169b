//! Tiny images built in memory, always with the same bytes.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use rpull::descriptor::Descriptor;
use rpull::digest::Digest;
use rpull::media::MediaType;
use serde_json::{Value, json};

use super::fake_registry::FakeRegistry;

/// Family of media types of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Oci,
    Docker,
}

/// Bytes with their descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Bytes,
}

/// A layer that is not yet part of an image; the image decides its media type.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) diff_id: Digest,
    /// The compressed tar.
    pub(crate) bytes: Bytes,
}

/// An image of one platform.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Blob,
    pub(crate) config: Blob,
    /// Base first.
    pub(crate) layers: Vec<Blob>,
}

/// An index of images, each followed by its attestation as `BuildKit` writes it.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) document: Blob,
    pub(crate) images: Vec<Image>,
    pub(crate) attestations: Vec<Image>,
}

impl Blob {
    pub(crate) fn new(media_type: MediaType, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let descriptor = Descriptor::for_bytes(media_type, &bytes);
        Self { descriptor, bytes }
    }

    pub(crate) fn json(media_type: MediaType, value: &Value) -> Self {
        Self::new(media_type, value.to_string())
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }
}

/// Returns a gzipped tar of these files, owned by root, modified in 1970.
pub(crate) fn layer(files: &[(&str, &[u8])]) -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// Compresses a tar.
pub(crate) fn gzip(tar: &[u8]) -> Layer {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tar).unwrap();
    Layer { diff_id: Digest::sha256(tar), bytes: gzip.finish().unwrap().into() }
}

/// Returns incompressible bytes, the same for the same seed.
pub(crate) fn random_blob(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Returns an image of these layers, base first; its history has one step without a layer.
pub(crate) fn image(family: Family, architecture: &str, layers: &[Layer]) -> Image {
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
    let step = |number| json!({"created": "2026-01-02T03:04:05Z", "created_by": format!("COPY step {number}")});
    let mut history: Vec<Value> = (0..layers.len()).map(step).collect();
    history.push(json!({"created": "2026-01-02T03:04:05Z", "created_by": "CMD [\"/hello\"]", "empty_layer": true}));
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "2026-01-02T03:04:05Z",
        "config": {"Cmd": ["/hello"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    let (config_type, layer_type) = match family {
        Family::Oci => (MediaType::OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"),
        Family::Docker => {
            (MediaType::DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip")
        }
    };
    let piece = |layer: &Layer| Blob::new(layer_type.into(), layer.bytes.clone());
    assemble(family, Blob::json(config_type, &config), layers.iter().map(piece).collect())
}

/// Returns the OCI image with the same config and uncompressed layers.
pub(crate) fn uncompressed(image: &Image) -> Image {
    let inflated = |layer: &Blob| {
        let mut tar = Vec::new();
        MultiGzDecoder::new(&layer.bytes[..]).read_to_end(&mut tar).unwrap();
        Blob::new("application/vnd.oci.image.layer.v1.tar".into(), tar)
    };
    let config = Blob::new(MediaType::OCI_CONFIG, image.config.bytes.clone());
    assemble(Family::Oci, config, image.layers.iter().map(inflated).collect())
}

/// Returns the image with the same layers and another config.
pub(crate) fn with_config(image: &Image, config: &Value) -> Image {
    assemble(Family::Oci, Blob::json(MediaType::OCI_CONFIG, config), image.layers.clone())
}

/// Returns an artifact: a manifest with one blob that is no image config.
pub(crate) fn raw(family: Family, bytes: Vec<u8>) -> Image {
    assemble(family, Blob::new("application/vnd.example.thing".into(), bytes), Vec::new())
}

/// Returns a manifest with a config and layers of any media type.
pub(crate) fn assemble(family: Family, config: Blob, layers: Vec<Blob>) -> Image {
    let media_type = match family {
        Family::Oci => MediaType::OCI_MANIFEST,
        Family::Docker => MediaType::DOCKER_MANIFEST,
    };
    let descriptors: Vec<&Descriptor> = layers.iter().map(|layer| &layer.descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config.descriptor, "layers": descriptors,
    });
    Image { manifest: Blob::json(media_type, &manifest), config, layers }
}

/// Returns an artifact of this type with this subject.
pub(crate) fn referrer_to(subject: &Blob, kind: &str) -> Image {
    let payload = Blob::new(
        "application/vnd.example.thing".into(),
        format!("{kind} of {}", subject.digest()),
    );
    let config = Blob::new("application/vnd.oci.empty.v1+json".into(), "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": kind,
        "config": config.descriptor, "layers": [payload.descriptor], "subject": subject.descriptor,
        "annotations": {"about": kind},
    });
    Image {
        manifest: Blob::json(MediaType::OCI_MANIFEST, &manifest),
        config,
        layers: vec![payload],
    }
}

/// Returns tags that belong to the manifest of this digest: a signature, and the list of its referrers.
pub(crate) fn digest_tag_names(digest: &str) -> [String; 2] {
    let tag = digest.replacen(':', "-", 1);
    [format!("{tag}.sig"), tag]
}

/// Returns an index of images of these architectures.
pub(crate) fn index(family: Family, images: &[(&str, Image)]) -> Index {
    let mut entries = Vec::new();
    let mut attestations = Vec::new();
    for (architecture, image) in images {
        entries.push(entry(&image.manifest, json!({"architecture": architecture, "os": "linux"})));
        let attestation = attest(image);
        let mut about =
            entry(&attestation.manifest, json!({"architecture": "unknown", "os": "unknown"}));
        about["annotations"] = json!({
            "vnd.docker.reference.digest": image.manifest.digest(), "vnd.docker.reference.type": "attestation-manifest",
        });
        entries.push(about);
        attestations.push(attestation);
    }
    let media_type = match family {
        Family::Oci => MediaType::OCI_INDEX,
        Family::Docker => MediaType::DOCKER_LIST,
    };
    let document = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    Index {
        document: Blob::json(media_type, &document),
        images: images.iter().map(|(_, image)| image.clone()).collect(),
        attestations,
    }
}

fn entry(manifest: &Blob, platform: Value) -> Value {
    let mut entry = serde_json::to_value(&manifest.descriptor).unwrap();
    entry["platform"] = platform;
    entry
}

fn attest(image: &Image) -> Image {
    let about = json!({"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": image.manifest.digest()}]});
    let statement = Blob::json("application/vnd.in-toto+json".into(), &about);
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [statement.digest()]},
    });
    assemble(Family::Oci, Blob::json(MediaType::OCI_CONFIG, &config), vec![statement])
}

impl Image {
    /// Returns config and layers, each once.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// Returns the size of config and layers: what a pull into an empty store transfers.
    pub(crate) fn size(&self) -> u64 {
        self.blobs().map(|piece| piece.descriptor.size).sum()
    }

    /// Stores everything in a registry.
    pub(crate) fn publish(&self, registry: &FakeRegistry, repository: &str, tag: Option<&str>) {
        for piece in self.blobs() {
            registry.blob(repository, piece.bytes.clone());
        }
        self.manifest.publish(registry, repository, tag);
    }
}

impl Index {
    /// Stores everything in a registry; only the index gets the tag.
    pub(crate) fn publish(&self, registry: &FakeRegistry, repository: &str, tag: &str) {
        for image in self.images.iter().chain(&self.attestations) {
            image.publish(registry, repository, None);
        }
        self.document.publish(registry, repository, Some(tag));
    }
}

impl Blob {
    pub(crate) fn publish(&self, registry: &FakeRegistry, repository: &str, tag: Option<&str>) {
        registry.document(repository, tag, self.descriptor.media_type.as_str(), self.bytes.clone());
    }
}
