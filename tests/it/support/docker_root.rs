//! A data root of docker with the graph driver overlay2, as dockerd writes it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, write::GzEncoder};
use rpull::insight::layers::chain_ids;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::images::{Image, uncompressed};

/// Name of the overlay directory of a layer, made of its chain id.
fn cache_id(chain_id: &rpull::Digest) -> String {
    chain_id.encoded().chars().rev().collect()
}

pub(crate) struct DockerRootDir {
    dir: TempDir,
    names: BTreeMap<String, String>,
}

impl DockerRootDir {
    /// Creates one without images.
    pub(crate) fn new() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap(), names: BTreeMap::new() };
        for name in ["imagedb/content/sha256", "imagedb/metadata/sha256", "layerdb/sha256"] {
            fs::create_dir_all(made.path().join("image/overlay2").join(name)).unwrap();
        }
        fs::create_dir_all(made.path().join("overlay2/l")).unwrap();
        made.write_names();
        made
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `docker-root:DIR`.
    pub(crate) fn location(&self) -> String {
        format!("docker-root:{}", self.path().display())
    }

    /// What layerdb knows of a layer.
    pub(crate) fn layer(&self, chain_id: &rpull::Digest) -> PathBuf {
        self.path().join("image/overlay2/layerdb/sha256").join(chain_id.encoded())
    }

    /// The files of a layer.
    pub(crate) fn diff(&self, chain_id: &rpull::Digest) -> PathBuf {
        self.path().join("overlay2").join(cache_id(chain_id)).join("diff")
    }

    /// The config of an image.
    pub(crate) fn config(&self, image: &Image) -> PathBuf {
        let id = image.config.digest().encoded();
        self.path().join("image/overlay2/imagedb/content/sha256").join(id)
    }

    /// Adds an image, and returns it as a source gives it: with uncompressed layers. A name is `repository:tag`.
    pub(crate) fn add(&mut self, name: Option<&str>, image: &Image) -> Image {
        let image = uncompressed(image);
        fs::write(self.config(&image), &image.config.bytes).unwrap();
        if let Some(name) = name {
            self.names.insert(name.to_owned(), image.config.digest().to_string());
            self.write_names();
        }
        let mut below = None;
        for (layer, chain_id) in image.layers.iter().zip(chain_of(&image)) {
            if !self.layer(&chain_id).exists() {
                self.add_layer(&layer.bytes, layer.digest(), &chain_id, below.as_ref());
            }
            below = Some(chain_id);
        }
        image
    }

    fn add_layer(
        &self,
        tar: &[u8],
        diff_id: &rpull::Digest,
        chain_id: &rpull::Digest,
        below: Option<&rpull::Digest>,
    ) {
        let (layer, diff) = (self.layer(chain_id), self.diff(chain_id));
        fs::create_dir_all(&layer).unwrap();
        fs::create_dir_all(&diff).unwrap();
        let size = unpack(tar, &diff);
        fs::write(layer.join("diff"), diff_id.as_str()).unwrap();
        fs::write(layer.join("cache-id"), cache_id(chain_id)).unwrap();
        fs::write(layer.join("size"), size.to_string()).unwrap();
        if let Some(below) = below {
            fs::write(layer.join("parent"), below.as_str()).unwrap();
        }
        fs::write(layer.join("tar-split.json.gz"), tar_split(tar)).unwrap();
    }

    /// Adds a container of an image, with one file of this size in its writable layer.
    pub(crate) fn add_container(&self, top: &rpull::Digest, bytes: usize) {
        let mount = self.path().join("image/overlay2/layerdb/mounts").join("c".repeat(64));
        fs::create_dir_all(&mount).unwrap();
        fs::write(mount.join("mount-id"), "d".repeat(64)).unwrap();
        fs::write(mount.join("init-id"), format!("{}-init", "d".repeat(64))).unwrap();
        fs::write(mount.join("parent"), top.as_str()).unwrap();
        let diff = self.path().join("overlay2").join("d".repeat(64)).join("diff");
        fs::create_dir_all(&diff).unwrap();
        fs::write(diff.join("written"), vec![b'x'; bytes]).unwrap();
    }

    fn write_names(&self) {
        let mut repositories: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for (name, id) in &self.names {
            let repository = name.rsplit_once(':').unwrap().0;
            repositories.entry(repository).or_default().insert(name, id);
        }
        let text = json!({ "Repositories": repositories }).to_string();
        fs::write(self.path().join("image/overlay2/repositories.json"), text).unwrap();
    }
}

/// The chain ids of an image with uncompressed layers, base first.
pub(crate) fn chain_of(image: &Image) -> Vec<rpull::Digest> {
    let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.digest().clone()).collect();
    chain_ids(&diff_ids)
}

/// Unpacks a tar as docker does; returns the bytes of its files.
fn unpack(tar: &[u8], diff: &Path) -> u64 {
    let mut size = 0;
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().into_owned();
        // Docker unpacks in a chroot, where a link of a directory leads inside.
        let parent = fs::read_link(diff.join(name.parent().unwrap())).ok();
        let path = match parent.as_ref().and_then(|target| target.strip_prefix("/").ok()) {
            Some(inside) => diff.join(inside).join(name.file_name().unwrap()),
            None => diff.join(&name),
        };
        let link = entry.link_name().unwrap();
        match (entry.header().entry_type(), link) {
            (tar::EntryType::Directory, _) => fs::create_dir_all(&path).unwrap(),
            (tar::EntryType::Symlink, Some(target)) => symlink(target, &path).unwrap(),
            (tar::EntryType::Link, Some(target)) => {
                fs::hard_link(diff.join(target), &path).unwrap();
            }
            (tar::EntryType::Regular, _) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                size += std::io::copy(&mut entry, &mut fs::File::create(&path).unwrap()).unwrap();
            }
            (kind, _) => panic!("no {kind:?} in tests"),
        }
    }
    size
}

/// The headers of a tar as tar-split writes them.
fn tar_split(tar: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Value> = Vec::new();
    let mut at = 0;
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let entry = entry.unwrap();
        let start = usize::try_from(entry.raw_file_position()).unwrap();
        let size = usize::try_from(entry.size()).unwrap();
        lines.push(json!({"type": 2, "payload": BASE64_STANDARD.encode(&tar[at..start])}));
        let name = entry.path().unwrap().into_owned();
        let mut file = json!({"type": 1, "name": name, "payload": Value::Null});
        if size > 0 {
            file["size"] = json!(size);
            // The checksum of the file, which the digest of the layer covers.
            file["payload"] = json!(BASE64_STANDARD.encode([0; 8]));
        }
        lines.push(file);
        at = start + size;
    }
    lines.push(json!({"type": 2, "payload": BASE64_STANDARD.encode(&tar[at..])}));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for (position, mut line) in lines.into_iter().enumerate() {
        line["position"] = json!(position);
        writeln!(gzip, "{line}").unwrap();
    }
    gzip.finish().unwrap()
}
