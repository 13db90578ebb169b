//! Where the disk went: which image needs which blobs and snapshots, and what else containerd keeps.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::ContainerdRoot;
use super::root::{BLOBS, Root, SNAPSHOTS};
use crate::config::{CONFIG_LIMIT, ImageConfig, chain_ids};
use crate::digest::{Digest, VERIFIABLE_ALGORITHMS};
use crate::document::{Document, ParsedDocument};
use crate::engine_store::disk_usage::DiskShare;
use crate::error::Result;
use crate::sharing::{ImageSize, SharedSizes};

/// Disk usage of an image in the content store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ContainerdImageUsage {
    /// Its first name; `<none>` without one.
    pub reference: String,
    /// All its names.
    pub names: Vec<String>,
    /// What the names stand for.
    pub digest: Digest,
    /// Bytes of its blobs that are there: documents, configs and layers of all platforms.
    pub size: u64,
    /// Bytes of blobs that other images need, too.
    pub shared: u64,
    /// Bytes of blobs that only this image needs.
    pub unique: u64,
}

/// A layer, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct ContainerdLayerUsage {
    /// Identity of the stack of layers up to this one.
    pub chain_id: Digest,
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Digest of its blob.
    pub digest: Digest,
    /// Bytes of the blob; `None` if the content store does not have it.
    pub size: Option<u64>,
    /// The file of the blob.
    pub blob: Option<String>,
    /// The directory of the first snapshot, if the layer is unpacked by overlayfs.
    pub directory: Option<String>,
    /// The directories of all snapshots: each namespace has its own.
    pub directories: Vec<String>,
    /// Bytes of the first snapshot as containerd counted them.
    pub unpacked_size: Option<u64>,
    /// The images that need it, as in [`ContainerdUsage::images`].
    pub images: Vec<String>,
}

/// Disk usage of containerd's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ContainerdUsage {
    /// The root.
    pub directory: String,
    /// Each image, by its name.
    pub images: Vec<ContainerdImageUsage>,
    /// Each layer of these images, the largest blob first.
    pub layers: Vec<ContainerdLayerUsage>,
    /// Number of blobs in the content store.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub bytes: u64,
    /// Bytes of blobs that images need.
    pub referenced: u64,
    /// Bytes of blobs that no image needs.
    pub unreferenced: u64,
    /// The whole root by what it holds, the largest first.
    pub shares: Vec<DiskShare>,
}

impl ContainerdRoot {
    /// Computes the disk usage. The files of snapshots are walked, and all else that is not in the content store.
    ///
    /// What cannot be read is left out, with a warning.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if the root cannot be read.
    pub fn usage(&self) -> Result<ContainerdUsage> {
        self.root().usage()
    }
}

/// What an image needs.
#[derive(Default)]
struct Needed {
    /// Documents, configs and layers, each once.
    blobs: Vec<Digest>,
    /// Chain id, `diff_id` and blob of each layer.
    layers: Vec<(Digest, Digest, Digest)>,
}

impl Root {
    fn usage(&self) -> Result<ContainerdUsage> {
        let sizes = self.blob_sizes()?;
        let needed: Vec<_> =
            self.image_digests().map(|digest| (digest, self.needed_by(digest))).collect();
        let sharing = SharedSizes::new(&sizes, needed.iter().flat_map(|(_, image)| &image.blobs));
        let image = |(digest, image): &(&Digest, Needed)| {
            let ImageSize { size, unique } = sharing.share(&image.blobs);
            ContainerdImageUsage {
                reference: self.shown_name(digest),
                names: self.names_of(digest),
                digest: (*digest).clone(),
                size,
                shared: size - unique,
                unique,
            }
        };
        let mut images: Vec<_> = needed.iter().map(image).collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        let layers = self.layers(&needed, &sizes);
        let (bytes, referenced) = (sharing.all(), sharing.referenced());
        let count = sizes.keys().filter(|digest| sharing.users_of(digest) > 0).count() as u64;
        let blobs = sizes.len() as u64;
        let mut shares = vec![
            DiskShare::new(BLOBS, "blobs of images", count, referenced),
            DiskShare::new(BLOBS, "unreferenced blobs", blobs - count, bytes - referenced),
        ];
        self.add_shares(&layers, &mut shares)?;
        let directory = self.dir.path("").display().to_string();
        Ok(ContainerdUsage {
            directory: directory.trim_end_matches('/').to_owned(),
            images,
            layers,
            blobs,
            bytes,
            referenced,
            unreferenced: bytes - referenced,
            shares,
        })
    }

    fn blob_sizes(&self) -> Result<HashMap<Digest, u64>> {
        let mut sizes = HashMap::new();
        for algorithm in VERIFIABLE_ALGORITHMS {
            for encoded in self.dir.names(&format!("{BLOBS}/{algorithm}"))?.unwrap_or_default() {
                let Ok(digest) = format!("{algorithm}:{encoded}").parse::<Digest>() else {
                    continue;
                };
                let size =
                    self.blob(&digest).map(|file| file.and_then(|file| file.metadata().ok()));
                match size {
                    Ok(Some(found)) => _ = sizes.insert(digest, found.len()),
                    Ok(None) => {}
                    Err(error) => tracing::warn!("{}; leaving it out", error.chain()),
                }
            }
        }
        Ok(sizes)
    }

    fn shown_name(&self, digest: &Digest) -> String {
        let name = self.names_of(digest).into_iter().next();
        name.unwrap_or_else(|| format!("<none> ({})", digest.short()))
    }

    /// What an image needs of all platforms that are there.
    fn needed_by(&self, image: &Digest) -> Needed {
        let (mut needed, mut seen) = (Needed::default(), HashSet::new());
        let mut waiting = vec![image.clone()];
        while let Some(digest) = waiting.pop() {
            if !seen.insert(digest.clone()) {
                continue;
            }
            needed.blobs.push(digest.clone());
            // Engines fetch only some platforms.
            let document = match self.document(&digest) {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!("{}; leaving out what it lists", error.chain());
                    continue;
                }
            };
            waiting.extend(document.children().map(|child| child.digest.clone()));
            for blob in document.blobs().filter(|blob| seen.insert(blob.digest.clone())) {
                needed.blobs.push(blob.digest.clone());
            }
            needed.layers.extend(self.layers_of(&document));
        }
        needed
    }

    /// The layers of a manifest that pair with `diff_id`s.
    fn layers_of(&self, document: &Document) -> Vec<(Digest, Digest, Digest)> {
        let ParsedDocument::Manifest(manifest) = document.parsed() else { return Vec::new() };
        if !manifest.config.media_type.is_image_config() {
            return Vec::new();
        }
        let config = self.small_blob(&manifest.config.digest, CONFIG_LIMIT);
        let config =
            config.and_then(|bytes| bytes.map(|bytes| ImageConfig::parse(&bytes)).transpose());
        let diff_ids = match config {
            Ok(config) => config.unwrap_or_default().rootfs.diff_ids,
            Err(error) => {
                tracing::warn!("{}; leaving out its layers", error.chain());
                Vec::new()
            }
        };
        if diff_ids.len() != manifest.layers.len() {
            return Vec::new();
        }
        let layers = chain_ids(&diff_ids).into_iter().zip(diff_ids).zip(&manifest.layers);
        layers.map(|((chain, diff_id), layer)| (chain, diff_id, layer.digest.clone())).collect()
    }

    fn layers(
        &self,
        needed: &[(&Digest, Needed)],
        sizes: &HashMap<Digest, u64>,
    ) -> Vec<ContainerdLayerUsage> {
        let mut users: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (image, needed) in needed {
            for layer in &needed.layers {
                let users = users.entry(layer).or_default();
                let name = self.shown_name(image);
                if !users.contains(&name) {
                    users.push(name);
                }
            }
        }
        let row = |(layer, images): (&(Digest, Digest, Digest), Vec<String>)| {
            let (chain_id, diff_id, digest) = layer.clone();
            let snapshots = self.snapshots.get(&chain_id).map(Vec::as_slice).unwrap_or_default();
            let directories: Vec<String> =
                snapshots.iter().map(|(path, _)| path.display().to_string()).collect();
            let size = sizes.get(&digest).copied();
            ContainerdLayerUsage {
                blob: size.map(|_| self.blob_path(&digest).display().to_string()),
                directory: directories.first().cloned(),
                directories,
                unpacked_size: snapshots.first().and_then(|(_, size)| *size),
                chain_id,
                diff_id,
                digest,
                size,
                images,
            }
        };
        let mut layers: Vec<_> = users.into_iter().map(row).collect();
        layers.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.cmp(b)));
        layers
    }

    /// Adds the snapshots and what else is in the root.
    fn add_shares(
        &self,
        layers: &[ContainerdLayerUsage],
        shares: &mut Vec<DiskShare>,
    ) -> Result<()> {
        let of_images: HashSet<_> =
            layers.iter().flat_map(|layer| &layer.directories).map(String::as_str).collect();
        let (mut own, mut others) = ((0, 0), (0, 0));
        for id in self.dir.names(SNAPSHOTS)?.unwrap_or_default() {
            let name = format!("{SNAPSHOTS}/{id}/fs");
            let path = self.dir.path(&name).display().to_string();
            let kind = if of_images.contains(path.as_str()) { &mut own } else { &mut others };
            kind.0 += 1;
            kind.1 += self.dir.size_of(&name);
        }
        shares.push(DiskShare::new(SNAPSHOTS, "layers of images", own.0, own.1));
        shares.push(DiskShare::new(
            SNAPSHOTS,
            "changes by containers or leftovers",
            others.0,
            others.1,
        ));
        let counted = [BLOBS, SNAPSHOTS].map(|name| name.split('/').next().unwrap_or_default());
        for name in self.dir.names("")?.unwrap_or_default() {
            if !counted.contains(&name.as_str()) {
                shares.push(DiskShare::new(&name, "", 1, self.dir.size_of(&name)));
            }
        }
        shares.retain(|share| share.bytes > 0);
        shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        Ok(())
    }
}
